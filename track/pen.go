package track

import "github.com/grewire/grewire/track/stream"

const bufferSize = stream.BufferSize

// pen keeps copies of the frames that are held. Frames and their memory are
// used again once they have left.
type pen struct {
	spare   []*Frame // free to be used
	leaving []*Frame // released with the current batch
}

// keep copies f into d.held. It reports false if that would be more than
// limits.hold_bytes allow, half of which are for the frames of all Lanes.
func (s *pen) keep(l *Lane, f *Frame, d *datagram) bool {
	size := int64(len(f.Data))
	if l.t.heldBytes.Add(size) > int64(l.settings.Limits.HoldBytes/2) {
		l.t.heldBytes.Add(-size)
		return false
	}
	var c *Frame
	if n := len(s.spare); n > 0 {
		c, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		c = new(Frame)
	}
	data := append(c.Data[:0], f.Data...)
	*c = *f
	c.Data = data
	d.held = append(d.held, c)
	return true
}

// leave takes note that a frame is no longer held; its bytes stay as they are
// until recycle.
func (s *pen) leave(f *Frame) { s.leaving = append(s.leaving, f) }

// recycle lets the frames that have left be used again.
func (s *fragments) recycle() {
	for _, f := range s.pen.leaving {
		s.lane.t.heldBytes.Add(-int64(len(f.Data)))
		s.pen.spare = append(s.pen.spare, f)
	}
	s.pen.leaving = s.pen.leaving[:0]
}
