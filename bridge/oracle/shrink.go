package oracle

import "slices"

// Shrink returns a sequence that is as short as taking out ops, and making
// what is said simpler, can make it while fails still reports true for it.
func Shrink(s Sequence, fails func(Sequence) bool) Sequence {
	for {
		before := len(s.Ops)
		for size := max(len(s.Ops)/2, 1); ; size /= 2 {
			s = without(s, size, fails)
			if size <= 1 {
				break
			}
		}
		s = simpler(s, fails)
		if len(s.Ops) == before {
			return s
		}
	}
}

// without takes out as many runs of size ops as possible.
func without(s Sequence, size int, fails func(Sequence) bool) Sequence {
	for at := 0; at < len(s.Ops); {
		shorter := s
		shorter.Ops = slices.Delete(slices.Clone(s.Ops), at, min(at+size, len(s.Ops)))
		if fails(shorter) {
			s = shorter
		} else {
			at += size
		}
	}
	return s
}

// simpler says whole messages one at a time where that makes no difference.
func simpler(s Sequence, fails func(Sequence) bool) Sequence {
	for i, op := range s.Ops {
		said, isSay := op.(Say)
		if !isSay {
			continue
		}
		for _, plain := range []Say{
			{Conn: said.Conn, From: said.From, Messages: said.Messages[len(said.Messages)-1:]},
			{Conn: said.Conn, From: said.From, Messages: said.Messages},
		} {
			simple := s
			simple.Ops = slices.Clone(s.Ops)
			simple.Ops[i] = plain
			if fails(simple) {
				s = simple
				break
			}
		}
	}
	return s
}
