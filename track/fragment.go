package track

import (
	"slices"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Fragments are followed, not reassembled: only the first has the transport
// header, so the verdict on it is the verdict on all. Those that come before
// it are held. All of a datagram comes in by one side, so every Lane has its
// own; nothing here is shared.

// fragmentTimeout is how long a receiver waits for the rest of a datagram, as
// Linux does by default (ipfrag_time), and fragmentHold how long the box keeps
// fragments back that came before the first.
const (
	fragmentTimeout = Time(30e9)
	fragmentHold    = Time(2e9)
)

// datagram is what is known of a fragmented datagram.
type datagram struct {
	key      flow.Key
	verdict  Verdict // of its first fragment, 0 before that came
	reason   Reason
	call     uint64
	gre      flow.Key // of its call, for counting; Kind 0 if it has none
	control  flow.Key // of its control connection; Kind 0 if it has none
	position uint32   // sequence number of the TCP segment
	header   uint16   // octets of the datagram before the TCP payload
	ordered  bool     // its parts leave in their order, since they may have to change
	next     uint16   // of an ordered one: how much has left
	since    Time     // when it was put in its list
	pieces   pieces
	held     []*Frame // in the order in which they came

	owner shareKey
	cost  int64 // of held
	in    [lists]inList
}

// fragmentsOfLane is how many datagrams a Lane follows at a time: its share.
func (o *Options) fragmentsOfLane() int {
	return max(o.Limits.Fragments/flow.Sides/max(o.Workers, 1), 1)
}

// fragmentKey names the datagram of a fragment (RFC 791, section 3.2;
// RFC 8200, section 4.5, where the protocol is no part of it).
func fragmentKey(p *wire.Packet, side Side) flow.Key {
	k := flow.Key{Kind: flow.FragmentKey, Side: side, Zone: p.Zone, Src: p.Src, Dst: p.Dst}
	k.SrcID, k.DstID = uint16(p.FragmentID>>16), uint16(p.FragmentID)
	if p.Version == 4 {
		k.Proto = p.FragmentProto
	}
	return k
}

// firstFragment takes note of a first fragment and of its verdict, if what it
// is part of concerns the box or waits for it.
func (l *Lane) firstFragment(f *Frame) {
	p := &f.Packet
	key := fragmentKey(p, l.side)
	d := l.fragments.known[key]
	if d != nil && d.verdict != 0 {
		l.fragments.giveUp(d, ReasonFragmentOrphan) // the identification is used anew
		d = nil
	}
	switch {
	case d != nil:
		l.fragments.found(d, l.owner(f), f.Verdict)
	case !l.concerns(p):
		return
	default:
		if d = l.fragments.follow(key, l.owner(f), f.Verdict); d == nil {
			return
		}
	}
	d.verdict, d.reason, d.call = f.Verdict, f.Reason, f.Call
	if d.verdict == Expect || d.verdict == Rewrite {
		d.verdict = Forward // what else passes or changes is up to it
	}
	l.describe(d, f)
	d.pieces.add(0, piece(p), !p.MoreFragments)
	l.releaseHeld(d)
}

// concerns reports whether the later fragments of a first one concern the box.
func (l *Lane) concerns(p *wire.Packet) bool {
	return p.Kind == wire.MalformedGRE || p.Kind == wire.TCP && isControl(p) || hidesControl(p) || mayBeGRE(p) || l.mayHideControl(p)
}

// mayBeGRE reports whether a fragment may be of GRE: other headers may stand
// before it.
func mayBeGRE(p *wire.Packet) bool {
	return p.FragmentProto == wire.ProtocolGRE || wire.IsExtension(p.Version, p.FragmentProto)
}

// ofCall reports whether f was found to be GRE of a call.
func (f *Frame) ofCall() bool { return f.Packet.Kind == wire.EnhancedGRE && f.Reason == ReasonCall }

// describe notes what the later fragments of d are parts of.
func (l *Lane) describe(d *datagram, f *Frame) {
	p := &f.Packet
	switch {
	case f.ofCall():
		d.gre = f.key
	case p.Kind == wire.TCP && (d.reason == ReasonControl || isControl(p) && d.reason != ReasonOther && l.t.nat.translatable(p.Src, p.Zone)):
		d.control = controlKey(p, l.side)
		if l.t.nat != nil && l.side == WAN {
			l.t.nat.resolve(&d.control)
		}
		d.header, d.position = uint16(p.Payload-p.FragmentData), dataPosition(p)
		d.ordered, d.next = d.verdict.Passes() && l.t.nat.translatable(p.Src, p.Zone), uint16(piece(p))
	}
}

// piece is how many octets of the datagram's payload a fragment has.
func piece(p *wire.Packet) int { return int(p.End - p.FragmentData) }

// laterFragment decides about a fragment without transport header.
func (l *Lane) laterFragment(f *Frame) {
	p := &f.Packet
	key := fragmentKey(p, l.side)
	d := l.fragments.known[key]
	switch {
	case d != nil && d.verdict != 0:
		l.follow(f, d)
		if d.ordered && d.in[byAge].list != nil && f.Verdict != Hold {
			l.ordered = d
		}
	case mayBeGRE(p) && l.settings.Policy.AnyGRE && !l.stray(f):
		f.decide(Forward, ReasonAnyGRE)
	case mayBeGRE(p) || l.mayHideControl(p):
		if !l.hold(f, key, d) {
			f.decide(Drop, ReasonFragmentLimit)
		}
	case p.Proto == wire.ProtocolTCP && l.knownHosts(f) && l.hold(f, key, d):
		// It may be of a control connection, which is read in order.
	default:
		l.other(f)
	}
}

// mayHideControl reports whether a fragment without a TCP header may be of a
// control connection that policy would not let pass, or of one that it would
// though it stops other traffic, or of one that is translated.
func (l *Lane) mayHideControl(p *wire.Packet) bool {
	policy := &l.settings.Policy
	return p.Proto == wire.ProtocolTCP &&
		(policy.restrictsPPTP() || policy.Other == ActDrop || l.t.nat.translatable(p.Src, p.Zone))
}

// follow gives a later fragment the verdict of the first.
func (l *Lane) follow(f *Frame, d *datagram) {
	if !l.fits(f, d) {
		return
	}
	if d.ordered && f.Packet.FragmentOffset != d.next {
		l.holdOrdered(f, d)
		return
	}
	l.followFitting(f, d)
	if d.pieces.whole() && len(d.held) == 0 {
		l.fragments.forget(d)
	}
}

// holdOrdered keeps a part of a datagram until those before it have left. If there
// is no room for it, the datagram cannot become whole any more.
func (l *Lane) holdOrdered(f *Frame, d *datagram) {
	var c *Frame
	if len(d.held) < maxPieces {
		c = l.keepFragment(f, d)
	}
	if c == nil {
		f.decide(Drop, ReasonControlGap)
		l.fragments.giveUp(d, ReasonControlGap)
		return
	}
	d.held = append(d.held, c)
	l.fragments.enlist(d, &l.fragments.waiting)
	f.decide(Hold, 0)
}

// releaseOrdered lets the parts leave that are next. They follow the frame that
// they waited for.
func (l *Lane) releaseOrdered(d *datagram) {
	for i := 0; i < len(d.held); i++ {
		f := d.held[i]
		if f.Packet.FragmentOffset != d.next {
			continue
		}
		d.held = slices.Delete(d.held, i, i+1)
		l.fragments.pen.leave(f)
		l.fragments.shares.hold(d, -min(d.cost, cost(f)))
		l.followFitting(f, d)
		l.done(f)
		i = -1
	}
	switch {
	case len(d.held) > 0:
		l.fragments.enlist(d, &l.fragments.waiting)
	case d.pieces.whole():
		l.fragments.forget(d)
	case d.in[byAge].list == &l.fragments.waiting:
		l.fragments.enlist(d, &l.fragments.followed)
	}
}

// fits reports whether a fragment is a part of d that was not there yet; if not,
// the frame is decided.
func (l *Lane) fits(f *Frame, d *datagram) bool {
	p := &f.Packet
	offset := int(p.FragmentOffset)
	bad := d.pieces.add(offset, offset+piece(p), !p.MoreFragments)
	if bad != 0 {
		f.choose(mayBeGRE(p) && l.settings.Policy.AnyGRE, ReasonAnyGRE, bad)
	}
	return bad == 0
}

// followFitting is follow for a part of d that is taken note of.
func (l *Lane) followFitting(f *Frame, d *datagram) {
	f.decide(d.verdict, d.reason)
	f.Call = d.call
	d.next = f.Packet.FragmentOffset + uint16(piece(&f.Packet))
	switch {
	case d.gre.Kind != 0:
		l.greFragment(f, d)
	case d.control.Kind != 0:
		l.controlFragment(f, d)
	}
}

// greFragment counts the octets of a call's later fragment. If the call has
// ended since its first, it is of no call any more.
func (l *Lane) greFragment(f *Frame, d *datagram) {
	hash := l.keymap.Hash(&d.gre)
	s := l.keymap.Lock(hash)
	defer s.Unlock()
	if e := s.Find(hash, &d.gre); e != nil && e.serial == d.call && !l.t.endings.has(e.conn, e.serial) {
		e.bytes += uint64(f.Packet.IPLength)
		if e.translates {
			l.translateGRE(f, e)
		}
		return
	}
	if !l.stray(f) {
		f.choose(l.settings.Policy.AnyGRE, ReasonAnyGRE, ReasonNotNegotiated)
	}
}

// controlFragment reads the part of a control segment that a later fragment
// has.
func (l *Lane) controlFragment(f *Frame, d *datagram) {
	hash := l.t.controls.Hash(&d.control)
	lock := l.t.lock(hash)
	c := l.t.find(hash, &d.control)
	if c != nil && c.phase == open && d.reason == ReasonControl && !l.gatedFragment(c, f, d) {
		l.readFragment(c, f, d)
	}
	switch {
	case c == nil:
		l.unfollowedFragment(f)
	case c.named:
		l.translateFragment(c, f, d)
		l.t.nat.heads.giveBack(c, l.side)
	}
	lock.Unlock()
	l.settleFor(f)
}

func (l *Lane) readFragment(c *connection, f *Frame, d *datagram) {
	p := &f.Packet
	position, me := l.fragmentPosition(f, d), &c.ends[l.side]
	if end := position + uint32(piece(p)); after(end, me.end) {
		me.end = end
	}
	l.readOctets(c, f, position, f.Data[p.L4:p.End])
}

// unfollowedFragment is unfollowed for the later fragments of such a segment,
// which have octets that nobody has looked at, or an address of the box's.
func (l *Lane) unfollowedFragment(f *Frame) {
	p := &f.Packet
	if !f.Verdict.Passes() || !l.t.nat.translatable(p.Src, p.Zone) {
		return
	}
	if l.side == LAN {
		f.decide(Drop, ReasonNoTranslation)
		return
	}
	l.stray(f)
}

// hold keeps a fragment that came before the first of its datagram, and reports
// whether there was room.
func (l *Lane) hold(f *Frame, key flow.Key, d *datagram) bool {
	if d == nil {
		d = l.fragments.wait(key, l.owner(f))
	}
	var c *Frame
	if d != nil {
		c = l.keepFragment(f, d)
	}
	if c == nil {
		return false
	}
	d.held = append(d.held, c)
	f.decide(Hold, 0)
	return true
}

// keepFragment copies a frame, unless its owner holds enough.
func (l *Lane) keepFragment(f *Frame, d *datagram) *Frame {
	limit := int64(l.settings.Limits.HoldBytes / 2)
	if !l.fragments.shares.mayHold(d.owner, int64(len(f.Data))+frameMemory, limit, l.t.heldBytes.Load()) {
		l.limit("hold_bytes")
		return nil
	}
	c := l.fragments.pen.keep(l, f)
	if c != nil {
		l.fragments.shares.hold(d, cost(c))
	}
	return c
}

// releaseHeld decides about what was held for the first fragment of d, which is
// now there. Of what overlaps, that counts which came first. The octets of a
// control connection leave in their order, so that they can be read; anything else
// as it came.
func (l *Lane) releaseHeld(d *datagram) {
	fitting := d.held[:0]
	for _, f := range d.held {
		if l.fits(f, d) {
			fitting = append(fitting, f)
			continue
		}
		l.fragments.pen.leave(f)
		l.done(f)
	}
	clear(d.held[len(fitting):])
	if d.ordered {
		d.held = fitting
		l.releaseOrdered(d)
		return
	}
	if d.control.Kind != 0 {
		slices.SortFunc(fitting, func(a, b *Frame) int {
			return int(a.Packet.FragmentOffset) - int(b.Packet.FragmentOffset)
		})
	}
	for _, f := range fitting {
		l.fragments.pen.leave(f)
		l.followFitting(f, d)
		l.done(f)
	}
	clear(fitting)
	l.fragments.emptied(d)
	if d.pieces.whole() {
		l.fragments.forget(d)
	}
}
