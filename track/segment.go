package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// control decides about a segment of a PPTP control connection.
func (l *Lane) control(f *Frame) {
	p := &f.Packet
	l.goal = goal{}
	k := controlKey(p, l.side)
	seen := endpoint{k.Src, k.SrcID}
	if !l.arrives(f, &k) {
		return
	}
	hash := l.t.controls.Hash(&k)
	lock := l.t.lock(hash)
	l.settings = l.t.settings.Load()
	if c := l.segment(f, hash, &k, seen); c != nil && c.named && f.Verdict != Hold {
		l.finishNamed(c, f)
		l.t.nat.heads.giveBack(c, l.side)
	}
	lock.Unlock()
	l.settleFor(f)
}

// settleFor is settle behind a frame of a control connection.
func (l *Lane) settleFor(f *Frame) {
	if l.settle() && f.Verdict.Passes() {
		f.Verdict = Expect
	}
}

// arrives makes k the key of the connection whose segment comes in, or drops it
// if the box has no way for it.
func (l *Lane) arrives(f *Frame, k *flow.Key) bool {
	n := l.t.nat
	switch {
	case n == nil:
	case l.side == WAN && !n.resolve(k):
		f.decide(Drop, ReasonNoTranslation)
		return false
	case l.side == LAN && n.Owns(k.Dst):
		f.decide(Drop, ReasonHairpin)
		return false
	case l.side == LAN && n.isBox(k.Src, k.Zone):
		f.decide(Drop, ReasonNoTranslation)
		return false
	}
	return true
}

// allowed asks policy about a segment of a connection that may not be known
// yet. Between two ports 1723 only SYN tells who is the client; of a
// connection seen from its middle either may be, so both must be allowed.
func (l *Lane) allowed(c *connection, k *flow.Key, p *wire.Packet) bool {
	switch {
	case c != nil:
		return l.settings.allows(k, c.client)
	case p.Flags&wire.SYN == 0 && k.SrcID == k.DstID:
		return l.settings.allows(k, LAN) && l.settings.allows(k, WAN)
	}
	return l.settings.allows(k, clientSide(k, l.opener(p)))
}

// opener guesses who opened the connection that a segment belongs to, for
// connections between two ports 1723.
func (l *Lane) opener(p *wire.Packet) Side {
	if p.Flags&(wire.SYN|wire.ACK) == wire.SYN|wire.ACK {
		return l.side.Other()
	}
	return l.side
}

// segment is control under the connection's lock. It returns the connection, if
// there is one. The WAN sees its end on the LAN as seen.
func (l *Lane) segment(f *Frame, hash uint64, k *flow.Key, seen endpoint) *connection {
	p := &f.Packet
	f.decide(Forward, ReasonControl)
	c := l.t.find(hash, k)
	if c == nil {
		if reason, bad := l.t.misplaced(k, p.Flags&wire.SYN != 0); bad {
			f.decide(Drop, reason)
			return nil
		}
		if l.isOther(k, f) {
			l.other(f)
			return nil
		}
	}
	if !l.allowed(c, k, p) {
		f.decide(Drop, ReasonPPTPDenied)
		return nil
	}
	switch {
	case c == nil:
		c = l.firstSegment(f, hash, k, seen)
	case l.side == WAN && c.alias != seen:
		f.decide(Drop, ReasonNoTranslation)
		return nil
	case c.phase != open:
		if reason, bad := l.t.misplaced(k, c.phase != pickedUp); bad {
			f.decide(Drop, reason)
			return nil
		}
	}
	if c == nil {
		return nil
	}
	switch flags := p.Flags & (wire.SYN | wire.ACK | wire.RST); {
	case flags&wire.RST != 0:
		l.reset(c, f)
	case flags == wire.SYN:
		l.syn(c, f)
	case flags == wire.SYN|wire.ACK:
		l.synAck(c, f)
	default:
		l.established(c, f)
	}
	return c
}

// firstSegment makes the connection of a segment that belongs to none, unless
// there is nothing to follow: then the frame is decided.
func (l *Lane) firstSegment(f *Frame, hash uint64, k *flow.Key, seen endpoint) *connection {
	p := &f.Packet
	syn := p.Flags&wire.SYN != 0
	known := syn || !l.t.nat.translatable(k.Src, k.Zone) // what the IDs of others are called is not
	if p.Flags&wire.RST != 0 || syn && p.Flags&wire.ACK != 0 || !syn && p.PayloadLength() == 0 || !known {
		l.unfollowed(f, k, seen, ReasonControl)
		return nil // nothing to learn from
	}
	opener := l.side
	if !syn {
		opener = clientSide(k, l.opener(p))
	}
	c := l.create(hash, k, seen, opener)
	if c == nil {
		l.unfollowed(f, k, seen, ReasonControlUntracked)
		return nil
	}
	c.opener = opener
	if !syn {
		c.phase, c.midway = pickedUp, true
	}
	c.client = clientSide(k, c.opener)
	return c
}

// unfollowed decides about a segment of no connection: it passes, unless it could
// only pass with another address, or with other call IDs.
func (l *Lane) unfollowed(f *Frame, k *flow.Key, seen endpoint, why Reason) {
	f.decide(Forward, why)
	n := l.t.nat
	says := l.side == LAN && f.Packet.PayloadLength() > 0 && n.translatable(k.Src, k.Zone)
	if says || n.needsAlias(k, seen, l.side) {
		f.decide(Drop, ReasonNoTranslation)
	}
}

// syn takes a SYN without ACK. One that does not fit what is there may be of a
// host that has restarted (RFC 9293, section 3.5.1), or of somebody who cannot
// see the connection: the answer to it will tell.
func (l *Lane) syn(c *connection, f *Frame) {
	switch {
	case c.phase == closed || c.phase == pickedUp:
		l.restart(c, l.side)
		l.beginDirection(c, f)
	case c.phase == opening && !c.ends[l.side].known: // the first, or both at once (section 3.5)
		l.beginDirection(c, f)
	case c.named && l.side == LAN && (f.Packet.PayloadLength() > 0 || f.Packet.Fragment):
		f.decide(Drop, ReasonNoTranslation) // nobody looks at its data
	default:
		c.synSide = l.side
		c.syn.begin(f.Data, &f.Packet)
		advance(&c.syn, &tcpEnd{}, &f.Packet)
	}
}

// beginDirection starts the direction of the segment at its SYN.
func (l *Lane) beginDirection(c *connection, f *Frame) {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	me.begin(f.Data, p)
	me.unsummed = !sound(f)
	advance(me, peer, p)
	c.lastSeen = l.now
	c.first[l.side] = p.Seq + 1
	l.start(c, l.side, p.Seq+1)
	l.learn(c, f)
	l.read(c, f, p.Seq+1) // data may come with SYN (RFC 7413)
}

// synAck takes the answer to a SYN.
func (l *Lane) synAck(c *connection, f *Frame) {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	if c.syn.known && c.synSide != l.side && p.Ack == c.syn.end && p.Ack != peer.end {
		if c.phase == open && !me.fin && !peer.fin {
			l.shake(c, f)
			return
		}
		l.renew(c)
	}
	switch taken := peer.known && !after(p.Ack, peer.end) && !after(c.first[l.side.Other()], p.Ack); {
	case me.known && p.Seq+1 == c.first[l.side] && taken: // once more
		c.phase = max(c.phase, answered)
	case c.phase > answered || me.known && c.phase != opening || !taken:
		f.decide(Forward, ReasonControlOutOfWindow)
	default:
		c.opener = l.side.Other() // a SYN of this end, seen before, was somebody else's
		c.client = clientSide(&c.key, c.opener)
		l.beginDirection(c, f)
		agreeScale(me, peer)
		l.takenBack(c, p)
		c.phase = answered
	}
}

// takenBack restarts the opener's direction behind what was acknowledged of the
// data that came with its SYN.
func (l *Lane) takenBack(c *connection, p *wire.Packet) {
	opener := l.side.Other()
	if p.Ack == c.ends[opener].end {
		return
	}
	c.ends[opener].end = p.Ack
	l.start(c, opener, p.Ack)
	c.session = pptp.SessionIdle
}

// renew makes c the new connection that its SYN asked for.
func (l *Lane) renew(c *connection) {
	opener, syn := c.synSide, c.syn
	l.restart(c, opener)
	c.ends[opener], c.first[opener] = syn, syn.end
	l.start(c, opener, syn.end)
}

// start makes a direction be read from a position on, as if nothing had been.
func (w *work) start(c *connection, side Side, position uint32) {
	c.streams[side].Start(w.t.buffers, position)
	if c.named {
		w.t.nat.heads.forget(c, side)
	}
}

// restart makes c a new connection between the same ends.
func (w *work) restart(c *connection, opener Side) {
	w.closeControl(c, "replaced")
	w.forgetNames(c)
	*c = connection{
		identity: c.identity, hash: c.hash, serial: w.t.connectionSerial.Add(1), lastSeen: w.now,
		opener: opener, client: clientSide(&c.key, opener),
	}
	w.evict(w.t.unconfirmed.push(c))
}

// reset takes a RST.
func (l *Lane) reset(c *connection, f *Frame) {
	if !sound(f) && !c.ends[l.side].unsummed {
		f.decide(Forward, ReasonControlBadChecksum)
		return
	}
	if !resets(&c.ends[l.side], &c.ends[l.side.Other()], &f.Packet) && !l.resetAnew(c, &f.Packet) {
		f.decide(Forward, ReasonControlOutOfWindow)
		return
	}
	l.closeControl(c, "reset")
}

// established takes every other segment.
func (l *Lane) established(c *connection, f *Frame) {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	acks := p.Flags&wire.ACK != 0 // without, it is taken for nothing (RFC 9293, section 3.10.7.4)
	switch {
	case c.phase == closed:
		return
	case !acks:
		f.decide(Forward, ReasonControlOutOfWindow)
		return
	case c.phase == pickedUp:
		l.pickUp(c, f)
	case c.stale() || c.phase == opening || !inWindow(me, peer, p):
		if !l.rejoin(c, f) {
			return
		}
	}
	if !me.known {
		me.unsummed = !sound(f)
	} else if !me.unsummed && !sound(f) {
		f.decide(Forward, ReasonControlBadChecksum)
		return
	}
	if l.gated(c, f) {
		return
	}
	l.learn(c, f)
	l.disproved(c)
	if c.restored != 0 {
		l.heard(c, p)
	}
	advance(me, peer, p)
	c.hear(l.side, l.now)
	if c.phase == answered && l.side == c.opener {
		l.confirm(c, "")
	}
	if c.midway && c.phase == open {
		l.t.enterPair(c)
	}
	l.acknowledged(c, f) // what it answers may be behind a gap
	l.read(c, f, p.Seq)
	if f.Verdict.Passes() {
		l.finish(c, f)
	}
}

// pickUp takes a segment of a connection that was seen from one end only, out
// of the middle. If the ends agree on what each has sent, both are there; if
// not, what was seen before may have been of somebody who is not, and the last
// segment counts.
func (l *Lane) pickUp(c *connection, f *Frame) {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	switch {
	case agrees(me, peer, p):
		l.confirm(c, "picked-up")
	case peer.known || me.known && !inWindow(me, peer, p):
		l.endAll(c, "replaced")
		l.closeStreams(c)
		c.ends = [flow.Sides]tcpEnd{}
	}
}

// acknowledged tells the other direction what its receiver has. Octets that
// went past unseen leave a gap that nothing will fill, and calls may have been
// agreed by them. The messages behind it are read now. Of a connection whose IDs
// are translated there are none: their segments are held and have not left.
func (l *Lane) acknowledged(c *connection, f *Frame) {
	other := l.side.Other()
	ack := f.Packet.Ack
	if c.ends[other].fin && ack == c.ends[other].end {
		ack-- // FIN is no octet of the stream
	}
	if c.named {
		l.t.nat.freeHeads(c, other, ack)
	}
	for d := &c.streams[other]; d.Acknowledged(l.t.buffers, ack); {
		l.count(AnomalyMissedOctets)
		c.midway = c.midway || c.session == pptp.SessionEstablished
		if d.State() == stream.Reading {
			l.readFrom(c, f, other, d.Segment(l.t.buffers, d.Begin(), nil))
		}
	}
}

// finish takes a FIN: calls end when both ends have sent it.
func (l *Lane) finish(c *connection, f *Frame) {
	if f.Packet.Flags&wire.FIN == 0 {
		return
	}
	c.ends[l.side].fin = true
	if c.ends[l.side.Other()].fin {
		l.closeControl(c, "fin")
	}
}

// closeControl ends every call of c and leaves c behind as closed, so that
// what still comes of it opens nothing.
func (w *work) closeControl(c *connection, cause string) {
	if c.phase == closed {
		return
	}
	w.endAll(c, cause)
	w.endStreams(c)
	w.t.leavePair(c)
	w.t.nat.yieldAlias(c)
	if c.phase == open {
		w.unconfirm(c)
		w.controlEvent(EventControlClose, c, cause)
	}
	c.phase, c.session, c.lastSeen = closed, pptp.SessionIdle, w.now
	w.evict(w.t.closed.push(c))
}

// read takes the octets of a segment, the first of which is at position, and
// acts on every message they complete.
func (l *Lane) read(c *connection, f *Frame, position uint32) {
	p := &f.Packet
	l.readOctets(c, f, position, f.Data[p.Payload:p.End])
}

func (l *Lane) readOctets(c *connection, f *Frame, position uint32, octets []byte) {
	if len(octets) == 0 {
		return
	}
	if !c.named {
		l.readFrom(c, f, l.side, c.streams[l.side].Segment(l.t.buffers, position, octets))
		return
	}
	if !l.promise(c, l.side, position, messagesIn(&c.streams[l.side], l.t.buffers, position, octets)) {
		f.decide(Drop, ReasonControlGap)
		return
	}
	l.readFrom(c, f, l.side, c.streams[l.side].Segment(l.t.buffers, position, octets))
}

// readFrom acts on every message of the end on side that reader has; f is the
// frame that has completed them.
func (l *Lane) readFrom(c *connection, f *Frame, side Side, reader stream.Reader) {
	d := &c.streams[side]
	before, begin, fresh := d.State(), d.Begin(), l.said(c, side)
	if c.phase < open {
		reader.Leave(l.t.buffers.Limit() / 2) // for those who have shown to be there
	}
	for m := new(stream.Message); reader.Next(m); {
		if c.named {
			l.nameIDs(c, side, m.Position, m.View, true)
		}
		opened, call := l.message(c, side, m.View)
		if call != 0 {
			f.Call = call
		}
		if opened {
			f.decide(Expect, ReasonControl)
		}
		if c.named && side == LAN {
			if call == 0 {
				l.disown(c, m.Position, fresh)
			}
			l.unreserve(c)
		}
		if !c.named {
			l.passAlike(&reader, m)
		}
	}
	if c.named && d.State() == stream.Reading {
		l.nameIDs(c, side, d.Begin(), d.Partial(l.t.buffers), false)
	}
	if reader.Refused() {
		l.limit("hold_bytes")
		if c.named {
			f.decide(Drop, ReasonControlGap) // to be sent again
		}
	}
	if since := &c.holdsSince[side]; d.Holds() && (*since == 0 || d.Begin() != begin) {
		*since = l.now
	}
	if before != stream.Lost && d.State() == stream.Lost {
		l.lostThread(c, side)
	}
}

// lostThread reports that what an end says can be read no further. That neither
// end speaks PPTP is reported once.
func (l *Lane) lostThread(c *connection, side Side) {
	switch {
	case !c.notPPTP(side):
		l.controlEvent(EventControlDesync, c, side.String())
	case !c.notPPTP(side.Other()):
		l.controlEvent(EventControlNotPPTP, c, side.String())
	}
}

// notPPTP reports whether what an end of an open connection said first is no
// control message.
func (c *connection) notPPTP(side Side) bool {
	d := &c.streams[side]
	return c.phase != closed && !c.midway && d.State() == stream.Lost && d.Begin() == c.first[side]
}

// sound reports whether a segment's checksum is right, or not there to be
// judged: still to be finished by an offload, or of a datagram in fragments.
func sound(f *Frame) bool {
	return f.Offload.Unfinished() || f.Packet.Fragment || wire.TCPChecksumOK(f.Data, &f.Packet)
}
