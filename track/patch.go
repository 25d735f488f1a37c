package track

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/wire"
)

// name makes the ID at an offset leave by another name.
func (h *head) name(at int, id uint16) { binary.BigEndian.PutUint16(h.octets[at:], id) }

// refuse makes a reply a refusal.
func (h *head) refuse() {
	h.refused = true
	binary.BigEndian.PutUint16(h.octets[refusalAt:], refusal)
}

// dataPosition is the position in the stream of a segment's first octet.
func dataPosition(p *wire.Packet) uint32 {
	if p.Flags&wire.SYN != 0 {
		return p.Seq + 1
	}
	return p.Seq
}

// patch says which octets of a segment leave otherwise than they came. It reports
// whether all of them are of messages whose heads are there: if not, nobody knows
// what they were when they left first.
func (l *Lane) patch(c *connection, f *Frame, start uint32, data int) (known bool) {
	end, first := start+uint32(data), len(l.octets)
	g := l.logOf(c, f)
	for i := g.search(start); i < int(g.n) && after(end, g.at(i).position); i++ {
		l.patchHead(f, g.at(i), start, end)
	}
	if len(l.octets) > first {
		f.Change.What |= ChangeOctets
		f.Change.Octets = l.octets[first:len(l.octets):len(l.octets)]
	}
	return g.knows(l.side, start, end)
}

// knows reports whether all octets from start to end are of messages of the end on
// a side of which it is decided how they leave.
func (g *headLog) knows(from Side, start, end uint32) bool {
	for i := g.search(start); i < int(g.n) && after(end, start); i++ {
		h := g.at(i)
		if after(h.position, start) {
			return false
		}
		if known := h.known(from); after(known, start) {
			start = known
		}
	}
	return !after(end, start)
}

// known is the position up to which it is decided how a message of the end on a
// side leaves.
func (h *head) known(from Side) uint32 {
	if decides(from, h.octets[:h.n]) {
		return h.stop()
	}
	return h.end()
}

// patchHead adds what of a head lies in the segment [start, end) and is not as
// it should be.
func (l *Lane) patchHead(f *Frame, h *head, start, end uint32) {
	l.patchOctets(f, h, 0, uint32(h.n), start, end)
	if h.refused { // which goes for octets that were not there yet, too
		l.patchOctets(f, h, uint32(max(h.n, refusalAt)), uint32(min(h.size, headLength)), start, end)
	}
}

// patchOctets is patchHead for the octets from one to another of a head.
func (l *Lane) patchOctets(f *Frame, h *head, from, to, start, end uint32) {
	if after(start, h.position) {
		from = max(from, start-h.position)
	}
	if after(h.position+to, end) {
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
