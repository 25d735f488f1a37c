package stream

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/pptp"
)

// State says how a Direction reads.
type State uint8

// The states of a Direction. The zero State waits for a start.
const (
	// Searching takes up the thread at the next segment that begins with a
	// plausible header.
	Searching State = iota
	// Reading knows where messages begin.
	Reading
	// Lost reads no further: the cookie or a Length made no sense.
	Lost
)

// MaxLength is the longest message that is taken for one: the longest of
// RFC 2637 has 220 octets, and peers that append a little exist.
const MaxLength = 512

// Message is one whole control message.
type Message struct {
	// Position is the sequence number of its first octet; the field at offset
	// n of the message lies at Position+n of the stream.
	Position uint32
	// View is valid until the next call of Next.
	View pptp.View
}

// Direction reads the messages that one end of a connection sends. It holds
// no pointers. The zero Direction is Searching.
type Direction struct {
	next    uint32 // stream position of the first octet not yet read
	buffer  Ref    // holds what was seen from next on but could not be read yet
	read    uint16 // octets at the start of the buffer, before the one at next
	state   State
	resumes bool // Searching, but not before next
}

// Start makes d read from the given stream position on: the one behind SYN.
func (d *Direction) Start(pool *Pool, position uint32) {
	d.Close(pool)
	d.next, d.state = position, Reading
}

// Holds reports whether d holds a buffer: a part of a message, or octets ahead
// of a gap.
func (d *Direction) Holds() bool { return d.buffer != 0 }

// State returns how d reads.
func (d *Direction) State() State { return d.state }

// Close gives back what d holds and makes it Searching.
func (d *Direction) Close(pool *Pool) {
	if d.buffer != 0 {
		pool.put(d.buffer)
	}
	*d = Direction{}
}

// Acknowledged tells d that the receiver has everything before position. If d
// has not, those octets went another way, and what they were is not known; it
// reports whether that happened. d is Reading then if it holds octets from
// behind the gap that are messages as far as can be told: call Segment without
// octets to read them, and Acknowledged again, for there may be another gap.
// Otherwise it is Searching, from position on. If it is already, it goes on there.
func (d *Direction) Acknowledged(pool *Pool, position uint32) (missed bool) {
	if d.resumes && after(position, d.next) {
		d.next = position
	}
	if d.state != Reading || !after(position, d.Frontier(pool)) {
		return false
	}
	if d.buffer == 0 || !d.skipGap(pool.buffer(d.buffer), position) {
		d.Close(pool)
		d.next, d.resumes = position, true
	}
	return true
}

// skipGap moves d behind a gap that ends at position at the latest, to the
// first octets there that begin with a plausible header, and have no other
// between their messages. It reports whether there are any.
func (d *Direction) skipGap(b *buffer, position uint32) bool {
	last := position - d.next + uint32(d.read)
	for at := b.have.island(int(d.read)); at < BufferSize && uint32(at) <= last; at = b.have.island(at) {
		if plausibleAll(b.there(at)) {
			d.next += uint32(at) - uint32(d.read)
			d.read = uint16(at)
			return true
		}
	}
	return false
}

// held returns the number of octets there from next on.
func (d *Direction) held(pool *Pool) int {
	if d.buffer == 0 {
		return 0
	}
	return len(pool.buffer(d.buffer).there(int(d.read)))
}

// Reader yields the messages that a segment completes.
type Reader struct {
	d        *Direction
	pool     *Pool
	position uint32
	data     []byte
	leave    int // buffers of the pool that it may not take
	refused  bool
}

// Leave makes r take no buffer when only n are left.
func (r *Reader) Leave(n int) { r.leave = n }

// Refused reports whether octets were lost because the pool had no buffer left
// for them.
func (r *Reader) Refused() bool { return r.refused }

// Segment gives d the octets of a segment, the first of which has the given
// stream position. Call Next until it reports false.
func (d *Direction) Segment(pool *Pool, position uint32, data []byte) Reader {
	return Reader{d: d, pool: pool, position: position, data: data}
}

// Next reads the next whole message into m. It reports false when there is
// none, and has then kept what belongs to a later one.
func (r *Reader) Next(m *Message) bool {
	d := r.d
	if d.state == Searching && !r.resume() {
		return false
	}
	r.discard()
	for d.state == Reading {
		if d.buffer == 0 && r.inOrder() && r.direct(m) {
			return true
		}
		progress := d.state == Reading && r.store()
		if r.buffered(m) {
			return true
		}
		if !progress {
			break
		}
	}
	if d.state == Lost {
		r.release()
	}
	return false
}

// resume takes up the thread at the start of the segment, or at d.next if that
// is behind it: what comes before was acknowledged, so that nobody but this
// Direction would take another copy of it.
func (r *Reader) resume() bool {
	d := r.d
	if d.resumes {
		r.inOrder()
	}
	if len(r.data) < pptp.HeaderLength || !plausible(r.data) {
		return false
	}
	d.next, d.state, d.resumes = r.position, Reading, false
	return true
}

// plausible reports whether b starts with a header that only a control message
// has: known type, the length that type has, and the cookie.
func plausible(b []byte) bool {
	v := pptp.View(b)
	length := pptp.FixedLength(v.ControlType())
	return v.MessageType() == pptp.ControlMessage && v.Magic() == pptp.MagicCookie && length != 0 && int(v.Length()) == length
}

// plausibleAll reports whether b is plausible messages, the last of which may
// be cut short.
func plausibleAll(b []byte) bool {
	if len(b) < pptp.HeaderLength {
		return false
	}
	for len(b) >= pptp.HeaderLength {
		if !plausible(b) {
			return false
		}
		b = b[min(int(pptp.View(b).Length()), len(b)):]
	}
	return true
}

// inOrder drops the octets that were read already and reports whether the
// next one is there.
func (r *Reader) inOrder() bool {
	if after(r.d.next, r.position) {
		n := min(r.d.next-r.position, uint32(len(r.data)))
		r.position += n
		r.data = r.data[n:]
	}
	return len(r.data) > 0 && r.position == r.d.next
}

// direct reads a message that is whole in the segment.
func (r *Reader) direct(m *Message) bool {
	length := r.d.messageLength(r.data)
	if length == 0 || length > len(r.data) {
		return false
	}
	*m = Message{Position: r.position, View: pptp.View(r.data[:length])}
	r.position += uint32(length)
	r.data = r.data[length:]
	r.d.next = r.position
	return true
}

// PassAlike passes over the messages behind m, the last that Next has read, that
// are whole in the segment and have the header of m, and returns how many there
// were.
func (r *Reader) PassAlike(m *Message) (n int) {
	d := r.d
	head := binary.BigEndian.Uint64(m.View) // length, message type, cookie
	t, length := m.View.ControlType(), len(m.View)
	r.discard() // m may have been in the buffer
	if d.state != Reading || d.buffer != 0 || !r.inOrder() {
		return 0
	}
	rest := r.data
	for len(rest) >= length && binary.BigEndian.Uint64(rest) == head && pptp.View(rest).ControlType() == t {
		rest = rest[length:]
		n++
	}
	r.position += uint32(n * length)
	r.data, d.next = rest, r.position
	return n
}

// messageLength returns the length of the message at the start of b, 0 if too
// little of it is there to tell. If b starts with no message, d is Lost.
func (d *Direction) messageLength(b []byte) int {
	if len(b) >= 2 {
		if length := int(binary.BigEndian.Uint16(b)); length < pptp.HeaderLength || length > MaxLength {
			d.state = Lost
			return 0
		}
	}
	if len(b) < 8 {
		return 0
	}
	if binary.BigEndian.Uint32(b[4:]) != pptp.MagicCookie {
		d.state = Lost
		return 0
	}
	return int(binary.BigEndian.Uint16(b))
}

// store copies of the segment what the buffer is to have, first copies first,
// and reports whether anything of the segment was used up.
func (r *Reader) store() bool {
	d := r.d
	r.inOrder()
	ahead := r.position - d.next
	if len(r.data) == 0 || ahead >= BufferSize {
		return false
	}
	if d.buffer == 0 {
		if d.buffer = r.pool.get(r.leave); d.buffer == 0 {
			r.refused = true
			return false
		}
	}
	b := r.pool.buffer(d.buffer)
	if d.read > 0 {
		b.shift(int(d.read))
		d.read = 0
	}
	n := b.fill(int(ahead), r.data[:min(len(r.data), wanted(b, int(ahead)))])
	r.position += uint32(n)
	r.data = r.data[n:]
	return true
}

// wanted is how many octets at offset ahead the buffer is to take: what the
// message at its start lacks, as far as can be told, so that the rest is read
// where it lies; all that it has room for if it has octets from behind a gap.
func wanted(b *buffer, ahead int) int {
	const told = 8 // octets that messageLength looks at
	n, want := b.have.gap(0), told
	if n >= told {
		want = int(binary.BigEndian.Uint16(b.octets[:]))
	}
	if ahead > n || want <= n || b.have.end() > n {
		return BufferSize
	}
	return want - ahead
}

// buffered reads a message that is whole in the buffer, which lies there until
// the next discard.
func (r *Reader) buffered(m *Message) bool {
	d := r.d
	if d.buffer == 0 {
		return false
	}
	there := r.pool.buffer(d.buffer).there(int(d.read))
	length := d.messageLength(there)
	if length == 0 || length > len(there) {
		return false
	}
	*m = Message{Position: d.next, View: pptp.View(there[:length])}
	d.next += uint32(length)
	d.read += uint16(length)
	return true
}

// discard gives the buffer back if all of it was read.
func (r *Reader) discard() {
	d := r.d
	if d.read > 0 && r.pool.buffer(d.buffer).have.end() == int(d.read) {
		r.release()
	}
}

func (r *Reader) release() {
	if r.d.buffer != 0 {
		r.pool.put(r.d.buffer)
		r.d.buffer, r.d.read = 0, 0
	}
}

// after reports whether sequence number a comes after b, across the wrap at
// 2^32 (RFC 9293, section 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

// Frontier is the position behind the last octet that d has without a gap, or, if
// it is Lost, where it lost the thread. It means nothing while d is Searching.
func (d *Direction) Frontier(pool *Pool) uint32 { return d.next + uint32(d.held(pool)) }

// Partial returns what is there of the message that is not whole yet, valid
// until the next Segment. Its first octet is at Start of the next message.
func (d *Direction) Partial(pool *Pool) pptp.View {
	if d.buffer == 0 {
		return nil
	}
	return pptp.View(pool.buffer(d.buffer).there(int(d.read)))
}

// Begin is the position of the message that is not whole yet.
func (d *Direction) Begin() uint32 { return d.next }
