package track

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/stream"
)

// Of a translated connection the heads of messages on their way are saved, so
// that what is sent again after a restart leaves as it did before; and where a
// message is that has come in part.

// saveNamed saves what only translated connections have.
func (t *Tracker) saveNamed(out *SavedConnection, c *connection) {
	out.LANMAC = t.nat.hosts[c.self-1].mac.Load()
	for side := range out.Heads {
		t.nat.saveHeads(&out.Heads[side], t.nat.heads.log(c, Side(side)))
		if d := &c.streams[side]; d.State() == stream.Reading && d.Holds() {
			position := t.saveSplit(&out.Heads[side], c, Side(side))
			out.Ends[side].Position, out.Ends[side].Reading = position, true
			out.Midway = out.Midway || position != d.Begin()
		}
	}
}

// saveHeads saves the last heads of a list, in their order.
func (n *aliases) saveHeads(out *[savedHeads]SavedHead, g headLog) {
	for left := min(int(g.n), savedHeads); left > 0; left-- {
		h := g.at(int(g.n) - left)
		out[savedHeads-left] = SavedHead{Position: h.position, N: h.n, Octets: h.octets}
	}
}

// refuses reports whether what makes a reply a refusal was saved before it was
// there: of another head there is nothing behind its N octets.
func (s *SavedHead) refuses() bool {
	return s.N < headLength && binary.BigEndian.Uint16(s.Octets[refusalAt:]) == refusal
}

// saveSplit saves what is there of a message on its way, and returns where the
// direction is to be read on: at its start again, or, if all that changes of it
// has come, behind it. Then the rest of what it says is lost.
func (t *Tracker) saveSplit(out *[savedHeads]SavedHead, c *connection, side Side) (position uint32) {
	d := &c.streams[side]
	v := d.Partial(t.buffers)
	at, names := idField(side, v)
	if decides(side, v) {
		return d.Begin() + uint32(v.Length())
	}
	if last := &out[savedHeads-1]; last.N > 0 && last.Position == d.Begin() {
		last.Split = true
		if names {
			last.N = min(last.N, uint8(at)) // half an ID has not left
		}
	}
	return d.Begin()
}

// restoreHeads takes back what saveNamed has saved of a direction that is read
// again.
func (w *work) restoreHeads(saved *[savedHeads]SavedHead, c *connection, side Side) {
	for i := range saved {
		s := &saved[i]
		if s.N == 0 || s.N > headLength || !w.promise(c, side, s.Position, 1) {
			continue
		}
		g := w.t.nat.heads.log(c, side)
		h := head{position: s.Position, whole: !s.Split, named: !s.Split}
		if h.take(s.Octets[:s.N]); s.refuses() {
			h.refuse()
		}
		if last := g.last(); last != nil && after(last.stop(), h.position) || g.add(h) == nil {
			continue
		}
		if d := &c.streams[side]; s.Split && i == savedHeads-1 && d.State() == stream.Reading && d.Begin() == s.Position {
			reader := d.Segment(w.t.buffers, s.Position, s.Octets[:s.N])
			reader.Next(new(stream.Message))
			c.holdsSince[side] = w.now
		}
	}
}
