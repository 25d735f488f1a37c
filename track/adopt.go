package track

import (
	"sync"
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// Adoption finds the calls that were agreed before the box could see it. Two
// hosts whose control connection was taken up in its middle, and was confirmed
// by both, may have such calls. GRE between them that belongs to no call makes
// its direction an adoptee. A few packets a second of it pass, lest two ends
// wait for each other's, and thousands of them at once while there is an adoptee
// of the other direction, too: without what they acknowledge, it could not be told
// which two directions are one call. An end acknowledges what the other end of the same
// call sent (RFC 2637, section 4.2), so two adoptees agree when the one's
// acknowledgement numbers are among the other's sequence numbers. Then they
// become a call.

// ports are the TCP ports of a control connection, LAN and WAN.
type ports struct{ lan, wan uint16 }

// pairKey names the two ends of c, whatever their ports.
func pairKey(c *connection) flow.Key {
	return flow.Key{Kind: flow.PairKey, Zone: c.key.Zone, Src: c.key.Src, Dst: c.key.Dst}
}

func (c *connection) ports() ports { return ports{c.key.SrcID, c.key.DstID} }

// enterPair makes c the connection that adopts calls between its ends. Of
// several between the same ends it is the one heard last.
func (t *Tracker) enterPair(c *connection) {
	if c.named {
		return // what the WAN calls its IDs nobody knows
	}
	k := pairKey(c)
	hash := t.pairs.Hash(&k)
	s := t.pairs.Lock(hash)
	defer s.Unlock()
	if v, _ := s.Insert(hash, &k); v != nil {
		*v = c.ports()
	}
}

// leavePair takes back what enterPair entered.
func (t *Tracker) leavePair(c *connection) {
	if !c.midway {
		return
	}
	k := pairKey(c)
	hash := t.pairs.Hash(&k)
	s := t.pairs.Lock(hash)
	defer s.Unlock()
	if v := s.Find(hash, &k); v != nil && *v == c.ports() {
		s.Delete(hash, &k)
	}
}

// adopter returns the key of the control connection that adopts calls between
// the ends of a GRE packet.
func (t *Tracker) adopter(gre *flow.Key) (flow.Key, bool) {
	pair := flow.Key{Kind: flow.PairKey, Zone: gre.Zone, Src: gre.Src, Dst: gre.Dst}
	if gre.Side == WAN {
		pair.Src, pair.Dst = gre.Dst, gre.Src
	}
	hash := t.pairs.Hash(&pair)
	s := t.pairs.Lock(hash)
	defer s.Unlock()
	v := s.Find(hash, &pair)
	if v == nil {
		return flow.Key{}, false
	}
	return flow.Key{
		Kind: flow.ControlKey, Zone: pair.Zone, Src: pair.Src, Dst: pair.Dst, SrcID: v.lan, DstID: v.wan,
	}, true
}

// adopt lets a GRE packet of no call pass if it can be of one that was agreed
// before, and makes that call known once its directions agree. The caller holds
// no lock.
func (l *Lane) adopt(f *Frame) {
	control, ok := l.t.adopter(&f.key)
	if !ok || f.Packet.Faults != 0 || l.t.nat != nil { // what the WAN calls the IDs of such a call is not known
		return
	}
	if l.adoptFrom(f, &control) {
		l.gre(f)
	}
	l.release()
	l.settle()
}

// straggling is how long GRE may still come of a call that has ended: its
// connection adopts nothing meanwhile.
const straggling = 2 * time.Second

// adoptFrom is adopt for the connection with the given key, under its lock. It
// reports whether the packet's call was made known.
func (l *Lane) adoptFrom(f *Frame, control *flow.Key) bool {
	hash := l.t.controls.Hash(control)
	lock := l.t.lock(hash)
	defer lock.Unlock()
	c := l.t.find(hash, control)
	if c == nil || !c.midway || c.phase != open || c.callEnded != 0 && l.now.Sub(c.callEnded) < straggling {
		return false
	}
	partner, heard, agreed := l.t.adoptees.hear(&f.key, hash, &f.Packet, l.now)
	switch {
	case agreed && (l.t.isAgreed(&f.key) || l.t.isAgreed(&partner)):
		// It is of a call that was agreed since, which is not to be replaced.
	case agreed && l.adoptCall(c, f.key.DstID, l.side.Other(), partner.DstID):
		return true
	case agreed:
		c.callEnded = l.now // a limit is reached: none of its GRE for a while
	case heard && c.doubts < maxDoubts:
		c.doubts++
		f.decide(Forward, ReasonAdopting)
	case c.tries(l.now):
		f.decide(Forward, ReasonAdopting)
	}
	return false
}

// maxDoubts is how many packets may pass between the ends of one connection,
// while both directions have adoptees, until two of them agree: what never does
// is no call, and no limit would count it.
const maxDoubts = 1 << 12

// isAgreed reports whether a direction is of a call.
func (t *Tracker) isAgreed(gre *flow.Key) bool {
	_, ok := t.entry(gre)
	return ok
}

// maxTries is how many packets a second of adoptees that nobody answers may
// pass between the ends of one connection: few enough for a scan to find
// nothing.
const maxTries = 64

// tries counts a packet that nobody may answer and reports whether it may pass.
func (c *connection) tries(now Time) bool {
	if c.tried == 0 || now.Sub(c.trySecond) >= time.Second {
		c.trySecond, c.tried = now, 0
	}
	c.tried = min(c.tried+1, maxTries+1)
	return c.tried <= maxTries
}

// adoptCall makes a call of two directions: the end on side to assigned
// toID, the other one fromID. Who asked for it is not known; mostly it was the
// client, as PNS.
func (l *Lane) adoptCall(c *connection, toID uint16, to Side, fromID uint16) bool {
	r := l.newCall(c)
	if r == 0 {
		return false
	}
	k := l.t.calls.at(r)
	k.kind, k.pns, k.adopted, k.control = pptp.OutgoingCall, c.client, true, l.now
	for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
		if k.side(role) == to {
			k.setID(c, role, toID)
		} else {
			k.setID(c, role, fromID)
		}
	}
	if !l.connect(c, r) {
		l.forget(c, r)
		return false
	}
	c.adopted, c.doubts = true, 0
	return true
}

// adoptee is a direction whose GRE belongs to no call yet.
type adoptee struct {
	key         flow.Key // GREKey
	first, last uint32   // sequence numbers: what may be acknowledged lies between
	ack         uint32   // the last acknowledgement number
	numbered    bool     // first and last are there
	acks        bool     // ack is there
	packets     uint32
	heard       Time
	with        flow.Key // the direction that its last packets fitted best
	steady      uint32   // how many of them, one behind the other
}

// adoptees are remembered in sets, by connection, of a few each: those heard
// last.
type adoptees struct {
	mu   sync.Mutex
	sets [][adopteeWays]adoptee // made when first needed
}

const (
	adopteeSets = 64
	adopteeWays = 64
	// adopteeLife is how long an adoptee is one: longer than ends are
	// silent that talk.
	adopteeLife = 60 * time.Second
	// enoughPackets of a direction tell as much of it as it will tell: it
	// never acknowledges, or two others fit alike.
	enoughPackets = 8
	// closely is how far the two acknowledgements of a call lag behind, together,
	// while its ends answer each other.
	closely = 64
	// steadyClosely is how many packets of a direction have to fit one other
	// direction closely, one behind the other, and steadyFar how many if they lag.
	steadyClosely = 2
	steadyFar     = 2 * enoughPackets
	// maxInFlight is how far an acknowledgement may lag behind what was sent.
	maxInFlight = 1 << 12
)

// hear notes a packet of a direction. heard says that the other direction has
// adoptees, too; agreed, that partner is its call's other direction, and both
// are no longer adoptees.
func (q *adoptees) hear(k *flow.Key, hash uint64, p *wire.Packet, now Time) (partner flow.Key, heard, agreed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sets == nil {
		q.sets = make([][adopteeWays]adoptee, adopteeSets)
	}
	set := &q.sets[hash%adopteeSets]
	me := findAdoptee(set, k, now)
	me.take(p, now)
	other, heard := me.partner(set, now)
	if other == nil {
		return flow.Key{}, heard, false
	}
	partner = other.key
	*me, *other = adoptee{}, adoptee{}
	return partner, true, true
}

// findAdoptee returns the adoptee with the given key; if there is none, it
// takes the place of the one heard longest ago.
func findAdoptee(set *[adopteeWays]adoptee, k *flow.Key, now Time) *adoptee {
	oldest := &set[0]
	for i := range set {
		c := &set[i]
		if c.key == *k && c.alive(now) {
			return c
		}
		if c.heard < oldest.heard {
			oldest = c
		}
	}
	*oldest = adoptee{key: *k}
	return oldest
}

func (c *adoptee) alive(now Time) bool { return c.packets > 0 && now.Sub(c.heard) < adopteeLife }

func (c *adoptee) take(p *wire.Packet, now Time) {
	c.packets++
	c.heard = now
	if p.HasSeq {
		if !c.numbered || isJump(int32(p.Seq-c.last)) {
			c.first = p.Seq
		}
		c.last, c.numbered = p.Seq, true
		if int32(c.last-c.first) > maxGap {
			c.first = c.last - maxGap // what came before is acknowledged by now
		}
	}
	if p.HasAck {
		c.ack, c.acks = p.Ack, true
	}
}

// partner returns the adoptee that is the other direction of c's call, if
// that can be told, and whether there is any that could be. Of several that agree
// c takes the one that fits best, if that one, too, fits none better than c. One
// packet tells nothing: who makes numbers up hits once; the ends of a call go on to
// acknowledge what the other sends.
func (c *adoptee) partner(set *[adopteeWays]adoptee, now Time) (best *adoptee, heard bool) {
	least := uint32(0)
	for i := range set {
		o := &set[i]
		if !o.alive(now) || !c.faces(o) {
			continue
		}
		heard = true
		if !c.agrees(o) {
			continue
		}
		if lag := c.lag(o) + o.lag(c); best == nil || lag < least || lag == least && o.heard > best.heard {
			best, least = o, lag
		}
	}
	if !c.fits(best) {
		return nil, heard
	}
	needs := uint32(steadyFar)
	if least <= closely {
		needs = steadyClosely
	}
	if c.steady < needs || best.with != c.key {
		return nil, heard
	}
	return best, heard
}

// fits notes which adoptee c's last packet fits best, if any.
func (c *adoptee) fits(best *adoptee) bool {
	if best == nil {
		c.with, c.steady = flow.Key{}, 0
		return false
	}
	if c.with != best.key {
		c.with, c.steady = best.key, 0
	}
	c.steady++
	return true
}

// lag is how far c's last acknowledgement is behind what o has sent last.
func (c *adoptee) lag(o *adoptee) uint32 {
	if !c.acks || !o.numbered {
		return 0
	}
	return o.last - c.ack
}

// faces reports whether o goes from where c goes to where c comes from.
func (c *adoptee) faces(o *adoptee) bool {
	return c.key.Side != o.key.Side && c.key.Src == o.key.Dst && c.key.Dst == o.key.Src && c.key.Zone == o.key.Zone
}

// agrees reports whether what each acknowledges is what the other has sent:
// nothing, if that has sent nothing. Two that never acknowledge anything agree,
// too, after a while.
func (c *adoptee) agrees(o *adoptee) bool {
	if !c.acks && !o.acks {
		return min(c.packets, o.packets) >= enoughPackets
	}
	return c.answers(o) && o.answers(c)
}

func (c *adoptee) answers(o *adoptee) bool {
	if !c.acks {
		return !o.numbered
	}
	return c.acknowledges(o)
}

// acknowledges reports whether c's last acknowledgement can be of o's packets.
// What was dropped on the way is not acknowledged, so that it may lag.
func (c *adoptee) acknowledges(o *adoptee) bool {
	return o.numbered && int32(c.ack-o.last) <= 0 && int32(o.first-c.ack) <= maxInFlight
}
