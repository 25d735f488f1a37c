package track

import (
	"sync"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// A TCP connection with port 1723 at one end is a control connection only if it
// was opened to that port. Port 1723 is an ordinary source port, too: many
// systems and NATs give it to connections that have nothing to do with PPTP.
//
//	SYN to port 1723, SYN,ACK from it     control connection
//	SYN from port 1723, SYN,ACK to it     other traffic
//	first seen in its middle              control connection from the first
//	                                      segment on that has a whole header of
//	                                      a control message; before that, data
//	                                      is other traffic
//
// If both ports are 1723 it is a control connection. A connection that the
// tracker follows already is one, whatever its segments say.

// otherFlows remembers the connections that are known to be other traffic. Its
// memory is fixed: a new one takes the place of the oldest, and one that is
// forgotten is found to be other traffic again by its next data segment.
type otherFlows struct {
	table *flow.Table[otherFlow] // ControlKey
	mu    sync.Mutex             // guards ring and at
	ring  []flow.Key
	at    int
}

// otherFlow is a connection that is other traffic.
type otherFlow struct {
	opened   bool // its SYN was seen: nothing that is in it is PPTP
	lastSeen Time
}

func newOtherFlows(o *Options) *otherFlows {
	n := shareOf(o.Limits.Connections)
	return &otherFlows{table: flow.NewTable[otherFlow](n+1, o.Seed), ring: make([]flow.Key, n)}
}

// add notes that the connection with key k is other traffic.
func (o *otherFlows) add(k *flow.Key, f otherFlow) {
	hash := o.table.Hash(k)
	s := o.table.Lock(hash)
	v, found := s.Insert(hash, k)
	if v != nil {
		f.opened = f.opened || found && v.opened
		*v = f
	}
	s.Unlock()
	if v != nil && !found {
		o.replace(k)
	}
}

// replace puts k into the ring and forgets the connection that was there.
func (o *otherFlows) replace(k *flow.Key) {
	o.mu.Lock()
	old := o.ring[o.at]
	o.ring[o.at] = *k
	o.at = (o.at + 1) % len(o.ring)
	o.mu.Unlock()
	if old != *k {
		o.remove(&old)
	}
}

func (o *otherFlows) remove(k *flow.Key) { drop(o.table, k) }

// find returns what is known of the connection with key k. One that was silent
// for longer than idle is not known any more.
func (o *otherFlows) find(k *flow.Key, now, idle Time) (f otherFlow, known bool) {
	hash := o.table.Hash(k)
	s := o.table.Lock(hash)
	defer s.Unlock()
	v := s.Find(hash, k)
	if v == nil || now-v.lastSeen > idle {
		return otherFlow{}, false
	}
	v.lastSeen = now
	return *v, true
}

// isOther reports whether a segment of no known connection, with port 1723 at
// one end, is other traffic.
func (l *Lane) isOther(k *flow.Key, f *Frame) bool {
	p := &f.Packet
	switch {
	case p.SrcPort == p.DstPort:
		return false
	case p.Flags&wire.SYN != 0:
		return l.opensOther(k, p)
	}
	known, ok := l.t.others.find(k, l.now, Time(l.settings.Timeouts.TCPEstablished))
	switch data := f.Data[p.Payload:p.End]; {
	case ok && known.opened:
		return true
	case len(data) == 0:
		return ok
	case stream.HasHeader(data) || l.mustBeRead(k, p):
		return false
	case !ok:
		l.t.others.add(k, otherFlow{lastSeen: l.now})
	}
	return true
}

// opensOther is isOther for a segment with SYN. What a LAN host answers does
// not count under translation: by that alone it could declare its own control
// connection to be other traffic. The SYN that it answers has counted.
func (l *Lane) opensOther(k *flow.Key, p *wire.Packet) bool {
	toServer := p.DstPort == serverPort
	if answers := p.Flags&wire.ACK != 0; answers != toServer {
		return false
	} else if !answers || l.side == WAN || !l.t.nat.translatable(k.Src, k.Zone) {
		l.t.others.add(k, otherFlow{opened: true, lastSeen: l.now})
	}
	return true
}

// mustBeRead reports whether a LAN host's data for port 1723 may only leave if it
// was read, since it might hold a call ID that is another host's on the WAN.
func (l *Lane) mustBeRead(k *flow.Key, p *wire.Packet) bool {
	return l.side == LAN && p.DstPort == serverPort && l.t.nat.translatable(k.Src, k.Zone)
}
