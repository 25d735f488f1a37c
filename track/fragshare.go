package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// The datagrams that a Lane follows are shared out, so that one sender takes no
// place from another:
//
//   - Strangers have half of the places: datagrams of no agreed call between hosts
//     of which one has no call and no control connection. Anybody can make them.
//   - A pair of addresses may have as many places as are free for all others, a
//     call half as many. Beyond that its own oldest datagram makes place.
//   - If nothing is free, the oldest datagram makes place.
//
// A datagram that waits for its first fragment makes no other one leave its own
// share: it is not known yet whose it is. All of this costs a datagram, and never
// a packet, a constant number of steps.

// shareKey names those who have places: a pair of addresses, or a call of one.
type shareKey struct {
	pair     flow.Key // PairKey, as the packets go
	call     uint64   // 0: the pair itself
	stranger bool
}

// tcpShare stands for a call in the key of TCP, which is to take no place from the
// calls of its pair.
const tcpShare = ^uint64(0)

// share is what one of them has. It is made with its first datagram, and goes
// with its last.
type share struct {
	key       shareKey
	datagrams datagramList
	held      int64 // what its held frames cost, of a pair
}

// shares are who has places.
type shares struct {
	known map[shareKey]*share
	class [classes]datagramList
	held  [classes]int64 // what held frames cost
	spare []*share
}

// The classes.
const (
	ours = iota
	strangers
	classes
)

func classOf(stranger bool) int {
	if stranger {
		return strangers
	}
	return ours
}

// owner says whose a datagram is.
func (l *Lane) owner(f *Frame) shareKey {
	p := &f.Packet
	k := shareKey{pair: flow.Key{Kind: flow.PairKey, Side: l.side, Zone: p.Zone, Src: p.Src, Dst: p.Dst}}
	if f.ofCall() {
		k.call = f.Call
		return k
	}
	if p.Proto == wire.ProtocolTCP {
		k.call = tcpShare
	}
	k.stranger = !l.knownHosts(f)
	return k
}

// knownHosts reports whether both hosts of a packet have calls or control
// connections. Of one from the WAN to a translated address only the sender tells.
func (l *Lane) knownHosts(f *Frame) bool {
	p := &f.Packet
	return l.t.isKnown(p.Src, p.Zone) &&
		(l.side == WAN && l.t.nat.translatable(p.Dst, p.Zone) || l.t.isKnown(p.Dst, p.Zone))
}

// pairOf is the key of the pair of addresses.
func (k shareKey) pairOf() shareKey {
	k.call = 0
	return k
}

// enter puts a datagram into the shares of its owner.
func (s *shares) enter(d *datagram, k shareKey) {
	d.owner = k
	s.class[classOf(k.stranger)].push(d, byClass)
	s.of(k.pairOf()).datagrams.push(d, byPair)
	if k.call != 0 {
		s.of(k).datagrams.push(d, byCall)
	}
}

// leave takes a datagram out of the shares that it is in.
func (s *shares) leave(d *datagram) {
	if d.in[byClass].list == nil {
		return
	}
	for _, by := range [...]listed{byClass, byPair, byCall} {
		d.unlist(by)
	}
	s.tidy(d.owner.pairOf())
	if d.owner.call != 0 {
		s.tidy(d.owner)
	}
}

func (s *shares) of(k shareKey) *share {
	h := s.known[k]
	if h != nil {
		return h
	}
	if n := len(s.spare); n > 0 {
		h, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		h = new(share)
	}
	*h = share{key: k}
	s.known[k] = h
	return h
}

// tidy forgets a share that nothing is in.
func (s *shares) tidy(k shareKey) {
	if h := s.known[k]; h != nil && h.datagrams.n == 0 {
		delete(s.known, k)
		s.spare = append(s.spare, h)
	}
}

// count returns how many places those named have.
func (s *shares) count(k shareKey) int {
	if h := s.known[k]; h != nil {
		return h.datagrams.n
	}
	return 0
}

// hasMore returns the oldest datagram of a call or pair that has more than its
// share of the places that are free, or nil.
func (s *shares) hasMore(k shareKey, free int) *datagram {
	if k.call != 0 && s.count(k) >= max(free/2, 1) {
		return s.known[k].datagrams.head
	}
	if pair := k.pairOf(); s.count(pair) >= max(free, 1) {
		return s.known[pair].datagrams.head
	}
	return nil
}

// mayHold reports whether a frame of a datagram of this owner may be held, of all
// that may be held so many octets are free. Hosts that are known may hold four
// times what is left for others, a datagram of the largest size among it; others
// as much as is left in their half.
func (s *shares) mayHold(k shareKey, cost, limit, used int64) bool {
	held, free := int64(0), limit-used-cost
	if h := s.known[k.pairOf()]; h != nil {
		held = h.held
	}
	if k.stranger {
		return held <= min(free, limit/2-s.held[strangers])
	}
	return held <= 4*free
}

// hold adds what a datagram's held frames cost.
func (s *shares) hold(d *datagram, cost int64) {
	if cost == 0 {
		return
	}
	s.held[classOf(d.owner.stranger)] += cost
	s.of(d.owner.pairOf()).held += cost
	d.cost += cost
}
