package bypass

import (
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/bridge"
)

// margin is what a worker leaves to the clocks of different CPUs when it
// decides whether it counted as missing.
const margin = time.Millisecond

// direction is what the workers share that take frames from a side. The beat
// that the programs look at is that of the worker which has not moved for longest:
// they lead all frames past the box, or none.
type direction struct {
	state *kernelState
	side  *kernelSide // its beat never goes back, but to 0
	now   func() uint64
	beats []ownBeat
	// left counts how often all workers have let go, and returned how often the
	// last one came back after frames went past.
	left, returned atomic.Uint64
}

// ownBeat is when a worker last moved; 0: it has let go, or was not there yet.
type ownBeat struct {
	at atomic.Uint64
	_  [56]byte // a cache line for each
}

// guard is the bridge.Guard of a worker.
type guard struct {
	*direction
	own  *atomic.Uint64
	seen uint64 // the direction's beat, when the worker beat last
	left uint64 // the direction's, likewise
}

var _ bridge.Guard = (*guard)(nil)

// newGuards returns those of the workers of a direction.
func newGuards(state *kernelState, side *kernelSide, now func() uint64, workers int) []*guard {
	d := &direction{state: state, side: side, now: now, beats: make([]ownBeat, workers)}
	guards := make([]*guard, workers)
	for i := range guards {
		guards[i] = &guard{direction: d, own: &d.beats[i].at, seen: atomic.LoadUint64(&side.Beat)}
	}
	return guards
}

// Beat implements bridge.Guard. The clock is read once the beat is there: if the
// direction's beat was not StaleAfter ago then, when this worker saw it last, it
// was not at any time since, for it only grows.
func (g *guard) Beat() bool {
	g.own.Store(g.now())
	before, last := g.seen, uint64(0)
	g.seen, last = g.raise()
	if left := g.direction.left.Load(); left != g.left {
		g.left, before = left, 0
	}
	if !g.past(before) {
		return true
	}
	if last != g.seen && g.past(last) {
		g.returned.Add(1)
	}
	return false
}

// raise makes the direction's beat that of the worker which moved least lately.
// It returns what that is now, and what it was before if this call changed it.
func (d *direction) raise() (now, before uint64) {
	oldest := d.oldest()
	for {
		before = atomic.LoadUint64(&d.side.Beat)
		if oldest <= before {
			return before, before
		}
		if atomic.CompareAndSwapUint64(&d.side.Beat, before, oldest) {
			return oldest, before
		}
	}
}

// oldest is 0 until all workers are there.
func (d *direction) oldest() uint64 {
	oldest := d.beats[0].at.Load()
	for i := range d.beats[1:] {
		oldest = min(oldest, d.beats[1+i].at.Load())
	}
	return oldest
}

// past reports whether frames may have gone past the box if that was the
// direction's last beat.
func (d *direction) past(last uint64) bool {
	if int64(d.now()-last) <= int64(StaleAfter-margin) {
		return false
	}
	// Else nothing goes past, whoever is missing.
	return atomic.LoadUint32(&d.state.Open) != 0 || atomic.LoadUint64(&d.state.Forced) != 0 || atomic.LoadUint64(&d.state.Ended) > last
}

// Bypass implements bridge.Guard.
func (g *guard) Bypass() bool { return atomic.LoadUint64(&g.state.Forced) != 0 }

// Release implements bridge.Guard. As long as another worker has not let go, what
// it has sent may still be on its way, and no frame may go past yet; for StaleAfter
// at most, since the direction's beat stands still.
func (g *guard) Release() {
	g.own.Store(0)
	g.seen = 0
	for i := range g.beats {
		if g.beats[i].at.Load() != 0 {
			return
		}
	}
	g.direction.left.Add(1)
	atomic.StoreUint64(&g.side.Released, g.now())
	atomic.StoreUint64(&g.side.Beat, 0)
}
