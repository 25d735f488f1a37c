package track

import (
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

// otherFlow is a connection that is known to be other traffic. One that is
// forgotten is found to be so again by its next data segment.
type otherFlow struct {
	opened   bool // its SYN was seen: nothing that is in it is PPTP
	lastSeen Time
}

// addOther notes that the connection with key k is other traffic, and whether
// its SYN was seen.
func (l *Lane) addOther(k *flow.Key, opened bool) {
	l.t.others.add(k, otherFlow{opened, l.now}, func(there *otherFlow) {
		there.opened, there.lastSeen = there.opened || opened, l.now
	})
}

// findOther returns what is known of the connection with key k. One that was
// silent for longer than a control connection may be is not known any more.
func (l *Lane) findOther(k *flow.Key) (f otherFlow, known bool) {
	table := l.t.others.table
	hash := table.Hash(k)
	s := table.Lock(hash)
	defer s.Unlock()
	v := s.Find(hash, k)
	if v == nil || l.now-v.lastSeen > Time(l.settings.Timeouts.TCPEstablished) {
		return otherFlow{}, false
	}
	v.lastSeen = l.now
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
	known, ok := l.findOther(k)
	switch data := f.Data[p.Payload:p.End]; {
	case ok && known.opened:
		return true
	case len(data) == 0:
		return ok
	case stream.HasHeader(data) || l.mustBeRead(k):
		return false
	case !ok:
		l.addOther(k, false)
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
		l.addOther(k, true)
	}
	return true
}

// mustBeRead reports whether data may only leave if it was read, since it might
// hold a call ID that is another host's on the WAN: under translation all data of
// a LAN host that may be part of a control message. So a connection from port
// 1723 whose SYN was not seen is stopped there.
func (l *Lane) mustBeRead(k *flow.Key) bool {
	return l.side == LAN && l.t.nat.translatable(k.Src, k.Zone)
}
