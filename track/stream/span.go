package stream

// maxSpans bounds how many separate pieces a Direction keeps ahead of a gap.
const maxSpans = 4

// span is a range of octets in a buffer: [start, end).
type span struct{ start, end uint16 }

// spans are the ranges of a buffer that were filled, ascending, apart from
// each other. An empty span ends the list.
type spans [maxSpans]span

// prefix is the number of octets there from the start of the buffer on.
func (s *spans) prefix() int {
	if s[0].start != 0 {
		return 0
	}
	return int(s[0].end)
}

func (s *spans) empty() bool { return s[0].end == 0 }

// add puts [start, end) into the list, joining what touches. It reports false
// and changes nothing when the list is full.
func (s *spans) add(start, end int) bool {
	if start >= end {
		return true
	}
	joined := span{uint16(start), uint16(end)}
	var out [maxSpans + 1]span
	n, placed := 0, false
	for _, have := range s {
		switch {
		case have.end == 0:
			continue
		case have.end < joined.start:
			out[n], n = have, n+1
		case joined.end < have.start:
			if !placed {
				out[n], n, placed = joined, n+1, true
			}
			out[n], n = have, n+1
		default:
			joined = span{min(have.start, joined.start), max(have.end, joined.end)}
		}
	}
	if !placed {
		out[n], n = joined, n+1
	}
	if n > maxSpans {
		return false
	}
	*s = spans(out[:maxSpans])
	return true
}

// nextGap returns the first range inside [start, end) that is not there.
func (s *spans) nextGap(start, end int) (from, to int) {
	from = start
	for _, have := range s {
		if have.end == 0 || int(have.start) > from {
			break
		}
		from = max(from, int(have.end))
	}
	to = end
	for _, have := range s {
		if have.end != 0 && int(have.start) >= from {
			to = min(to, int(have.start))
			break
		}
	}
	return min(from, end), to
}

// shift moves every span n octets towards the start.
func (s *spans) shift(n int) {
	var out spans
	k := 0
	for _, have := range s {
		if int(have.end) > n {
			out[k] = span{uint16(max(int(have.start)-n, 0)), have.end - uint16(n)}
			k++
		}
	}
	*s = out
}
