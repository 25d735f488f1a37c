package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/grewire/grewire/track"
)

// eventRow is an event as a client reads it: names stay text, so that events
// of a later version are shown as well as they can be.
type eventRow struct {
	Time     time.Time      `json:"time"`
	Event    string         `json:"event"`
	Cause    string         `json:"cause"`
	NIC      string         `json:"nic"`
	Address  string         `json:"address"`
	MAC      string         `json:"mac"`
	Duration float64        `json:"duration_seconds"`
	Result   uint16         `json:"result"`
	Code     uint16         `json:"cause_code"`
	Zone     string         `json:"zone"`
	Control  *track.Control `json:"control"`
	Call     *track.Call    `json:"call"`
	Frame    *dropRow       `json:"frame"`
	Detail   []string       `json:"detail"`
	MTU      int            `json:"mtu"`
}

type dropRow struct {
	track.DroppedFrame
	Zone   string `json:"zone"`
	Reason string `json:"reason"`
}

// eventLine turns an event's JSON into a line for people.
func eventLine(line []byte) string {
	var e eventRow
	if err := json.Unmarshal(line, &e); err != nil {
		return printable(string(line))
	}
	return e.Time.UTC().Format("2006-01-02T15:04:05.000Z") + " " + e.text()
}

// text is the event in words, without its time.
func (e *eventRow) text() string {
	parts := []string{e.Event}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case e.Call != nil:
		add("%s", e.callText())
	case e.Frame != nil:
		add("%s", e.Frame.text())
	case e.Control != nil:
		add("%s%s", connection(*e.Control), inZone(e.Zone))
	case e.MTU != 0:
		add("%d", e.MTU)
	case e.Address != "":
		add("%s is %s's, too, on %s%s:", e.Address, e.MAC, e.NIC, inZone(e.Zone))
	case e.NIC != "":
		add("frames from %s", e.NIC)
	}
	if e.Cause != "" {
		add("(%s)", e.Cause)
	}
	if len(e.Detail) > 0 {
		add("%s", strings.Join(e.Detail, "; "))
	}
	return printable(strings.Join(parts, " "))
}

// callText has the call, and what is said once of it.
func (e *eventRow) callText() string {
	c := e.Call
	s := fmt.Sprintf("call %d, %s%s: PNS %s, PAC %s", c.ID, c.Kind, inZone(c.Zone.String()), partyOf(c, c.PNS), partyOf(c, c.PAC))
	if c.Alias != nil {
		s += ", to the WAN " + aliasText(c.Alias)
	}
	switch e.Event {
	case track.EventCallEnded.String():
		s += fmt.Sprintf("; after %s, lan>wan %s, wan>lan %s", span(time.Duration(e.Duration*float64(time.Second))), traffic(c.LANToWAN), traffic(c.WANToLAN))
	case track.EventCallOtherAddress.String():
		s += fmt.Sprintf("; GRE with its call ID comes from %s instead", e.Address)
	case track.EventCallIDTaken.String():
		s += "; a call of another connection has its call ID, and lives"
	case track.EventCallRefused.String():
		s += fmt.Sprintf("; result %d, cause %d", e.Result, e.Code)
	}
	return s
}

func (f *dropRow) text() string {
	s := fmt.Sprintf("from %s%s: %s", f.Side, inZone(f.Zone), f.Reason)
	if f.Src.IsValid() {
		s += fmt.Sprintf(", %s > %s, protocol %d", f.Src, f.Dst, f.Protocol)
	}
	if f.CallID != nil {
		s += fmt.Sprintf(", call ID %d", *f.CallID)
	}
	s += fmt.Sprintf(", length %d", f.Length)
	if f.Suppressed > 0 {
		s += fmt.Sprintf("; %d more since the last report", f.Suppressed)
	}
	return s
}

func inZone(zone string) string {
	if zone == "" {
		return ""
	}
	return " [" + zone + "]"
}
