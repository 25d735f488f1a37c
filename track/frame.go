package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Frame is one frame on its way through the box. A port fills in what came
// off the wire (Data, Offload, Truncated, Number), the Lane fills in the rest.
//
// Data belongs to the port that received it and is valid until that port's
// next Receive; a Lane copies what it holds longer.
type Frame struct {
	// Data is the whole frame from the destination MAC address to the last
	// byte received: VLAN tags with their real TPID in place, padding and
	// trailers included, frame check sequence not.
	Data []byte
	// Offload says what of the frame's checksum and segmentation is still to
	// be finished by whoever sends it on.
	Offload wire.Offload
	// Truncated is set when the port could not take the frame whole. Such a
	// frame is dropped, never forwarded.
	Truncated bool
	// Number is the port's own name for the frame; replay counts from 1. The
	// tracker only keeps it with frames that it holds.
	Number uint64

	// Packet is what Decode made of Data.
	Packet wire.Packet

	// Verdict and Reason are the decision; every frame gets exactly one.
	Verdict Verdict
	Reason  Reason
	// Call is the number of the call concerned, 0 if none.
	Call uint64
	// Rewritten is set when bytes of Data are to change, or were changed.
	Rewritten bool

	// Change is what has to change, if Rewritten is set: package nat does it.
	Change Change

	// key is an EnhancedGRE packet's in the key map, hash its hash there, and
	// slot where it should be, made ahead of the decision.
	key  flow.Key
	hash uint64
	slot int
}

// Side is a port of the box, see flow.Side.
type Side = flow.Side

// The two sides of the box.
const (
	LAN = flow.LAN
	WAN = flow.WAN
)

// Time is an instant of the box's injected clock, see flow.Time.
type Time = flow.Time
