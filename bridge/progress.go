package bridge

import "sync/atomic"

// progress counts the cycles of a worker, which alone writes it. Whoever
// watches over the workers reads it at leisure, so it has a cache line to
// itself.
type progress struct {
	_      [64]byte
	cycles atomic.Uint64
	_      [64]byte
}

// Cycles returns how often each worker has begun to look for frames, by the
// side it takes them from. A worker that has nothing to do goes on counting,
// several times a second: a count that stands still for longer means that the
// worker is stuck, or not running.
func (b *Box) Cycles() (cycles [2][]uint64) {
	for side, workers := range b.workers {
		for _, w := range workers {
			cycles[side] = append(cycles[side], w.cycles.Load())
		}
	}
	return cycles
}
