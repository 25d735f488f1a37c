package track

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
)

// The box keeps the first octets of each message, as they leave: with the name
// of its call ID, and with the result of a call that is refused. They belong to a
// position of the stream, not to a segment: what is sent again, however it is cut
// then, leaves as the first copy did. That goes for what tells the kind of a
// message, too: nobody can have the box read one, and send another to the same
// position.
//
// A head is kept until the receiver has acknowledged its message, and then until
// its place is needed: the acknowledgment may be lost behind the box. An octet of
// the LAN leaves only as part of a message whose head is there (patch).

// head is the beginning of a message.
type head struct {
	position uint32
	size     uint16 // octets of the message, as far as is known
	n        uint8  // octets that are there
	octets   [headLength]byte
	named    bool // it was decided what its ID is called
	refused  bool
	whole    bool // all of the message is there
}

// headLength reaches up to the result of a reply, behind both of its IDs.
const (
	fieldLength = 2
	headLength  = refusalAt + fieldLength
)

// end is the position behind the last octet of h that is there.
func (h *head) end() uint32 { return h.position + uint32(h.n) }

// stop is the position behind the message.
func (h *head) stop() uint32 { return h.position + uint32(max(h.size, uint16(h.n))) }

// take adds what is there of a message by now.
func (h *head) take(v pptp.View) {
	h.n += uint8(copy(h.octets[h.n:], v[min(int(h.n), len(v)):]))
	h.size = uint16(len(v))
	if h.n >= fieldLength {
		h.size = max(h.size, min(binary.BigEndian.Uint16(h.octets[:]), stream.MaxLength))
	}
}

// A direction's heads are a ring in the order of the stream, so that one is found
// by its position in a few steps. There are rings of three sizes. Each direction
// has one of fewHeads of its own, which no other gets: so many messages can be on
// their way whatever others do. The larger ones are shared by all, and a direction
// has one while more than fewHeads of its messages are not acknowledged, and keeps it
// until others may need it.
//
// maxHeads is how many a direction may have on their way: all of the shortest
// messages that a segment in a jumbo frame has room for, so that a segment that is
// sent again alone always passes; and more than twice as many requests as a window
// of 64 KiB holds. A window with more of them fills more slowly.
const (
	fewHeads  = 4
	someHeads = 64
	maxHeads  = 1024
)

// headRings are the rings of all directions.
type headRings struct {
	few [][flow.Sides][fewHeads]head // by connection
	// trial has, by connection, the heads of what the LAN's end has said on trial.
	trial [][fewHeads]head
	some  *slab[[someHeads]head]
	many  *slab[[maxHeads]head]
}

func newHeadRings(l *Limits) headRings {
	return headRings{
		few:   make([][flow.Sides][fewHeads]head, l.Connections),
		trial: make([][fewHeads]head, l.Connections),
		some:  newSlab[[someHeads]head](2*l.Calls/someHeads + 8),
		many:  newSlab[[maxHeads]head](l.Calls/maxHeads/4 + 2),
	}
}

// use is how many heads have room in the shared rings that are taken, and in all.
func (r *headRings) use() Use {
	return Use{
		Used:  r.some.used()*someHeads + r.many.used()*maxHeads,
		Limit: len(r.some.items)*someHeads + len(r.many.items)*maxHeads,
	}
}

// headList is the heads of a direction.
type headList struct {
	some, many ref    // its larger ring, if it has one
	first, n   uint16 // where the oldest is in the ring, and how many there are
	done       uint16 // how many of the oldest are acknowledged
}

// waiting is how many heads are not acknowledged.
func (l *headList) waiting() int { return int(l.n - l.done) }

// headLog is a headList with the ring that it is in.
type headLog struct {
	*headList
	ring []head
}

// log returns the heads of a direction.
func (r *headRings) log(c *connection, side Side) headLog {
	list := &c.heads[side]
	switch {
	case list.many != 0:
		return headLog{list, r.many.at(list.many)[:]}
	case list.some != 0:
		return headLog{list, r.some.at(list.some)[:]}
	}
	return headLog{list, r.few[c.self-1][side][:]}
}

// trialLog returns the heads of what the LAN's end has said on trial.
func (r *headRings) trialLog(c *connection) headLog {
	return headLog{&c.trialHeads, r.trial[c.self-1][:]}
}

// takeTrial makes the heads of what was said on trial the LAN's end's, which has
// no others.
func (r *headRings) takeTrial(c *connection, heads headList) {
	r.few[c.self-1][LAN], c.heads[LAN] = r.trial[c.self-1], heads
}

// at returns the head number i, from the oldest on.
func (g *headLog) at(i int) *head { return &g.ring[(int(g.first)+i)%len(g.ring)] }

// last returns the newest head, or nil.
func (g *headLog) last() *head {
	if g.n == 0 {
		return nil
	}
	return g.at(int(g.n) - 1)
}

// search returns the number of the first head whose message reaches beyond a
// position, or how many heads there are.
func (g *headLog) search(position uint32) int {
	low, high := 0, int(g.n)
	for low < high {
		if middle := (low + high) / 2; after(g.at(middle).stop(), position) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// add puts a head behind the others, see insert.
func (g *headLog) add(h head) *head { return g.insert(int(g.n), h) }

// insert makes a head number i, in the place of the oldest if that is needed and is
// acknowledged. It returns nil if there is no room.
func (g *headLog) insert(i int, h head) *head {
	if int(g.n) == len(g.ring) {
		if g.done == 0 || i == 0 {
			return nil
		}
		g.drop(1)
		i--
	}
	g.n++
	for later := int(g.n) - 1; later > i; later-- {
		*g.at(later) = *g.at(later - 1)
	}
	g.done = min(g.done, uint16(i))
	*g.at(i) = h
	return g.at(i)
}

// drop forgets so many of the oldest.
func (g *headLog) drop(n int) {
	g.first = uint16((int(g.first) + n) % len(g.ring))
	g.n -= uint16(n)
	g.done -= min(g.done, uint16(n))
}

// acknowledged takes note that the receiver has everything before a position.
func (g *headLog) acknowledged(position uint32) {
	done := g.search(position)
	if done > 0 && done == int(g.n) && !g.last().whole {
		done-- // more of it may come
	}
	g.done = max(g.done, uint16(done))
}

// makeRoom sees to it that a direction has room for so many heads more, beside
// those that are not acknowledged and those from a position on. It reports false if
// there is none.
func (r *headRings) makeRoom(c *connection, side Side, position uint32, messages int) bool {
	for {
		g := r.log(c, side)
		need := max(g.waiting(), int(g.n)-g.search(position)) + messages
		if need <= len(g.ring) {
			return true
		}
		to := headList{}
		if need <= someHeads {
			to.some = r.some.get(len(r.some.items))
		}
		if to.some == 0 && need <= maxHeads {
			to.many = r.many.get(len(r.many.items))
		}
		if to == (headList{}) {
			return false
		}
		r.move(c, side, to)
	}
}

// giveBack takes a direction's larger ring back that it needs no more, if others may
// need it soon: as long as more than half of such rings are free, what is
// acknowledged stays known.
func (r *headRings) giveBack(c *connection, side Side) {
	list := &c.heads[side]
	if list.waiting() > fewHeads {
		return
	}
	if list.some != 0 && crowded(r.some) || list.many != 0 && crowded(r.many) {
		r.move(c, side, headList{})
	}
}

// crowded reports whether more than half of a slab's elements are in use.
func crowded[T any](s *slab[T]) bool { return 2*s.used() > len(s.items) }

// move puts the newest heads of a direction into another ring, as many as fit.
func (r *headRings) move(c *connection, side Side, to headList) {
	from, old := r.log(c, side), c.heads[side]
	from.headList = &old
	c.heads[side] = to
	g := r.log(c, side)
	from.drop(max(int(old.n)-len(g.ring), 0))
	for i := range int(old.n) {
		g.ring[i] = *from.at(i)
	}
	g.n, g.done = old.n, old.done
	r.put(&old)
}

func (r *headRings) put(list *headList) {
	if list.some != 0 {
		r.some.put(list.some)
	}
	if list.many != 0 {
		r.many.put(list.many)
	}
}

// forget forgets all heads of a direction.
func (r *headRings) forget(c *connection, side Side) {
	r.put(&c.heads[side])
	c.heads[side] = headList{}
}

// promise makes room for the heads that a segment may need that begins messages;
// those of what it says again stay, for it leaves only if all of it is known. It
// reports false if there is none.
func (w *work) promise(c *connection, side Side, position uint32, messages int) bool {
	ok := w.t.nat.heads.makeRoom(c, side, position, messages)
	if !ok {
		w.limit("nat.heads")
	}
	return ok
}

// freeHeads takes note that what a direction has sent before a position is
// acknowledged. Of the WAN's end nothing is kept of what is not read: it goes on,
// by any number of octets, and its positions come round.
func (n *aliases) freeHeads(c *connection, side Side, acknowledged uint32) {
	g := n.heads.log(c, side)
	unread := side == WAN && c.streams[side].State() != stream.Reading
	if last := g.last(); unread && last != nil {
		last.whole = true // no more of it comes
	}
	if g.acknowledged(acknowledged); unread {
		g.drop(int(g.done))
	}
	n.heads.giveBack(c, side)
}

// messagesIn is how many messages have their first octet in a segment's data, or
// the second, behind what a direction has of the one on its way; at most.
func messagesIn(d *stream.Direction, pool *stream.Pool, position uint32, data []byte) (n int) {
	switch d.State() {
	case stream.Lost:
		return 0
	case stream.Searching:
		return len(data)/pptp.HeaderLength + 1
	}
	old := d.Frontier(pool) - position
	if int32(old) < 0 || int(old) >= len(data) {
		return 0
	}
	data = data[old:]
	begun := d.Partial(pool)
	at := len(begun)
	for n = 1; ; n++ { // counted once more, if it has its head already
		var length [2]byte
		if copy(length[copy(length[:], begun):], data)+len(begun) < len(length) {
			return n
		}
		size := int(binary.BigEndian.Uint16(length[:]))
		if size < pptp.HeaderLength || size <= at || size-at >= len(data) {
			return n
		}
		data, begun, at = data[size-at:], nil, 0
	}
}

// headOf returns the head of the message at a position, with what is there of it
// by now, or nil if there is no room, if it begins within another one, or if all of
// it is there already: it may have left as another than is read now.
func (w *work) headOf(c *connection, side Side, position uint32, v pptp.View, whole bool) *head {
	g := w.t.nat.heads.log(c, side)
	h := g.begun(position)
	if h == nil || h.whole {
		return nil
	}
	h.take(v)
	if h.whole = whole; h.refused {
		h.refuse()
	}
	return h
}

// begun returns the head of the message at a position, which is new if there was
// none. It returns nil if there is no room, or if that is within another message.
func (g *headLog) begun(position uint32) *head {
	i := g.search(position)
	if h := g.last(); h != nil && h.position == position {
		return h // as yet it may have no octet
	}
	if i < int(g.n) && !after(g.at(i).position, position) {
		if g.at(i).position != position {
			return nil
		}
		return g.at(i)
	}
	return g.insert(i, head{position: position})
}
