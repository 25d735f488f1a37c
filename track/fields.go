package track

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// A field is two octets of a control connection's stream that leave otherwise
// than they came: a call ID, or the result of a call that is refused. It belongs
// to a position of the stream, not to a segment: whatever is sent again, and
// however it is cut then, leaves as the first copy did, until the receiver has
// acknowledged it.

// field is an element of a direction's list, in the order of the stream.
type field struct {
	next     ref
	position uint32
	value    uint16
}

const fieldLength = 2

// fieldList is the fields of one direction that are not acknowledged.
type fieldList struct {
	head, tail ref
	n          int
}

// maxFields is how many fields a direction may have in flight: those of the
// shortest messages in a window of 64 KiB. A window that is larger fills more
// slowly.
const maxFields = 1<<16/shortestNamed + 2

// shortestNamed is the length of the shortest message with a call ID.
const shortestNamed = 16

// A direction with fewFields, or less, gets some for a segment of fewOctets whatever the
// others have: those who do not acknowledge what they get share the other half.
const (
	fewFields = 8
	fewOctets = stream.MaxLength
)

// fieldsFor is how many fields there may be in all.
func fieldsFor(l *Limits) int {
	return max(2*flow.Sides*fewFields*l.Connections, 2*l.Calls+2*maxFields)
}

// promise sets fields aside for what a segment of so many octets may need. It
// reports false if there are none.
func (w *work) promise(c *connection, side Side, octets int) bool {
	has, all := c.fields[side].n, len(w.t.nat.fields.items)
	if has > fewFields || octets > fewOctets {
		all /= 2
	}
	n := 2 * (octets/shortestNamed + 2)
	if w.t.nat.reserved.Add(int64(n)) > int64(all) || has+n > 2*maxFields {
		w.t.nat.reserved.Add(-int64(n))
		w.limit("nat.fields")
		return false
	}
	w.promised = n
	return true
}

// unpromise gives back what was set aside and not needed.
func (w *work) unpromise() {
	w.t.nat.reserved.Add(-int64(w.promised))
	w.promised = 0
}

// addField notes that two octets of what the end on side sends are to be value.
func (w *work) addField(c *connection, side Side, position uint32, value uint16) {
	n, list := w.t.nat, &c.fields[side]
	if w.promised == 0 {
		return
	}
	r := n.fields.get(len(n.fields.items))
	if r == 0 {
		return
	}
	w.promised--
	*n.fields.at(r) = field{position: position, value: value}
	if list.tail != 0 {
		n.fields.at(list.tail).next = r
	} else {
		list.head = r
	}
	list.tail = r
	list.n++
}

// freeFields forgets the fields of a direction before a position.
func (n *aliases) freeFields(list *fieldList, acknowledged uint32) {
	for list.head != 0 {
		f := n.fields.at(list.head)
		if after(f.position+fieldLength, acknowledged) {
			return
		}
		n.freeHead(list)
	}
}

func (n *aliases) freeHead(list *fieldList) {
	r := list.head
	if list.head = n.fields.at(r).next; list.head == 0 {
		list.tail = 0
	}
	list.n--
	n.fields.put(r)
	n.reserved.Add(-1)
}

// forgetFields forgets all fields of a direction.
func (n *aliases) forgetFields(list *fieldList) {
	for list.head != 0 {
		n.freeHead(list)
	}
}

// dataPosition is the position in the stream of a segment's first octet.
func dataPosition(p *wire.Packet) uint32 {
	if p.Flags&wire.SYN != 0 {
		return p.Seq + 1
	}
	return p.Seq
}

// patch says which octets of a segment are of fields.
func (l *Lane) patch(c *connection, f *Frame, start uint32, data int) {
	n, list := l.t.nat, &c.fields[l.side]
	end := start + uint32(data)
	first := len(l.octets)
	for r := list.head; r != 0; {
		e := n.fields.at(r)
		if !after(end, e.position) {
			break
		}
		if after(e.position+fieldLength, start) {
			l.patchField(f, e, start, end)
		}
		r = e.next
	}
	if len(l.octets) > first {
		f.Change.What |= ChangeOctets
		f.Change.Octets = l.octets[first:len(l.octets):len(l.octets)]
	}
}

// patchField adds what of a field lies in the segment [start, end) and is not as
// it should be.
func (l *Lane) patchField(f *Frame, e *field, start, end uint32) {
	var value [fieldLength]byte
	binary.BigEndian.PutUint16(value[:], e.value)
	from, to := uint32(0), uint32(fieldLength)
	if after(start, e.position) {
		from = start - e.position
	}
	if after(e.position+fieldLength, end) {
		to = end - e.position
	}
	o := Octets{At: f.dataAt() + (e.position + from - start), N: uint8(to - from)}
	copy(o.New[:], value[from:to])
	if string(f.Data[o.At:o.At+uint32(o.N)]) != string(o.New[:o.N]) {
		l.octets = append(l.octets, o)
	}
}

// dataAt is where the octets of the stream begin in a frame.
func (f *Frame) dataAt() uint32 {
	if f.Packet.Kind == wire.LaterFragment {
		return f.Packet.L4
	}
	return f.Packet.Payload
}

// sides are both of them.
var sides = [flow.Sides]Side{LAN, WAN}
