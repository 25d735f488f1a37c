package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// event is what the demonstration reads of a line of grewire events -json.
type event struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`
	Cause    string    `json:"cause"`
	Duration float64   `json:"duration_seconds"`
	Result   int       `json:"result"`
	Control  *control  `json:"control"`
	Call     *call     `json:"call"`
	Frame    *frame    `json:"frame"`
}

type control struct {
	LANAddr string `json:"lan_addr"`
	LANPort int    `json:"lan_port"`
	WANAddr string `json:"wan_addr"`
	WANPort int    `json:"wan_port"`
}

type call struct {
	ID       uint64  `json:"id"`
	State    string  `json:"state"`
	PNS      party   `json:"pns"`
	PAC      party   `json:"pac"`
	LANToWAN traffic `json:"lan_to_wan"`
	WANToLAN traffic `json:"wan_to_lan"`
}

type party struct {
	Addr   string `json:"addr"`
	Side   string `json:"side"`
	CallID uint16 `json:"call_id"`
}

type traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

type frame struct {
	Side   string  `json:"side"`
	Reason string  `json:"reason"`
	Src    string  `json:"src"`
	Dst    string  `json:"dst"`
	CallID *uint16 `json:"call_id"`
	Length int     `json:"length"`
}

// dropped is what the keys of frame-dropped events start with.
const dropped = "frame-dropped for "

// key names what an event reports: its kind, and a dropped frame's reason.
func (e event) key() string {
	if e.Frame != nil {
		return dropped + e.Frame.Reason
	}
	return e.Event
}

// String is the event in one line.
func (e event) String() string {
	return strings.TrimRight(fmt.Sprintf("%s  %-15s %s", e.Time.Format("15:04:05.000"), e.Event, e.detail()), " ")
}

func (e event) detail() string {
	var parts []string
	if c := e.Control; c != nil {
		parts = append(parts, fmt.Sprintf("%s:%d (lan) with %s:%d (wan)", c.LANAddr, c.LANPort, c.WANAddr, c.WANPort))
	}
	if c := e.Call; c != nil {
		parts = append(parts, c.detail(e.Event))
	}
	if f := e.Frame; f != nil {
		parts = append(parts, f.detail())
	}
	if e.Cause != "" {
		parts = append(parts, "cause "+e.Cause)
	}
	if e.Result != 0 {
		parts = append(parts, fmt.Sprintf("result %d", e.Result))
	}
	return strings.Join(parts, ", ")
}

func (c call) detail(event string) string {
	switch event {
	case "call-requested": // the PAC has not given its ID yet
		return fmt.Sprintf("call %d: PNS %s, call ID %d", c.ID, c.PNS.Addr, c.PNS.CallID)
	case "call-ended":
		return fmt.Sprintf("call %d: lan to wan %d packets, wan to lan %d packets", c.ID, c.LANToWAN.Packets, c.WANToLAN.Packets)
	}
	return fmt.Sprintf("call %d: PNS %s, call ID %d; PAC %s, call ID %d", c.ID, c.PNS.Addr, c.PNS.CallID, c.PAC.Addr, c.PAC.CallID)
}

func (f frame) detail() string {
	text := fmt.Sprintf("%s: from %s on %s to %s, %d octets", f.Reason, f.Src, f.Side, f.Dst, f.Length)
	if f.CallID != nil {
		text += fmt.Sprintf(", call ID %d", *f.CallID)
	}
	return text
}

// follower reads the box's events as they come.
type follower struct {
	process *bridgetest.Process

	mu   sync.Mutex
	part []byte // of a line
	all  []event
	more chan struct{} // closed and replaced at every event
	bad  error         // the first line that is no event
}

// follow starts a program that prints events.
func follow(ns *bridgetest.Namespace, program string, args ...string) (*follower, error) {
	f := &follower{more: make(chan struct{})}
	cmd := ns.Command(context.Background(), program, args...)
	cmd.Stdout = f
	var err error
	f.process, err = ns.StartCommand(cmd)
	return f, err
}

// Write implements io.Writer: it takes lines of JSON.
func (f *follower) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.part = append(f.part, b...)
	for {
		end := slices.Index(f.part, '\n')
		if end < 0 {
			return len(b), nil
		}
		var e event
		if err := json.Unmarshal(f.part[:end], &e); err != nil && f.bad == nil {
			f.bad = fmt.Errorf("grewire events -json: %w in %q", err, f.part[:end])
		}
		f.part = f.part[end+1:]
		f.all = append(f.all, e)
		close(f.more)
		f.more = make(chan struct{})
	}
}

// next returns the n-th event (from 0) as soon as there is one.
func (f *follower) next(ctx context.Context, n int) (event, error) {
	for {
		f.mu.Lock()
		all, more, bad := f.all, f.more, f.bad
		f.mu.Unlock()
		switch {
		case bad != nil:
			return event{}, bad
		case n < len(all):
			return all[n], nil
		}
		select {
		case <-more:
		case <-f.process.Done():
			return event{}, errors.New("grewire events has ended:\n" + f.process.Output())
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}
