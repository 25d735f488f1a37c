package track

// pieces are the parts of a datagram's payload that were seen: [start, end)
// octets, apart from each other, in no order.
type pieces struct {
	parts [maxPieces]struct{ start, end uint32 }
	n     int
	total uint32 // length of the whole, 0 while the last fragment is missing
}

// maxPieces is how many parts apart from each other a datagram may be seen in:
// all of one of 64 KiB in Ethernet's frames, every other one of them missing.
const maxPieces = 24

// add takes note of a part and returns why it does not fit, or 0: it overlaps
// one already there, lies behind the end, is a second end, or is one part too
// many. What does not fit changes nothing.
func (s *pieces) add(start, end int, last bool) Reason {
	from, to := uint32(start), uint32(end)
	if s.total != 0 && (last || to > s.total) {
		return ReasonFragmentOverlap
	}
	for _, p := range s.parts[:s.n] {
		if from < p.end && p.start < to || last && p.end > to {
			return ReasonFragmentOverlap
		}
	}
	if !s.join(from, to) {
		return ReasonFragmentLimit
	}
	if last {
		s.total = to
	}
	return 0
}

// join puts a part in, as one with those that touch it.
func (s *pieces) join(from, to uint32) bool {
	for i := 0; i < s.n; {
		p := s.parts[i]
		if p.end != from && p.start != to {
			i++
			continue
		}
		from, to = min(from, p.start), max(to, p.end)
		s.n--
		s.parts[i] = s.parts[s.n]
		i = 0
	}
	if s.n == len(s.parts) {
		return false
	}
	s.parts[s.n].start, s.parts[s.n].end = from, to
	s.n++
	return true
}

// whole reports whether nothing of the datagram is missing.
func (s *pieces) whole() bool {
	return s.total != 0 && s.n == 1 && s.parts[0].start == 0 && s.parts[0].end == s.total
}
