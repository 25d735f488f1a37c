package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const bypassAbout = `Takes the box out of the path of the frames and back, without a frame sent
twice or out of order. It works on the NICs of the configuration, whether a box
runs on them or not, and needs root.

  on      frames go straight from one NIC to the other, in the kernel, until
          "off" or the next start of the machine. A running box looks on, so that
          it knows the calls when it is back
  off     the running box carries again; without one, the frames stay with the
          host and nothing passes. It works while the NICs are gone, too
  status  says what goes past the box and why
`

// bypassStatus is what "grewire bypass" prints.
type bypassStatus struct {
	Running bool `json:"running"` // a box has the NICs
	bypass.Status
}

func (p *program) bypass(ctx context.Context, args []string) int {
	f := p.flags("bypass", "on|off|status [-config FILE] [-json]", bypassAbout)
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	asJSON := f.Bool("json", false, "print a JSON object")
	rest, code, ok := f.parse(args, 1, 1)
	if !ok {
		return code
	}
	act, known := map[string]func(*bypassSwitch, context.Context) error{
		"on": (*bypassSwitch).on, "off": (*bypassSwitch).off, "status": func(*bypassSwitch, context.Context) error { return nil },
	}[rest[0]]
	if !known {
		return f.misused(fmt.Sprintf("unexpected argument %q", rest[0]))
	}
	conf, err := config.Load(*path)
	if err != nil {
		return p.misconfigured("bypass", err)
	}
	if gone := nicsGone(conf); gone != nil && rest[0] != "off" {
		return p.failed("bypass", gone)
	}
	now, err := p.switchBypass(ctx, conf, act)
	if err != nil {
		return p.failed("bypass", err)
	}
	if *asJSON {
		return p.printed("bypass", json.NewEncoder(p.out).Encode(now))
	}
	return p.printed("bypass", now.print(p.out))
}

// bypassSwitch is what the command works on.
type bypassSwitch struct {
	options bypass.Options
	open    bool           // by the configuration
	running bool           // a box has the NICs
	found   *bypass.Bypass // nil if there is nothing on the NICs
	box     *status.Client
}

// nicsGone is an error if neither NIC is there. One may be gone for a while.
func nicsGone(conf *config.Config) error {
	_, lan := net.InterfaceByName(conf.Bridge.LAN)
	_, wan := net.InterfaceByName(conf.Bridge.WAN)
	if lan == nil || wan == nil {
		return nil
	}
	return fmt.Errorf("there is neither a NIC %q nor %q here: see ip link", conf.Bridge.LAN, conf.Bridge.WAN)
}

func (p *program) switchBypass(ctx context.Context, conf *config.Config, act func(*bypassSwitch, context.Context) error) (s bypassStatus, err error) {
	log := newLogger(p.err, config.FormatText, slog.LevelInfo)
	sw := &bypassSwitch{options: bypassOptions(conf, log), open: conf.Bridge.Fail == config.FailOpen, box: &status.Client{Socket: conf.Status.Socket}}
	release := sw.claim() // no box may start meanwhile
	defer release()
	if sw.found, err = bypass.Find(sw.options); err != nil {
		return s, err
	}
	err = act(sw, ctx)
	if sw.found == nil {
		return sw.nothing(conf), err
	}
	s.Running = sw.running
	if err == nil {
		s.Status, err = sw.found.Status()
	}
	return s, errors.Join(err, sw.found.Close())
}

// bypassOptions: the record is beside the control socket, which every box has.
func bypassOptions(conf *config.Config, log *slog.Logger) bypass.Options {
	socket := conf.Status.Socket
	return bypass.Options{NICs: bypassNICs(conf), Record: strings.TrimSuffix(socket, filepath.Ext(socket)) + ".bypass", Log: log}
}

func bypassNICs(conf *config.Config) [2]string {
	return [2]string{track.LAN: conf.Bridge.LAN, track.WAN: conf.Bridge.WAN}
}

// claim takes the NICs, or finds out that a box has them.
func (sw *bypassSwitch) claim() (release func()) {
	var claims []*nic.Claim
	for _, name := range sw.options.NICs {
		if _, err := net.InterfaceByName(name); err != nil {
			continue // gone: whoever has the other one is the box
		}
		if claim, err := nic.Take(name); err == nil {
			claims = append(claims, claim)
		} else {
			sw.running = true
		}
	}
	return func() {
		for _, c := range claims {
			_ = c.Release()
		}
	}
}

// nothing is the status of NICs that have nothing on them.
func (sw *bypassSwitch) nothing(conf *config.Config) bypassStatus {
	s := bypassStatus{Running: sw.running, Status: bypass.Status{Fail: string(conf.Bridge.Fail), Sides: make(map[string]bypass.SideStatus)}}
	for side, name := range sw.options.NICs {
		s.Sides[track.Side(side).String()] = bypass.SideStatus{NIC: name}
	}
	return s
}

func (sw *bypassSwitch) on(ctx context.Context) (err error) {
	switch {
	case sw.found == nil && sw.running:
		return errors.New("the box that runs here has no bypass; its log says why")
	case sw.found == nil:
		if sw.found, err = bypass.Open(sw.options, sw.open); err != nil {
			return err
		}
	}
	if !sw.running {
		if err := sw.attach(); err != nil {
			return err
		}
	}
	if err := sw.found.Force(true); err != nil {
		return err
	}
	// While a NIC is gone frames go nowhere.
	if !sw.wait(ctx, func(s, other bypass.SideStatus) bool { return s.Bypassing || !s.Attached || !other.Attached }) {
		return errors.New("the box does not let go of the frames: grewire bypass status says of which; stop it")
	}
	return nil
}

// attach puts the programs on the NICs. One of them may be gone: the box puts
// its program there when both are back.
func (sw *bypassSwitch) attach() error {
	var missing []error
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		err := sw.found.Attach(side)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			missing = append(missing, err)
		} else if err != nil {
			return err
		}
	}
	if len(missing) == len(sw.options.NICs) {
		return errors.Join(missing...)
	}
	return nil
}

func (sw *bypassSwitch) off(ctx context.Context) error {
	if sw.found == nil {
		return sw.forget(ctx)
	}
	if err := sw.found.Force(false); err != nil {
		return err
	}
	if !sw.running {
		err := errors.Join(sw.found.Detach(), sw.found.Close())
		sw.found = nil
		return err
	}
	// With fail = "open" a box that hangs stays out; the status says so.
	sw.wait(ctx, func(s, _ bypass.SideStatus) bool { return !s.Bypassing })
	return nil
}

// forget ends a bypass that nothing on the NICs tells of, because they are gone
// or were just made anew: a box that runs still knows of it, and the record.
func (sw *bypassSwitch) forget(ctx context.Context) error {
	var answer bypassAnswer
	_, err := sw.box.Post(ctx, bypassOffPath, &answer)
	switch {
	case errors.Is(err, status.ErrNotRunning):
		return bypass.Forget(sw.options)
	case err == nil && answer.Error != "":
		err = errors.New(answer.Error)
	}
	sw.running = true
	return err
}

// Workers look at what is wanted at least every 40 ms.
const (
	switchPatience = time.Second
	switchInterval = 5 * time.Millisecond
)

// wait waits until all sides are as they should be; not for long.
func (sw *bypassSwitch) wait(ctx context.Context, is func(s, other bypass.SideStatus) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, switchPatience)
	defer cancel()
	ticker := time.NewTicker(switchInterval)
	defer ticker.Stop()
	for {
		s, err := sw.found.Status()
		if err != nil {
			return false
		}
		if lan, wan := s.Sides[sideNames[0]], s.Sides[sideNames[1]]; is(lan, wan) && is(wan, lan) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func (s *bypassStatus) print(out io.Writer) error {
	table := newTable(out)
	fmt.Fprintf(table, "BOX\tFAIL\tFORCED\n%s\t%s\t%s\n\n", map[bool]string{true: "running", false: "not running"}[s.Running], s.Fail, yes(s.Forced))
	printBypass(table, &s.Status)
	return table.Flush()
}

// printBypass prints what goes past the box, a line a side.
func printBypass(out io.Writer, s *bypass.Status) {
	fmt.Fprintln(out, "FROM\tNIC\tATTACHED\tPAST THE BOX\tSINCE\tREDIRECTED\tOCTETS\tHOST'S COPIES DROPPED")
	for _, name := range sideNames {
		side := s.Sides[name]
		why, since := "no", "-"
		if side.Bypassing {
			why, since = side.Cause, side.Since.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", name, printable(side.NIC), yes(side.Attached), why, since,
			side.Redirected.Frames, side.Redirected.Octets, side.Dropped.Frames)
	}
}
