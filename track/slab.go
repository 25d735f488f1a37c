package track

import "sync"

// ref names an element of a slab; 0 names none. It is no pointer, so that
// tables and lists of refs need not be scanned by the garbage collector.
type ref uint32

// slab is a fixed number of elements that are given out and taken back. What
// guards an element's contents is up to its user.
type slab[T any] struct {
	mu     sync.Mutex
	items  []T
	free   []ref
	unused ref // elements that were never given out start behind this one
}

// newSlab sets memory for limit elements aside; the kernel backs it when it is
// first used.
func newSlab[T any](limit int) *slab[T] { return &slab[T]{items: make([]T, limit)} }

// get gives out an element, or 0 if as many as limit, or all, are in use. Its
// contents are whatever its last user left.
func (s *slab[T]) get(limit int) ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.unused)-len(s.free) >= limit {
		return 0
	}
	if n := len(s.free); n > 0 {
		r := s.free[n-1]
		s.free = s.free[:n-1]
		return r
	}
	if int(s.unused) == len(s.items) {
		return 0
	}
	s.unused++
	return s.unused
}

func (s *slab[T]) put(r ref) {
	s.mu.Lock()
	s.free = append(s.free, r)
	s.mu.Unlock()
}

func (s *slab[T]) at(r ref) *T { return &s.items[r-1] }

func (s *slab[T]) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.unused) - len(s.free)
}
