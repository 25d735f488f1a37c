package track

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/grewire/grewire/track/wire"
)

// CallState is where a call stands.
type CallState uint8

// The states of a call.
//
//	requested --> connected --> active --> clearing --> ended
//	    |             |            |                      ^
//	    +-------------+------------+----------------------+
const (
	_             CallState = iota
	CallRequested           // asked for; its GRE is not allowed yet
	CallConnected           // agreed; its GRE is allowed
	CallActive              // GRE was seen both ways
	CallClearing            // Call-Clear-Request seen; its GRE still passes (RFC 2637, section 2.12)
	CallEnded
)

var callStateNames = [...]string{CallRequested: "requested", CallConnected: "connected", CallActive: "active", CallClearing: "clearing", CallEnded: "ended"}

// String returns the state's name as the commands print it.
func (s CallState) String() string {
	if s == 0 || int(s) >= len(callStateNames) {
		return fmt.Sprintf("CallState(%d)", uint8(s))
	}
	return callStateNames[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s CallState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Kind of a call: who asked for it.
const (
	Outgoing = "outgoing" // Outgoing-Call-Request from the PNS
	Incoming = "incoming" // Incoming-Call-Request from the PAC
)

// Party is one end of a call.
type Party struct {
	Addr   netip.Addr `json:"addr"`
	Side   Side       `json:"side"`
	CallID uint16     `json:"call_id"` // the ID this end assigned; the other end puts it in its GRE header
}

// Alias is what the WAN sees of a call's end on the LAN, where it is translated.
type Alias struct {
	Addr   netip.Addr `json:"addr"`
	CallID uint16     `json:"call_id"`
}

// Traffic counts the GRE of one direction of a call.
type Traffic struct {
	Packets uint64 `json:"packets"` // a fragmented packet counts once
	Bytes   uint64 `json:"bytes"`   // IP lengths, every fragment's included
}

// Control names a control connection by its ends.
type Control struct {
	LANAddr netip.Addr `json:"lan_addr"`
	LANPort uint16     `json:"lan_port"`
	WANAddr netip.Addr `json:"wan_addr"`
	WANPort uint16     `json:"wan_port"`
}

// Call is a snapshot of a call in the form the commands print.
type Call struct {
	ID    uint64    `json:"id"`
	Zone  wire.Zone `json:"zone"`
	State CallState `json:"state"`
	Kind  string    `json:"kind"` // Outgoing or Incoming
	// Adopted says that the call was found by its GRE: who is PNS, and with
	// that its kind, is a guess.
	Adopted   bool      `json:"adopted,omitempty"`
	PNS       Party     `json:"pns"`
	PAC       Party     `json:"pac"`
	Alias     *Alias    `json:"alias,omitempty"`
	Started   time.Time `json:"started"`   // when it was asked for
	LastSeen  time.Time `json:"last_seen"` // its last GRE packet or control message
	LANToWAN  Traffic   `json:"lan_to_wan"`
	WANToLAN  Traffic   `json:"wan_to_lan"`
	Lost      uint64    `json:"lost"`      // sequence gaps not filled yet, both ways
	Reordered uint64    `json:"reordered"` // packets that came late, both ways
	Repeated  uint64    `json:"repeated"`  // packets that came twice, or too late to tell, both ways
	Jumps     uint64    `json:"jumps"`     // steps of sequence and acknowledgement numbers too far to be loss, both ways
	Control   Control   `json:"control"`
}

// Expectation is a direction of a call whose GRE is allowed but of which no
// GRE was seen yet, in either direction.
type Expectation struct {
	Call    uint64     `json:"call"`
	Zone    wire.Zone  `json:"zone"`
	Side    Side       `json:"side"` // where the GRE will come in
	Src     netip.Addr `json:"src"`
	Dst     netip.Addr `json:"dst"`
	CallID  uint16     `json:"call_id"` // in the GRE header
	Alias   *Alias     `json:"alias,omitempty"`
	Expires time.Time  `json:"expires"`
}
