package track

import (
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// A restored connection knows where its ends were when it was saved. If nothing
// crossed since, the next segment fits that, and all is as before. If segments
// crossed that nobody looked at, the ends are further on, and theirs do not fit.
// Such a segment has no effect by itself, for anybody might have sent it; but it
// is kept as its end's candidate, and once a segment of the other end agrees
// with it, both are believed. Nobody who is on one side only, and does not see
// the other end's segments, can make that happen, nor keep it from happening.

// candidate is what one end of a connection has said that does not fit what was
// saved, or seen.
type candidate struct {
	end    tcpEnd
	octets stream.Direction // of its segments, not read yet
}

// stale reports whether c is restored and neither end was heard of since.
func (c *connection) stale() bool { return c.restored != 0 && !c.joined[LAN] && !c.joined[WAN] }

// rejoin takes a segment of a stale connection and reports whether it is to be
// taken like any other.
func (l *Lane) rejoin(c *connection, f *Frame) bool {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	other := &c.rejoining[l.side.Other()]
	switch {
	case !me.unsummed && !sound(f):
		f.decide(Forward, ReasonControlBadChecksum)
		return false
	case inWindow(me, peer, p):
	case !agrees(me, &other.end, p):
		l.propose(c, f)
		f.decide(Forward, ReasonControlOutOfWindow)
		return false
	case near(p.Seq, me.end) && near(p.Ack, peer.end):
		l.catchUp(c, f)
	case c.named: // of a connection that nobody has seen the start of
		f.decide(Forward, ReasonControlOutOfWindow)
		return false
	default: // other ends, or the same two with another connection
		l.takeAnother(c, f)
	}
	return true
}

// overtake takes a segment that does not fit what is known of a live connection,
// and reports whether it is to be taken like any other. Segments may have
// crossed that nobody looked at: past the box, or lost before it saw them. As in
// rejoin both ends have to say the same, each by a segment of its own, and what
// they say has to be ahead of what was seen.
func (l *Lane) overtake(c *connection, f *Frame) bool {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	other := &c.rejoining[l.side.Other()]
	fits := sound(f) && agrees(me, &other.end, p)
	switch {
	case fits && c.phase == open && near(p.Seq, me.end) && near(p.Ack, peer.end):
		if after(me.end, p.Seq) || after(peer.end, p.Ack) {
			break // old ones, that come late
		}
		l.catchUp(c, f)
		return true
	case fits && !c.named:
		l.takeAnother(c, f)
		return true
	case sound(f):
		c.rejoining[l.side].propose(me, p)
	}
	f.decide(Forward, ReasonControlOutOfWindow)
	return false
}

// saysNoID reports whether octets are whole messages without an ID that might have
// to change. They may leave a stale connection unread, and have to: where the
// other end is will only be known from how it answers an Echo-Request.
func saysNoID(from Side, octets []byte) bool {
	for len(octets) > 0 {
		v := pptp.View(octets)
		_, named := idField(from, v)
		if named || v.MessageType() != pptp.ControlMessage || v.Magic() != pptp.MagicCookie ||
			!v.Complete() || int(v.Length()) != pptp.FixedLength(v.ControlType()) {
			return false
		}
		octets = octets[v.Length():]
	}
	return true
}

// near reports whether sequence numbers are no further apart than what a control
// connection says while the box is away: all messages of a few calls a second.
func near(a, b uint32) bool { return int32(a-b) < 1<<24 && int32(b-a) < 1<<24 }

// propose makes a segment its end's candidate, or the next part of it.
func (l *Lane) propose(c *connection, f *Frame) {
	p := &f.Packet
	mine := &c.rejoining[l.side]
	if !mine.propose(&c.ends[l.side], p) {
		mine.octets.Close(l.t.buffers)
	}
	mine.octets.Keep(l.t.buffers, p.Seq, f.Data[p.Payload:p.End], l.t.buffers.Limit()/2)
	if mine.octets.Holds() && c.holdsSince[l.side] == 0 {
		c.holdsSince[l.side] = l.now
	}
}

// propose takes a segment of the end into the candidate, or begins it anew. It
// reports whether the segment follows the one before.
func (n *candidate) propose(end *tcpEnd, p *wire.Packet) (follows bool) {
	follows = n.end.known && p.Seq == n.end.end
	if !follows {
		n.end = end.unseen()
	}
	advance(&n.end, &tcpEnd{}, p)
	n.end.fin = p.Flags&wire.FIN != 0
	return follows
}

// unseen is an end of which only is known what goes for all of its connection.
func (e *tcpEnd) unseen() tcpEnd {
	return tcpEnd{scale: e.scale, scales: e.scales, agreed: e.agreed, unsummed: e.unsummed}
}

// catchUp moves both ends to where they agree to be. What they said before is
// not known; what the other end's candidate says is read now.
func (l *Lane) catchUp(c *connection, f *Frame) {
	other := l.side.Other()
	from := c.rejoining[other]
	c.rejoining[other].octets = stream.Direction{}
	if c.stale() {
		l.rejoined(c)
	}
	l.closeCandidates(c)
	c.joined = [flow.Sides]bool{true, true}
	l.missed(c)
	c.ends[l.side] = c.ends[l.side].unseen()
	c.ends[l.side].edge, c.ends[l.side].limits = from.end.acked+max(from.end.window, 1), true
	c.ends[other] = from.end
	l.resume(c, l.side, f.Packet.Seq)
	l.resume(c, other, from.end.end)
	l.readKept(c, f, &from)
}

// readKept reads what was kept of the other end's segments.
func (l *Lane) readKept(c *connection, f *Frame, from *candidate) {
	other := l.side.Other()
	if from.octets.State() != stream.Reading || c.streams[other].State() == stream.Lost {
		from.octets.Close(l.t.buffers)
		return
	}
	if c.named && !l.promise(c, other, stream.BufferSize/pptp.HeaderLength+1) {
		from.octets.Lose(l.t.buffers)
		c.streams[other] = from.octets
		return
	}
	c.streams[other] = from.octets
	l.readFrom(c, f, other, c.streams[other].Segment(l.t.buffers, from.end.end, nil))
	if c.named {
		l.t.nat.heads.giveBack(c, other)
	}
}

// resume makes a direction be read from position on, if it is read at all.
func (l *Lane) resume(c *connection, side Side, position uint32) {
	if d := &c.streams[side]; d.State() != stream.Lost {
		d.Resume(l.t.buffers, position)
	}
}

// heard notes that a segment of this side fits, and whether that shows that
// others crossed before it.
func (l *Lane) heard(c *connection, p *wire.Packet) {
	if c.joined[l.side] {
		return
	}
	if c.stale() {
		l.rejoined(c)
	}
	c.joined[l.side] = true
	if after(p.Seq, c.ends[l.side].end) {
		l.missed(c)
	}
	if c.joined[l.side.Other()] && !c.doubtful {
		c.restored = 0
	}
}

// rejoined notes that an end was heard of.
func (l *Lane) rejoined(c *connection) {
	l.closeCandidates(c)
	l.controlEvent(EventControlOpen, c, "restored")
}

// missed notes that messages crossed which nobody has read: calls may have been
// opened and ended by them.
func (l *Lane) missed(c *connection) {
	c.restored, c.doubtful, c.midway = l.now, true, true
	l.count(AnomalyMissedOctets)
}

func (w *work) closeCandidates(c *connection) {
	for side := range c.rejoining {
		c.rejoining[side].octets.Close(w.t.buffers)
	}
	c.rejoining = [flow.Sides]candidate{}
}

// takeAnother makes c the connection that its ends have now, which is not the
// one that was saved. What the other end's candidate says is read now.
func (l *Lane) takeAnother(c *connection, f *Frame) {
	other := l.side.Other()
	from := c.rejoining[other]
	c.rejoining[other].octets = stream.Direction{}
	from.end.scale, from.end.scales, from.end.agreed = 0, false, false
	l.restart(c, c.opener)
	c.phase, c.midway = pickedUp, true
	c.ends[other] = from.end
	l.confirm(c, "picked-up")
	l.readKept(c, f, &from)
}

// resetAnew reports whether a reset, out of the saved window, answers a segment
// of the other end's candidate: whose host knows nothing of the connection does
// that (RFC 9293, section 3.10.7.1).
func (l *Lane) resetAnew(c *connection, p *wire.Packet) bool {
	other := &c.rejoining[l.side.Other()].end
	return c.stale() && other.acks && p.Seq == other.acked
}

// rejoinTime is how long a restored connection may be silent that neither end
// was heard of, and how long its calls may be. RFC 2637, section 3.1.4 has the
// ends ask for an echo after a minute of silence and wait another for it.
const rejoinTime = 3 * time.Minute

// visitRestored ends what was restored and does not show that it lives: the
// calls of a stale connection without GRE, and at last the connection; and those
// of one that missed messages which had no GRE since.
func (s *sweeper) visitRestored(key *flow.Key, serial uint64) {
	s.some = s.t.eachOf(key, serial, s.some, func(c *connection, r ref) {
		k := s.t.calls.at(r)
		if quiet, over := s.patience(c); over && k.started <= c.restored && s.idle(c, k) >= quiet {
			s.endCall(c, r, "timeout")
		}
	})
	s.t.with(key, serial, func(c *connection) {
		if _, over := s.patience(c); !over {
			return
		}
		if !c.stale() {
			c.restored, c.doubtful = 0, false
		} else if c.calls == 0 {
			s.closeControl(c, "timeout")
			s.remove(c)
		}
	})
}

// patience reports whether a restored connection has had time enough to show that
// it lives, and how long its calls may then have had no GRE.
func (s *sweeper) patience(c *connection) (quiet time.Duration, over bool) {
	since := s.now.Sub(c.restored)
	switch {
	case c.restored == 0:
		return 0, false
	case c.stale():
		return rejoinTime, since >= rejoinTime
	}
	return since + 1, c.doubtful && since >= s.settings.Timeouts.GREUnreplied
}
