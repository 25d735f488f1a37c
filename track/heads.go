package track

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// The box keeps the first octets of each message, as they leave: with the name
// of its call ID, and with the result of a call that is refused. They belong to a
// position of the stream, not to a segment: whatever is sent again, and however it
// is cut then, leaves as the first copy did, until the receiver has acknowledged
// it. That goes for what tells the kind of message, too: nobody can have the box
// read one, and send another to the same position.

// head is an element of a direction's list, in the order of the stream.
type head struct {
	next     ref
	position uint32
	n        uint8 // octets that are there
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

// headList is the heads of one direction that are not acknowledged.
type headList struct {
	head, tail ref
	n          int
	forgot     bool // there were others before them, before a restart
}

// maxHeads is how many heads a direction may have in flight: those of the
// shortest messages in a window of 64 KiB. A window that is larger fills more
// slowly.
const maxHeads = 1<<16/pptp.HeaderLength + 2

// Each direction has fewHeads of its own, which nobody else gets: as many messages
// can be on their way, whoever does not acknowledge what he gets. Those beyond are
// shared by all.
const fewHeads = 4

// sharedHeads is how many heads there are to share, and headsFor how many in all.
func sharedHeads(l *Limits) int { return 2*l.Calls + 2*maxHeads }
func headsFor(l *Limits) int    { return flow.Sides*fewHeads*l.Connections + sharedHeads(l) }

// shared is how many of a direction's heads are no more its own.
func shared(heads int) int64 { return int64(max(heads-fewHeads, 0)) }

// promise sets heads aside for what a segment may need that begins messages. It
// reports false if there are none.
func (w *work) promise(c *connection, side Side, messages int) bool {
	n, has := w.t.nat, c.heads[side].n
	need := shared(has+messages) - shared(has)
	if has+messages > maxHeads || n.shared.Add(need) > n.sharable {
		if has+messages <= maxHeads {
			n.shared.Add(-need)
		}
		w.limit("nat.heads")
		return false
	}
	w.promised = messages
	return true
}

// unpromise gives back what was set aside and not needed.
func (w *work) unpromise(c *connection, side Side) {
	has := c.heads[side].n
	w.t.nat.shared.Add(shared(has) - shared(has+w.promised))
	w.promised = 0
}

// messagesIn is how many messages have their first octet in a segment's data, or
// the second, behind what a direction has of the one on its way; at most.
func messagesIn(d *stream.Direction, pool *stream.Pool, position uint32, data []byte) (n int) {
	if d.State() != stream.Reading {
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
// by now, or nil if there is no room.
func (w *work) headOf(c *connection, side Side, position uint32, v pptp.View, whole bool) *head {
	n, list := w.t.nat, &c.heads[side]
	if list.tail == 0 || n.heads.at(list.tail).position != position {
		if w.promised == 0 || !n.addHead(list, head{position: position}) {
			return nil
		}
		w.promised--
	}
	h := n.heads.at(list.tail)
	h.n += uint8(copy(h.octets[h.n:], v[min(int(h.n), len(v)):]))
	h.whole = whole
	h.refuse(h.refused)
	return h
}

// addHead puts a head at the end of a direction's list. Room for it has been
// promised.
func (n *aliases) addHead(list *headList, h head) bool {
	r := n.heads.get(len(n.heads.items))
	if r == 0 {
		return false
	}
	*n.heads.at(r) = h
	if list.tail != 0 {
		n.heads.at(list.tail).next = r
	} else {
		list.head = r
	}
	list.tail = r
	list.n++
	return true
}

// name makes the ID at an offset leave by another name.
func (h *head) name(at int, id uint16) { binary.BigEndian.PutUint16(h.octets[at:], id) }

// refuse makes a reply a refusal.
func (h *head) refuse(refused bool) {
	if h.refused = refused; refused {
		binary.BigEndian.PutUint16(h.octets[refusalAt:], refusal)
	}
}

// end is the position behind the last octet of h that is there.
func (h *head) end() uint32 { return h.position + uint32(h.n) }

// freeHeads forgets the heads of a direction before a position.
func (n *aliases) freeHeads(list *headList, acknowledged uint32) {
	for list.head != 0 {
		h := n.heads.at(list.head)
		if after(h.end(), acknowledged) || !h.whole && h.next == 0 {
			return // more of it may come
		}
		n.freeFirst(list)
	}
}

func (n *aliases) freeFirst(list *headList) {
	n.shared.Add(shared(list.n-1) - shared(list.n))
	r := list.head
	if list.head = n.heads.at(r).next; list.head == 0 {
		list.tail = 0
	}
	list.n--
	n.heads.put(r)
}

// forgets reports whether octets from a position on may be of a message whose head
// is not known any more.
func (n *aliases) forgets(list *headList, position uint32) bool {
	if list.forgot && list.head == 0 {
		list.forgot = false // all is acknowledged
	}
	return list.forgot && after(n.heads.at(list.head).position, position)
}

// forgetHeads forgets all heads of a direction.
func (n *aliases) forgetHeads(list *headList) {
	for list.head != 0 {
		n.freeFirst(list)
	}
}

// dataPosition is the position in the stream of a segment's first octet.
func dataPosition(p *wire.Packet) uint32 {
	if p.Flags&wire.SYN != 0 {
		return p.Seq + 1
	}
	return p.Seq
}

// patch says which octets of a segment leave otherwise than they came.
func (l *Lane) patch(c *connection, f *Frame, start uint32, data int) {
	end, first := start+uint32(data), len(l.octets)
	for r := c.heads[l.side].head; r != 0; {
		h := l.t.nat.heads.at(r)
		if !after(end, h.position) {
			break
		}
		l.patchHead(f, h, start, end)
		r = h.next
	}
	if len(l.octets) > first {
		f.Change.What |= ChangeOctets
		f.Change.Octets = l.octets[first:len(l.octets):len(l.octets)]
	}
}

// patchHead adds what of a head lies in the segment [start, end) and is not as
// it should be.
func (l *Lane) patchHead(f *Frame, h *head, start, end uint32) {
	from, to := uint32(0), uint32(h.n)
	if after(start, h.position) {
		from = min(start-h.position, to)
	}
	if after(h.end(), end) {
		to = end - h.position
	}
	base := f.dataAt() + h.position - start
	for at := from; at < to; at++ {
		if f.Data[base+at] == h.octets[at] {
			continue
		}
		o := Octets{At: base + at}
		o.N = uint8(copy(o.New[:], h.octets[at:to]))
		l.octets = append(l.octets, o)
		at++
	}
}

// dataAt is where the octets of the stream begin in a frame.
func (f *Frame) dataAt() uint32 {
	if f.Packet.Kind == wire.LaterFragment {
		return f.Packet.L4
	}
	return f.Packet.Payload
}
