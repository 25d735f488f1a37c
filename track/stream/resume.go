package stream

import "github.com/grewire/grewire/track/pptp"

// Position returns where d reads on, if nothing but that has to be known of it:
// it is Reading and holds nothing.
func (d *Direction) Position() (position uint32, ok bool) {
	return d.next, d.state == Reading && d.buffer == 0
}

// Resume makes d take up the thread, but not before position, nor before what it
// has read.
func (d *Direction) Resume(pool *Pool, position uint32) {
	if d.HasRead() && after(d.next, position) {
		position = d.next
	}
	d.Close(pool)
	d.next, d.resumes = position, true
}

// HasRead reports whether d reads nothing before its Frontier any more.
func (d *Direction) HasRead() bool { return d.state == Reading || d.resumes }

// PassRead makes d, which has kept octets of a stream, pass over the messages that
// other, which reads the same stream, has read.
func (d *Direction) PassRead(pool *Pool, other *Direction) {
	if !other.HasRead() {
		return
	}
	r := d.Segment(pool, d.Frontier(pool), nil)
	for m := new(Message); d.state == Reading && after(other.next, d.next) && r.Next(m); {
	}
	if d.state == Reading && after(other.next, d.next) { // one that is not whole
		d.Close(pool)
	}
}

// Lose makes d read no further than what it has, up to its Frontier.
func (d *Direction) Lose(pool *Pool) {
	position := d.Frontier(pool)
	d.Close(pool)
	d.next, d.state = position, Lost
}

// Keep takes the octets of a segment and reads none of them yet, for it is not
// known whether they are of the connection; the next Segment does, which may
// have none of its own. Octets that begin with no plausible header are not
// kept, nor are any when only leave buffers are left in the pool.
func (d *Direction) Keep(pool *Pool, position uint32, data []byte, leave int) {
	if d.state != Reading {
		if len(data) < pptp.HeaderLength || !plausible(data) {
			return
		}
		d.Start(pool, position)
	}
	r := Reader{d: d, pool: pool, position: position, data: data, leave: leave}
	for r.store() {
	}
}
