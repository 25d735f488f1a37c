package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// A connection whose handshake was seen while another one of the same ends and
// ports is open is on trial: what it says is kept, and of that as much is read as
// tells whether it has a session. With that it takes the other's place. What says
// nothing about the session, and may have to do with it later, stays unread until
// then.

// trial is how far the session of a connection on trial is.
type trial struct {
	session   pptp.SessionState
	requester Side
}

// shake makes the handshake that this segment answers a candidate. Until the new
// connection has a session, or the ends that are known stay silent, nothing else
// comes of it: those that are not there cannot disprove it.
func (l *Lane) shake(c *connection, f *Frame) {
	l.closeCandidates(c)
	mine, other := &c.rejoining[l.side], &c.rejoining[c.synSide]
	other.end, other.shook = c.syn, true
	mine.end.begin(f.Data, &f.Packet)
	advance(&mine.end, &other.end, &f.Packet)
	mine.shook, c.trial = true, trial{}
	agreeScale(&mine.end, &other.end)
	for side := range c.rejoining {
		n := &c.rejoining[side]
		n.agreed = l.now
		n.first = n.end.end
		n.octets.Start(l.t.buffers, n.first)
	}
	if first := c.rejoining[LAN].first; first != c.trialFirst {
		c.trialFirst, c.trialHeads = first, headList{}
	}
}

// handshaken takes a segment of a connection on trial, and reports whether it has
// taken the place of c, and the segment is to be taken like any other.
func (l *Lane) handshaken(c *connection, f *Frame) bool {
	me, other := &c.ends[l.side], &c.rejoining[l.side.Other()]
	believed := agrees(me, &other.end, &f.Packet) && l.believes(c, f)
	l.propose(c, f)
	if l.try(c); c.trial.session != pptp.SessionEstablished && !believed {
		return false
	}
	l.takeHandshaken(c, f)
	return true
}

// takeHandshaken makes c the new connection that its candidates' handshake began.
func (l *Lane) takeHandshaken(c *connection, f *Frame) {
	pair, opener, tried, heads := c.rejoining, c.synSide, c.trial, c.trialHeads
	c.rejoining = [flow.Sides]candidate{}
	l.restart(c, opener)
	if c.named {
		l.t.nat.heads.takeTrial(c, heads)
	}
	for side := range pair {
		c.ends[side], c.first[side] = pair[side].end, pair[side].first
		c.streams[side].Close(l.t.buffers)
	}
	l.confirm(c, "")
	c.session, c.requester = tried.session, tried.requester
	l.readKept(c, f, tried.requester, &pair[tried.requester]) // what waited for the answer comes first
	l.readKept(c, f, tried.requester.Other(), &pair[tried.requester.Other()])
}

// ofHandshake reports whether a segment is of the connection that has shaken hands
// and is not yet known for more.
func (l *Lane) ofHandshake(c *connection, p *wire.Packet) bool {
	mine, other := &c.rejoining[l.side], &c.rejoining[l.side.Other()]
	return mine.shook && inWindow(&mine.end, &other.end, p)
}

// try reads what both ends of a connection on trial have said by now, until there is
// a session.
func (l *Lane) try(c *connection) {
	for more := true; more; {
		more = false
		for side := range c.rejoining {
			for c.trial.session != pptp.SessionEstablished && l.tryMessage(c, Side(side)) {
				more = true
			}
		}
	}
}

// tryMessage reads the next message of an end of a connection on trial, and
// reports whether there was one that could be read.
func (l *Lane) tryMessage(c *connection, from Side) bool {
	d := &c.rejoining[from].octets
	if c.trial.waits(from, d.Partial(l.t.buffers)) {
		return false
	}
	reader, m := d.Segment(l.t.buffers, d.Frontier(l.t.buffers), nil), new(stream.Message)
	if d.State() != stream.Reading || !reader.Next(m) {
		return false
	}
	l.spent += messageWork
	c.trial.hear(from, m.View)
	return true
}

// waits reports whether what an end says next can only be told once the start is
// answered: messages about calls, unless a Stop-Control-Connection-Request comes
// behind them.
func (r *trial) waits(from Side, octets pptp.View) bool {
	if r.session != pptp.SessionRequested || from != r.requester || len(octets) == 0 {
		return false
	}
	for first := true; whole(octets); first = false {
		t := octets.ControlType()
		if t == pptp.StopControlConnectionRequest || first && (isSessionMessage(t) || pptp.FixedLength(t) == 0) {
			return false
		}
		octets = octets[octets.Length():]
	}
	return true
}

// whole reports whether octets begin with a whole message.
func whole(octets pptp.View) bool {
	return len(octets) >= pptp.HeaderLength && octets.Length() >= pptp.HeaderLength && int(octets.Length()) <= len(octets)
}

// hear moves the session by a message.
func (r *trial) hear(from Side, v pptp.View) {
	t := v.ControlType()
	if v.MessageType() != pptp.ControlMessage || !v.Complete() || !isSessionMessage(t) {
		return
	}
	if t == pptp.StartControlConnectionRequest && r.session == pptp.SessionIdle {
		r.requester = from
	}
	result, _ := v.Result()
	if next, ok := r.session.Next(t, from == r.requester, result); ok {
		r.session = next
	}
}
