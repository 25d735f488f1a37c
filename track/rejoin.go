package track

import (
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// The box may miss segments of a control connection: while it is restarted,
// while frames go past it, or because one was lost before it came here. Then the
// next segment does not fit what is known of the ends. Anybody may have sent such
// a segment, so by itself it has no effect; it is kept as the candidate of its
// end. A candidate is believed only together with the other end's segment that
// agrees with it:
//
//   - At once, if both are a window away from what is known at most, and one of
//     them has octets. To guess that is as hard as to guess what is in the window.
//   - At once, if they show a control connection that starts: a request of one
//     end and the reply of the other. If they shook hands before, see trial.go.
//   - Otherwise if both have octets, and the ends that are known are silent: for
//     answerTime since the candidates agreed, and for echoSilence since they were
//     heard of, unless that was before a restart, or the candidates shook hands.
//
// Any segment of the known ends that is in the window disproves the candidates. A
// host answers a segment that is out of its window with one that is in the window
// of its peer (RFC 9293, section 3.10.7.4), so that hosts which are there disprove
// what others invent about them, although they have nothing to say.

// candidate is what one end of a connection has said that does not fit what was
// saved, or seen.
type candidate struct {
	end    tcpEnd
	octets stream.Direction // of its segments, not read yet
	spoke  bool             // it has sent octets
	shook  bool             // it is of a handshake that both ends took part in
	agreed Time             // since when segments of the other end agree with it
	first  uint32           // position of the first octet behind SYN, if it shook hands
}

// answerTime is how long it takes the ends of a connection at most to answer a
// segment that is not of theirs. Hosts send no more than a few such answers a
// second.
const answerTime = 3 * time.Second

// stale reports whether c is restored and neither end was heard of since.
func (c *connection) stale() bool { return c.restored != 0 && !c.joined[LAN] && !c.joined[WAN] }

// rejoin takes a segment that does not fit what is known of its connection, or
// one of a stale connection, and reports whether it is to be taken like any other.
func (l *Lane) rejoin(c *connection, f *Frame) bool {
	p := &f.Packet
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	mine, other := &c.rejoining[l.side], &c.rejoining[l.side.Other()]
	switch {
	case !me.unsummed && !sound(f):
		f.decide(Forward, ReasonControlBadChecksum)
		return false
	case c.stale() && inWindow(me, peer, p):
		return true
	case l.ofHandshake(c, p):
		return l.handshaken(c, f)
	case mine.shook || !agrees(me, &other.end, p):
	case c.behind(l.side, p): // an old one, that comes late
		f.decide(Forward, ReasonControlOutOfWindow)
		return false
	case l.believes(c, f):
		return l.believe(c, f)
	}
	l.propose(c, f)
	return false
}

// behind reports whether a segment of a live connection acknowledges, or says,
// nothing that is newer than what was seen.
func (c *connection) behind(from Side, p *wire.Packet) bool {
	me, peer := &c.ends[from], &c.ends[from.Other()]
	return !c.stale() && c.phase == open && near(p.Seq, me.end) && near(p.Ack, peer.end) &&
		(after(me.end, p.Seq) || after(peer.end, p.Ack))
}

// believes reports whether a segment and the other end's candidate, which agree,
// show where both ends are now.
func (l *Lane) believes(c *connection, f *Frame) bool {
	p := &f.Packet
	mine, other := &c.rejoining[l.side], &c.rejoining[l.side.Other()]
	if adjoins(&c.ends[l.side], p.Seq) && adjoins(&c.ends[l.side.Other()], p.Ack) {
		return segmentEnd(p) != p.Seq || other.spoke || other.end.fin
	}
	if !mine.goesOn(&other.end, p) {
		mine.agreed, mine.spoke = 0, false
	}
	if !other.spoke || !mine.spoke && p.PayloadLength() == 0 {
		return false
	}
	if other.agreed == 0 {
		other.agreed = l.now
	}
	since := other.agreed
	if mine.agreed != 0 {
		since = min(since, mine.agreed)
	}
	silent := mine.shook || c.stale() || c.phase != open || l.now.Sub(c.lastSeen) >= echoSilence
	return silent && l.now.Sub(since) >= answerTime || l.startsAnew(c, f)
}

// adjoins reports whether a position is at most a window away from where an end
// is known to be.
func adjoins(e *tcpEnd, position uint32) bool {
	return !e.known || position-e.end+unscaledWindow <= 2*unscaledWindow
}

// startsAnew reports whether a segment has the reply that starts a control
// connection which the other end's candidate asks for.
func (l *Lane) startsAnew(c *connection, f *Frame) bool {
	request := c.rejoining[l.side.Other()].octets.Partial(l.t.buffers)
	reply := pptp.View(f.Data[f.Packet.Payload:f.Packet.End])
	if !startsWith(request, pptp.StartControlConnectionRequest) || !startsWith(reply, pptp.StartControlConnectionReply) {
		return false
	}
	result, _ := reply.Result()
	next, _ := pptp.SessionRequested.Next(pptp.StartControlConnectionReply, false, result)
	return next == pptp.SessionEstablished
}

// startsWith reports whether octets begin with a whole message of a type.
func startsWith(octets pptp.View, t pptp.ControlType) bool {
	return len(octets) >= pptp.FixedLength(t) && octets.MessageType() == pptp.ControlMessage &&
		octets.Magic() == pptp.MagicCookie && octets.ControlType() == t
}

// believe makes c what a segment and the other end's candidate show it to be. It
// reports whether the segment is to be taken like any other.
func (l *Lane) believe(c *connection, f *Frame) bool {
	p := &f.Packet
	switch starts := l.startsAnew(c, f); {
	case c.phase == open && !starts && near(p.Seq, c.ends[l.side].end) && near(p.Ack, c.ends[l.side.Other()].end):
		l.catchUp(c, f)
	case c.named: // of a connection that nobody has seen the start of
		f.decide(Forward, ReasonControlOutOfWindow)
		return false
	default: // other ends, or the same two with another connection
		l.takeAnother(c, f)
	}
	return true
}

// near reports whether sequence numbers are no further apart than what a control
// connection says while the box is away: all messages of a few calls a second.
func near(a, b uint32) bool { return int32(a-b) < 1<<24 && int32(b-a) < 1<<24 }

// propose makes a segment its end's candidate, or the next part of it.
func (l *Lane) propose(c *connection, f *Frame) {
	p := &f.Packet
	mine, other := &c.rejoining[l.side], &c.rejoining[l.side.Other()]
	f.decide(Forward, ReasonControlOutOfWindow)
	ours := l.ofHandshake(c, p) // also if it was sent before
	switch {
	case ours:
		f.decide(Forward, ReasonControl)
	case mine.shook && l.now.Sub(mine.agreed) < streamHold:
		return
	}
	if !ours && !mine.goesOn(&other.end, p) {
		mine.octets.Close(l.t.buffers)
		*mine, other.shook = candidate{end: c.ends[l.side].unseen()}, false
	}
	mine.take(p)
	mine.octets.Keep(l.t.buffers, p.Seq, f.Data[p.Payload:p.End], l.t.buffers.Limit()/2)
	if mine.octets.Holds() && c.holdsSince[l.side] == 0 {
		c.holdsSince[l.side] = l.now
	}
}

// goesOn reports whether a segment is of the candidate's connection: it comes
// right behind, or it is near and agrees with the other end.
func (n *candidate) goesOn(other *tcpEnd, p *wire.Packet) bool {
	if !n.end.known {
		return false
	}
	return p.Seq == n.end.end || adjoins(&n.end, segmentEnd(p)) && agrees(&n.end, other, p)
}

// take takes a segment of the end into the candidate.
func (n *candidate) take(p *wire.Packet) {
	advance(&n.end, &tcpEnd{}, p)
	n.end.fin = n.end.fin || p.Flags&wire.FIN != 0
	n.spoke = n.spoke || p.PayloadLength() > 0
}

// unseen is an end of which only is known what goes for all of its connection.
func (e *tcpEnd) unseen() tcpEnd {
	return tcpEnd{scale: e.scale, scales: e.scales, agreed: e.agreed, unsummed: e.unsummed}
}

// candidates takes out the candidates of both ends; that of this side only if the
// other end has agreed with it and it goes on with p.
func (l *Lane) candidates(c *connection, p *wire.Packet) (pair [flow.Sides]candidate) {
	pair, c.rejoining = c.rejoining, pair
	mine, other := &pair[l.side], &pair[l.side.Other()]
	if mine.agreed == 0 || !mine.goesOn(&other.end, p) {
		mine.octets.Close(l.t.buffers)
		*mine = candidate{end: c.ends[l.side].unseen()}
	}
	return pair
}

// moveTo makes the ends of c be where a segment and the other end's candidate
// are, and reads what was kept: first what the other end has agreed with first.
func (l *Lane) moveTo(c *connection, f *Frame, pair *[flow.Sides]candidate) {
	me, from := &pair[l.side], &pair[l.side.Other()]
	me.end.edge, me.end.limits = from.end.acked+max(from.end.window, 1), true
	for side := range pair {
		c.ends[side] = pair[side].end
	}
	if me.agreed != 0 && me.agreed < from.agreed {
		l.readKept(c, f, l.side, me)
	}
	l.readKept(c, f, l.side.Other(), from)
	l.readKept(c, f, l.side, me)
}

// catchUp moves both ends to where they agree to be. What they said before is
// not known; what their candidates say is read now.
func (l *Lane) catchUp(c *connection, f *Frame) {
	pair := l.candidates(c, &f.Packet)
	if c.stale() {
		l.rejoined(c)
	}
	c.joined = [flow.Sides]bool{true, true}
	l.missed(c)
	begin := [flow.Sides]uint32{}
	begin[l.side], begin[l.side.Other()] = f.Packet.Seq, pair[l.side.Other()].end.end
	if c.named {
		l.notBeyond(lacks(l.side, f, &pair), &begin[LAN], &pair[LAN])
	}
	for side := range pair {
		pair[side].octets.PassRead(l.t.buffers, &c.streams[side])
		l.resume(c, Side(side), begin[side])
	}
	l.moveTo(c, f, &pair)
}

// lacks is the position of the first octet of the LAN's end that the WAN's has not
// acknowledged.
func lacks(from Side, f *Frame, pair *[flow.Sides]candidate) uint32 {
	if from == WAN {
		return f.Packet.Ack
	}
	return pair[WAN].end.acked
}

// notBeyond makes the LAN's end of a translated connection be read from a position on
// at the latest: what its peer lacks comes again, and would not leave unread.
func (l *Lane) notBeyond(position uint32, begin *uint32, kept *candidate) {
	if after(*begin, position) {
		*begin = position
	}
	if kept.octets.Holds() && after(kept.octets.Begin(), position) {
		kept.octets.Close(l.t.buffers)
	}
}

// readKept reads what was kept of the segments of the end on side.
func (l *Lane) readKept(c *connection, f *Frame, side Side, from *candidate) {
	if from.octets.State() != stream.Reading || c.streams[side].State() == stream.Lost {
		from.octets.Close(l.t.buffers)
		return
	}
	c.streams[side].Close(l.t.buffers)
	octets := from.octets
	from.octets = stream.Direction{}
	messages := len(octets.Partial(l.t.buffers))/pptp.HeaderLength + 1
	if c.named && !l.promise(c, side, octets.Begin(), messages) {
		octets.Lose(l.t.buffers)
		c.streams[side] = octets
		return
	}
	c.streams[side] = octets
	l.readFrom(c, f, side, c.streams[side].Segment(l.t.buffers, from.end.end, nil))
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
// one that was known.
func (l *Lane) takeAnother(c *connection, f *Frame) {
	pair := l.candidates(c, &f.Packet)
	for side := range pair {
		pair[side].end.scale, pair[side].end.scales, pair[side].end.agreed = 0, false, false
	}
	l.restart(c, c.opener)
	c.phase, c.midway = pickedUp, true
	l.confirm(c, "picked-up")
	l.moveTo(c, f, &pair)
}

// disproved forgets what would make c another connection: a segment of the ends
// that are known was in the window.
func (l *Lane) disproved(c *connection) {
	c.syn = tcpEnd{}
	if c.rejoining[LAN].end.known || c.rejoining[WAN].end.known {
		l.closeCandidates(c)
	}
}

// resetAnew reports whether a reset, out of the saved window, answers a segment
// of the other end's candidate: whose host knows nothing of the connection does
// that (RFC 9293, section 3.10.7.1). Both have to be near what was saved.
func (l *Lane) resetAnew(c *connection, p *wire.Packet) bool {
	me, peer := &c.ends[l.side], &c.ends[l.side.Other()]
	other := &c.rejoining[l.side.Other()].end
	return c.stale() && other.acks && p.Seq == other.acked && adjoins(me, p.Seq) && adjoins(peer, other.end)
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
