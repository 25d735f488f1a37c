package track

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/grewire/grewire/track/wire"
)

// EventKind says what an Event reports.
type EventKind uint8

// The kinds of event.
const (
	_ EventKind = iota
	EventControlOpen
	EventControlClose
	EventControlDesync  // a direction lost the cookie or a Length: it opens no more calls
	EventControlNotPPTP // what an end says first is no control message: under translation its data drops
	EventControlSilent  // no segment for two minutes: no end asks for an echo, or none answers
	EventCallRequested
	EventCallConnected
	EventCallActive
	EventCallEnded
	EventCallRefused
	EventCallOtherAddress // GRE with a call's ID comes from another address than the call's, Address
	EventCallIDTaken      // it is agreed with an ID that a live call of another connection has: its GRE drops until that ends
	EventFrameDropped
	EventLimitReached
	EventLinkUp
	EventLinkDown
	EventReloaded      // another configuration holds
	EventReloadRefused // the configuration stays as it was
	EventStateRestored // calls of before a restart go on
	EventStateRefused  // those of before a restart are lost
	EventNICGone       // removed, or gone from the box's network namespace
	EventNICBack
	EventMTUChanged
	EventBypassOn        // frames of a NIC go past the box
	EventBypassOff       // the box carries them again
	EventAddressConflict // another host has an address of the box's
)

var eventNames = [...]string{
	EventControlOpen: "control-open", EventControlClose: "control-close", EventControlDesync: "control-desync", EventControlNotPPTP: "control-not-pptp", EventControlSilent: "control-silent",
	EventCallRequested: "call-requested", EventCallConnected: "call-connected", EventCallActive: "call-active",
	EventCallEnded: "call-ended", EventCallOtherAddress: "call-other-address", EventCallRefused: "call-refused", EventCallIDTaken: "call-id-taken", EventFrameDropped: "frame-dropped",
	EventLimitReached: "limit-reached", EventLinkUp: "link-up", EventLinkDown: "link-down",
	EventReloaded: "reloaded", EventReloadRefused: "reload-refused",
	EventStateRestored: "state-restored", EventStateRefused: "state-refused",
	EventNICGone: "nic-gone", EventNICBack: "nic-back", EventMTUChanged: "mtu-changed",
	EventBypassOn: "bypass-on", EventBypassOff: "bypass-off",
	EventAddressConflict: "address-conflict",
}

// String returns the event's name as the commands print it.
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(eventNames) {
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
	return eventNames[k]
}

// MarshalText implements encoding.TextMarshaler.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is something that happened, as a plain value: the tracker neither
// logs nor sends anything itself.
type Event struct {
	Time Time
	Kind EventKind
	// Cause says why, in a word of a closed list: for control-close and
	// call-ended the end's cause ("call-disconnect-notify", "stop", "reset",
	// "fin", "start-refused", "replaced", "timeout", …), for limit-reached the limit's key, for
	// events about links and NICs the NIC, for bypass-on "forced" or
	// "no-heartbeat".
	Cause string
	// NIC is set with bypass events: where the frames come in; and with
	// address-conflict: where the other host was heard, in Zone. Address is what
	// it has, and MAC where it is.
	NIC     string
	Address netip.Addr
	MAC     string
	// MTU is the new one, in octets, set with mtu-changed.
	MTU int
	// Call is set with call events.
	Call *Call
	// Control and Zone are set with control events.
	Control Control
	Zone    wire.Zone
	// Result and CauseCode are set with call-refused (RFC 2637, sections
	// 2.8 and 2.10).
	Result, CauseCode uint16
	// Frame is set with frame-dropped.
	Frame *DroppedFrame
	// Detail is set with the events of reload and state, and with
	// address-conflict: what changed, what was restored, what was wrong, or what
	// to do, in words.
	Detail []string
}

// DroppedFrame describes a dropped frame in an event.
type DroppedFrame struct {
	Side       Side       `json:"side"` // where it came in
	Zone       wire.Zone  `json:"zone"`
	Reason     Reason     `json:"reason"`
	Src        netip.Addr `json:"src,omitzero"`
	Dst        netip.Addr `json:"dst,omitzero"`
	Protocol   uint8      `json:"protocol,omitempty"` // IP protocol
	CallID     *uint16    `json:"call_id,omitempty"`  // in its GRE header
	Length     int        `json:"length"`             // octets
	Suppressed uint64     `json:"suppressed,omitempty"`
}

// eventJSON is the form of an Event on the control socket and in the log.
type eventJSON struct {
	Time     time.Time     `json:"time"`
	Event    EventKind     `json:"event"`
	Cause    string        `json:"cause,omitempty"`
	NIC      string        `json:"nic,omitempty"`
	Address  netip.Addr    `json:"address,omitzero"`
	MAC      string        `json:"mac,omitempty"`
	Duration *float64      `json:"duration_seconds,omitempty"`
	Result   *uint16       `json:"result,omitempty"`
	Code     *uint16       `json:"cause_code,omitempty"`
	Zone     *wire.Zone    `json:"zone,omitempty"`
	Control  *Control      `json:"control,omitempty"`
	Call     *Call         `json:"call,omitempty"`
	Frame    *DroppedFrame `json:"frame,omitempty"`
	Detail   []string      `json:"detail,omitempty"`
	MTU      int           `json:"mtu,omitempty"`
}

// MarshalJSON writes the event as one object with only the fields its kind
// has.
func (e Event) MarshalJSON() ([]byte, error) {
	out := eventJSON{
		Time: e.Time.Std(), Event: e.Kind, Cause: e.Cause, NIC: e.NIC, Address: e.Address, MAC: e.MAC, Call: e.Call, Frame: e.Frame, Detail: e.Detail, MTU: e.MTU,
	}
	switch e.Kind {
	case EventControlOpen, EventControlClose, EventControlDesync, EventControlNotPPTP, EventControlSilent:
		out.Control, out.Zone = &e.Control, &e.Zone
	case EventAddressConflict:
		out.Zone = &e.Zone
	case EventCallEnded:
		seconds := e.Time.Std().Sub(e.Call.Started).Seconds()
		out.Duration = &seconds
	case EventCallRefused:
		out.Result, out.Code = &e.Result, &e.CauseCode
	}
	return json.Marshal(out)
}
