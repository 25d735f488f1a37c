package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// Saved is what a Tracker knows that lets calls go on when the box is started
// anew: confirmed control connections and their calls. What waits for frames
// (fragments, split messages, handshakes) is no part of it.
//
// The elements of its lists have a fixed size and no pointers, so that they can
// be written as they lie.
type Saved struct {
	Now         Time   // when it was saved
	Serial      uint64 // of the last call
	Connections []SavedConnection
	Calls       []SavedCall // those of the first connection, of the second, …
}

// SavedConnection is a control connection. Its fields are those of connection.
type SavedConnection struct {
	LANAddr, WANAddr wire.Addr
	Zone             wire.Zone
	LANPort, WANPort uint16
	Midway, Doubtful bool
	Adopted          bool
	Opener, Client   Side
	Requester        Side
	Session          pptp.SessionState
	LastSeen         Time
	Ends             [flow.Sides]SavedEnd // by the side that sends
	Calls            uint32               // how many of Saved.Calls are its
	AliasAddr        wire.Addr            // of the LAN's end, as the WAN knows it
	LANMAC           uint64
	AliasPort        uint16
	Heads            [flow.Sides][savedHeads]SavedHead // of the last messages not acknowledged
	MoreHeads        [flow.Sides]bool                  // there were others before them
}

// savedHeads is how many messages of a direction are saved. Who sends more before
// the first is acknowledged is no PPTP peer, and sends the others again in vain.
const savedHeads = 8

// SavedHead is what a message of a translated connection begins with, as it has
// left: at a position of the stream, so many octets. There is none if N is 0. Of
// one that is Split no more was there, and its call ID not yet. What makes a reply a
// refusal may be in Octets before it was there, behind the N.
type SavedHead struct {
	Position uint32
	N        uint8
	Split    bool
	Octets   [headLength]byte
}

// SavedEnd is the TCP state of what one end sends, in sequence numbers, and how
// far its messages were read.
type SavedEnd struct {
	End, Edge, Window, Acked            uint32
	Scale                               uint8
	Known, Acks, Limits, Scales, Agreed bool
	Fin, Unsummed                       bool
	Reading                             bool // Position is where the next message begins
	Lost                                bool // it is read no further
	Position                            uint32
}

// SavedCall is a call.
type SavedCall struct {
	Serial                  uint64
	Kind                    pptp.CallKind
	State                   pptp.CallState
	PNS                     Side
	IDs                     [2]uint16 // of PNS and PAC
	Alias                   uint16    // what the WAN calls the LAN's
	Known                   [2]bool   // whether they have assigned it
	Adopted                 bool
	Started, Control, Waits Time
	GRE                     [flow.Sides]SavedGRE // by the side it comes in
}

// SavedGRE is what was counted of a direction of a call, and where its sequence
// numbers are.
type SavedGRE struct {
	Packets, Bytes                   uint64
	Last                             Time
	Seen                             uint64
	Top, Ack                         uint32
	Lost, Reordered, Repeated, Jumps uint32
}

// Save puts what t knows at now into s, in place of what was there. Frames pass
// meanwhile: a connection is locked while it is saved, and no more than one.
func (t *Tracker) Save(s *Saved, now Time) {
	s.Now, s.Connections, s.Calls = now, s.Connections[:0], s.Calls[:0]
	for _, key := range t.controlKeys() {
		hash := t.controls.Hash(&key)
		lock := t.lock(hash)
		if c := t.find(hash, &key); c != nil && c.phase == open {
			t.saveConnection(s, c)
		}
		lock.Unlock()
	}
	s.Serial = t.serial.Load()
}

func (t *Tracker) saveConnection(s *Saved, c *connection) {
	out := SavedConnection{
		LANAddr: c.key.Src, WANAddr: c.key.Dst, Zone: c.key.Zone, LANPort: c.key.SrcID, WANPort: c.key.DstID,
		Midway: c.midway, Doubtful: c.doubtful, Adopted: c.adopted, Opener: c.opener, Client: c.client, Requester: c.requester, Session: c.session,
		LastSeen: c.lastSeen, Calls: uint32(c.calls), AliasAddr: c.alias.addr, AliasPort: c.alias.port,
	}
	for side := range out.Ends {
		out.Ends[side] = c.ends[side].saved(&c.streams[side])
	}
	if c.named {
		t.saveNamed(&out, c)
	}
	s.Connections = append(s.Connections, out)
	// Those that carry GRE come first: if not all can be restored, they are.
	for _, list := range [...]callList{active, expecting, pending} {
		t.saveList(s, c, list)
	}
}

// saveList saves the calls of a list, the oldest first, which is at its end.
func (t *Tracker) saveList(s *Saved, c *connection, list callList) {
	r := c.lists[list]
	for r != 0 && t.calls.at(r).next != 0 {
		r = t.calls.at(r).next
	}
	for ; r != 0; r = t.calls.at(r).prev {
		s.Calls = append(s.Calls, t.savedCall(c, t.calls.at(r)))
	}
}

func (e *tcpEnd) saved(d *stream.Direction) SavedEnd {
	out := SavedEnd{
		End: e.end, Edge: e.edge, Window: e.window, Acked: e.acked, Scale: e.scale,
		Known: e.known, Acks: e.acks, Limits: e.limits, Scales: e.scales, Agreed: e.agreed, Fin: e.fin, Unsummed: e.unsummed,
		Lost: d.State() == stream.Lost,
	}
	out.Position, out.Reading = d.Position()
	return out
}

func (t *Tracker) savedCall(c *connection, k *call) SavedCall {
	out := SavedCall{
		Serial: k.serial.Load(), Kind: k.kind, State: k.state, PNS: k.pns, IDs: k.ids, Alias: k.alias, Known: k.idKnown, Adopted: k.adopted,
		Started: k.started, Control: k.control, Waits: k.waits,
	}
	if !k.state.CarriesGRE() {
		return out
	}
	for side := range out.GRE {
		e := t.traffic(&c.identity, k, Side(side))
		q := &e.sequence
		out.GRE[side] = SavedGRE{
			Packets: e.packets, Bytes: e.bytes, Last: e.last, Seen: q.seen, Top: q.top, Ack: q.ack,
			Lost: q.lost, Reordered: q.reordered, Repeated: q.repeated, Jumps: q.jumps,
		}
	}
	return out
}
