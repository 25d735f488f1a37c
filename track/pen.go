package track

// pen keeps copies of the frames that are held. A few of them are used again
// once they have left; what holding costs is charged as long as it is held.
type pen struct {
	spare   []*Frame // free to be used
	leaving []*Frame // released with the current batch
}

// frameMemory is what a held frame costs beside its octets.
const frameMemory = 256

// Spare frames are kept up to a small sum: maxSpare of spareSize octets each.
const (
	maxSpare  = 64
	spareSize = 2048
)

// cost is what keeping f takes of limits.hold_bytes.
func cost(f *Frame) int64 { return int64(cap(f.Data)) + frameMemory }

// keep returns a copy of f, or nil if it would be more than limits.hold_bytes
// allow, half of which are for the frames of all Lanes.
func (s *pen) keep(l *Lane, f *Frame) *Frame {
	c := s.take(len(f.Data))
	data := append(c.Data[:0], f.Data...)
	*c = *f
	c.Data = data
	if l.t.heldBytes.Add(cost(c)) > int64(l.settings.Limits.HoldBytes/2) {
		l.t.heldBytes.Add(-cost(c))
		s.put(c)
		l.limit("hold_bytes")
		return nil
	}
	return c
}

// take returns a frame with room for n octets.
func (s *pen) take(n int) *Frame {
	if k := len(s.spare); k > 0 && n <= spareSize {
		c := s.spare[k-1]
		s.spare = s.spare[:k-1]
		return c
	}
	return &Frame{Data: make([]byte, 0, max(n, spareSize/8))}
}

// put keeps a frame for later, if it is worth it.
func (s *pen) put(f *Frame) {
	if len(s.spare) < maxSpare && cap(f.Data) <= spareSize {
		s.spare = append(s.spare, f)
	}
}

// leave takes note that a frame is no longer held; its bytes stay as they are
// until recycle.
func (s *pen) leave(f *Frame) { s.leaving = append(s.leaving, f) }

// recycle lets the frames that have left be used again.
func (s *pen) recycle(t *Tracker) {
	for _, f := range s.leaving {
		t.heldBytes.Add(-cost(f))
		s.put(f)
	}
	clear(s.leaving)
	s.leaving = s.leaving[:0]
}
