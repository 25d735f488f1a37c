package callid

import (
	"sync"
	"sync/atomic"
)

// ref names an element of a slab; 0 names none. It is no pointer, so that what
// is made of refs need not be scanned by the garbage collector.
type ref uint32

// chunkItems is how many elements a slab grows by.
const chunkItems = 256

// slab is elements that are given out and taken back; it grows with their
// number and keeps what it has. What guards an element's contents, and that
// there are never more than the limit, is up to its user.
type slab[T any] struct {
	mu     sync.Mutex
	chunks []atomic.Pointer[[chunkItems]T]
	free   []ref
	unused ref // elements that were never given out start behind this one
}

func newSlab[T any](limit int) *slab[T] {
	return &slab[T]{chunks: make([]atomic.Pointer[[chunkItems]T], (limit+chunkItems-1)/chunkItems)}
}

// get gives out an element. Its contents are whatever its last user left.
func (s *slab[T]) get() ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		r := s.free[n-1]
		s.free = s.free[:n-1]
		return r
	}
	if s.unused%chunkItems == 0 {
		s.chunks[s.unused/chunkItems].Store(new([chunkItems]T))
	}
	s.unused++
	return s.unused
}

func (s *slab[T]) put(r ref) {
	s.mu.Lock()
	s.free = append(s.free, r)
	s.mu.Unlock()
}

func (s *slab[T]) at(r ref) *T { return &s.chunks[(r-1)/chunkItems].Load()[(r-1)%chunkItems] }
