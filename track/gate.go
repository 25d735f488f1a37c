package track

import (
	"slices"

	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// Of a translated connection no octet may leave before it is known whether it is
// to be changed. Where messages begin is known of what comes in order only: a
// segment behind a gap is held until the gap is filled. And one that ends within
// an ID is held until the rest of the ID has come. Everything else leaves at
// once, however its messages are cut.
//
// What nobody can look at does not leave at all, if it comes from the LAN: it
// might say an ID that is another host's there. That is so of a direction that
// has lost the thread, and of a segment that has no effect, behind a close or out
// of the window. The end on the WAN cannot do that to anybody but its peer.
//
// What is held is bounded in octets (limits.hold_bytes), in frames for each
// connection, and in time: then it drops, as if the network had lost it, and TCP
// sends it again.

const (
	controlHold = Time(1e9) // shorter than the retransmission of those who wait longest, 3 s (RFC 6298)
	maxHeld     = 64        // frames of a direction: more than a window of 64 KiB
)

// gate is where a Lane keeps segments of translated connections.
type gate struct {
	waiting map[uint64]*waiting // by the connection's serial
	order   []heldSegment       // the oldest first; some have left already
	held    int                 // how many have not
	spare   []*waiting          // to be used again
}

// heldSegment is a frame that waits, by the connection it is of.
type heldSegment struct {
	serial uint64
	frame  *Frame
	since  Time
}

// waiting are the segments of one direction of a connection that are held.
type waiting struct {
	early []heldSegment // not read: behind a gap
	split []heldSegment // read: they end within an ID
}

// goal is where a connection's direction is after its last segment.
type goal struct {
	serial uint64
	next   uint32 // the position of the first octet that is not there
}

// gated reports whether f, a segment with octets in the window, has to wait, and
// holds it if so. The caller holds c's lock.
func (l *Lane) gated(c *connection, f *Frame) bool {
	p := &f.Packet
	d := &c.streams[l.side]
	if !c.named || segmentEnd(p) == p.Seq || !d.HasRead() {
		return false // a FIN has its turn like any octet
	}
	inOrder := d.State() == stream.Reading || l.side == LAN // what is passed over there never leaves
	switch early := inOrder && after(dataPosition(p), d.Frontier(l.t.buffers)); {
	case !early && !l.forgotten(c, f):
		return false
	case !early:
		f.decide(Drop, ReasonNoTranslation)
	case p.Fragment:
		f.decide(Drop, ReasonControlGap)
	default:
		l.holdSegment(c.serial, f, false)
	}
	return true
}

// forgotten reports whether a segment of the LAN's end begins with octets that were
// read, or passed over, and of which is not known how they left. It cannot leave, so
// that nothing is read of it: a name that is given now, and leaves later, might be
// another host's by then.
func (l *Lane) forgotten(c *connection, f *Frame) bool {
	if l.side == WAN {
		return false
	}
	start := dataPosition(&f.Packet)
	end := start + uint32(f.Packet.PayloadLength())
	if read := c.streams[l.side].Frontier(l.t.buffers); after(end, read) {
		end = read
	}
	g := l.t.nat.heads.log(c, l.side)
	return !g.knows(LAN, start, end) && !l.needless(c, f)
}

// holdSegment keeps a copy of a frame, or drops it if there is no room.
func (l *Lane) holdSegment(serial uint64, f *Frame, split bool) {
	w := l.gate.waiting[serial]
	var copied *Frame
	if w == nil || len(w.early)+len(w.split) < maxHeld {
		copied = l.fragments.pen.keep(l, f)
	}
	if copied == nil {
		f.decide(Drop, ReasonControlGap)
		return
	}
	if w == nil {
		w = l.gate.begin(serial)
	}
	held := heldSegment{serial, copied, l.now}
	if split {
		w.split = append(w.split, held)
	} else {
		w.early = append(w.early, held)
	}
	l.gate.enlist(held)
	f.decide(Hold, 0)
}

// begin makes room for the segments of a connection.
func (g *gate) begin(serial uint64) *waiting {
	var w *waiting
	if n := len(g.spare); n > 0 {
		w, g.spare = g.spare[n-1], g.spare[:n-1]
	} else {
		w = new(waiting)
	}
	if g.waiting == nil {
		g.waiting = make(map[uint64]*waiting)
	}
	g.waiting[serial] = w
	return w
}

// enlist notes when a segment's time is over. Those that have left go when they
// are more than those that have not: whoever fills his gaps at once makes many.
func (g *gate) enlist(held heldSegment) {
	if len(g.order) >= 2*g.held+maxHeld {
		g.order = slices.DeleteFunc(g.order, func(h heldSegment) bool { return !g.has(h) })
	}
	g.order = append(g.order, held)
	g.held++
}

func (g *gate) has(held heldSegment) bool {
	w := g.waiting[held.serial]
	return w != nil && (slices.Contains(w.early, held) || slices.Contains(w.split, held))
}

// finishNamed lets go what waited for the octets of f, and has f itself wait or
// change. The caller holds c's lock.
func (l *Lane) finishNamed(c *connection, f *Frame) {
	d := &c.streams[l.side]
	if d.State() != stream.Reading {
		l.translate(c, f)
		return
	}
	l.goal = goal{c.serial, d.Frontier(l.t.buffers)}
	l.releaseSplit(c)
	p := &f.Packet
	last := p.PayloadLength() > 0 && dataPosition(p)+uint32(p.PayloadLength()) == l.goal.next
	switch {
	case !last || !f.Verdict.Passes() || !l.splitsID(d):
		l.translate(c, f)
	case p.Fragment:
		f.decide(Drop, ReasonControlGap) // the rest, in a later one, would wait for it
	default:
		l.holdSegment(c.serial, f, true)
	}
}

// splitsID reports whether what is there of the message on its way ends within
// its ID.
func (l *Lane) splitsID(d *stream.Direction) bool {
	v := d.Partial(l.t.buffers)
	at, ok := idField(l.side, v)
	return ok && len(v) == at+1
}

// releaseSplit lets go what ended within an ID that is whole now; it leaves
// before the frame that brought the rest. The caller holds c's lock.
func (l *Lane) releaseSplit(c *connection) {
	w := l.gate.waiting[c.serial]
	if w == nil {
		return
	}
	for len(w.split) > 0 {
		f := w.split[0].frame
		if end := dataPosition(&f.Packet) + uint32(f.Packet.PayloadLength()); !after(l.goal.next, end) {
			break
		}
		w.split = slices.Delete(w.split, 0, 1)
		l.gate.held--
		l.fragments.pen.leave(f)
		l.translate(c, f)
		l.done(f)
	}
	l.gate.tidy(c.serial, w)
}

// releaseEarly decides about what was held behind a gap that is filled now. The
// caller holds no lock.
func (l *Lane) releaseEarly() {
	for l.goal.serial != 0 {
		f := l.gate.next(&l.goal)
		if f == nil {
			break
		}
		l.fragments.pen.leave(f)
		l.control(f)
		if f.Verdict != Hold {
			l.done(f)
		}
	}
	l.goal = goal{}
}

// next takes out a segment that is in order now.
func (g *gate) next(to *goal) *Frame {
	w := g.waiting[to.serial]
	if w == nil {
		return nil
	}
	i := slices.IndexFunc(w.early, func(h heldSegment) bool { return !after(dataPosition(&h.frame.Packet), to.next) })
	if i < 0 {
		return nil
	}
	f := w.early[i].frame
	w.early = slices.Delete(w.early, i, i+1)
	g.held--
	g.tidy(to.serial, w)
	return f
}

func (g *gate) tidy(serial uint64, w *waiting) {
	if len(w.early)+len(w.split) == 0 {
		delete(g.waiting, serial)
		if len(g.spare) < maxSpare {
			g.spare = append(g.spare, w)
		}
	}
	if len(g.waiting) == 0 {
		clear(g.order)
		g.order = g.order[:0]
	}
}

// take removes a segment that is still there.
func (g *gate) take(held heldSegment) bool {
	w := g.waiting[held.serial]
	if w == nil {
		return false
	}
	for _, list := range [...]*[]heldSegment{&w.early, &w.split} {
		if i := slices.Index(*list, held); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			g.held--
			g.tidy(held.serial, w)
			return true
		}
	}
	return false
}

// expireHeld gives up what has waited since before until.
func (l *Lane) expireHeld(until Time) {
	g := &l.gate
	n := 0
	for n < len(g.order) && g.order[n].since <= until {
		held := g.order[n]
		n++
		if g.take(held) {
			l.fragments.pen.leave(held.frame)
			held.frame.decide(Drop, ReasonControlGap)
			l.done(held.frame)
		}
		if len(g.order) == 0 {
			return
		}
	}
	g.order = slices.Delete(g.order, 0, n)
}

// translate says what of a control segment has to change. The caller holds c's
// lock.
func (l *Lane) translate(c *connection, f *Frame) {
	if !f.Verdict.Passes() || !c.named {
		return
	}
	p := &f.Packet
	if l.unread(c, f) {
		f.decide(Drop, ReasonNoTranslation)
		if c.notPPTP(l.side) {
			f.decide(Drop, ReasonNotPPTP)
		}
		return
	}
	l.readdress(c, f)
	l.pinNeedless(c, f)
	if !l.patch(c, f, dataPosition(p), p.PayloadLength()) && l.side == LAN {
		f.Change = Change{}
		f.decide(Drop, ReasonNoTranslation)
		return
	}
	f.changed()
}

// unread reports whether a segment has octets that nobody has looked at, and that
// may not leave for that.
func (l *Lane) unread(c *connection, f *Frame) bool {
	p := &f.Packet
	d := &c.streams[l.side]
	ahead := after(dataPosition(p)+uint32(p.PayloadLength()), d.Frontier(l.t.buffers))
	outOfWindow := f.Reason == ReasonControlOutOfWindow
	switch {
	case p.PayloadLength() == 0:
		return false
	case l.needless(c, f):
		return false
	case l.ofHandshake(c, p):
		return l.side == LAN
	case l.side == WAN:
		return d.State() == stream.Reading && ahead && outOfWindow
	}
	return d.State() == stream.Searching || ahead || outOfWindow
}

// learn takes note of the MAC address by which the LAN's end can be reached, which
// a segment has that nobody could have sent who does not see the connection.
func (l *Lane) learn(c *connection, f *Frame) {
	if !c.named || l.side != LAN {
		return
	}
	l.t.nat.hosts[c.self-1].learnMAC(wire.SourceMAC(f.Data))
}

// readdress says which address and port of a control frame change.
func (l *Lane) readdress(c *connection, f *Frame) {
	h := &l.t.nat.hosts[c.self-1]
	if !c.translated() {
		return
	}
	change := &f.Change
	change.What |= ChangeAddr | ChangePort | ChangeMAC
	if l.side == LAN {
		change.Addr, change.Port = c.alias.addr.V4(), c.alias.port
		return
	}
	change.Addr, change.Port = c.key.Src.V4(), c.key.SrcID
	if h.mac.Load() == 0 { // a server that has said nothing yet
		mac, _ := l.t.nat.MAC(c.key.Zone, c.key.Src)
		h.mac.Store(mac)
	}
	if change.MAC = h.mac.Load(); change.MAC == 0 {
		change.What &^= ChangeMAC
	}
}

// changed makes the verdict fit what changes of the frame.
func (f *Frame) changed() {
	if f.Change.What == 0 {
		return
	}
	f.Rewritten = true
	if f.Verdict == Forward {
		f.Verdict = Rewrite
	}
}

// gatedFragment drops a later fragment of a segment that would have to be held.
func (l *Lane) gatedFragment(c *connection, f *Frame, d *datagram) bool {
	s := &c.streams[l.side]
	if !c.named || s.State() != stream.Reading || !after(l.fragmentPosition(f, d), s.Frontier(l.t.buffers)) {
		return false
	}
	f.decide(Drop, ReasonControlGap)
	return true
}

// fragmentPosition is where in the stream the octets of a later fragment begin.
func (l *Lane) fragmentPosition(f *Frame, d *datagram) uint32 {
	return d.position + uint32(f.Packet.FragmentOffset) - uint32(d.header)
}

// translateFragment says what of a later fragment of a control segment changes.
// An ID in it cannot: the checksum that covers it has left with the first.
func (l *Lane) translateFragment(c *connection, f *Frame, d *datagram) {
	if !f.Verdict.Passes() {
		return
	}
	s, start, octets := &c.streams[l.side], l.fragmentPosition(f, d), piece(&f.Packet)
	unread := s.State() == stream.Searching || after(start+uint32(octets), s.Frontier(l.t.buffers))
	l.readdress(c, f)
	f.Change.What &^= ChangePort
	known := l.patch(c, f, start, octets)
	outOfWindow := f.Reason == ReasonControlOutOfWindow // its octets, too, nobody has looked at
	if f.Change.What&ChangeOctets != 0 || (unread || outOfWindow || !known) && l.side == LAN {
		f.Change.What = 0
		f.decide(Drop, ReasonNoTranslation)
		return
	}
	f.changed()
}
