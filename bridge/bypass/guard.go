package bypass

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
)

// margin is what a worker leaves to the clocks of different CPUs when it
// decides whether it counted as missing.
const margin = time.Millisecond

// clock gives CLOCK_MONOTONIC, which bpf_ktime_get_ns() reads too, without a
// system call.
type clock struct {
	start time.Time
	base  uint64
}

func newClock() clock {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail: every kernel has it
	return clock{start: time.Now(), base: uint64(now.Nano())}
}

func (c clock) now() uint64 { return c.base + uint64(time.Since(c.start)) }

// guard is the bridge.Guard of a side. Its worker alone writes the side's beat.
type guard struct {
	state *kernelState
	side  *kernelSide
	now   func() uint64
	// returned counts how often the worker came back after frames went past.
	returned atomic.Uint64
}

var _ bridge.Guard = (*guard)(nil)

// Beat implements bridge.Guard. The clock is read once the beat is there: if it
// is not StaleAfter then, it was not at any time before.
func (g *guard) Beat() bool {
	last := atomic.SwapUint64(&g.side.Beat, g.now())
	if int64(g.now()-last) <= int64(StaleAfter-margin) {
		return true
	}
	if atomic.LoadUint32(&g.state.Open) == 0 && atomic.LoadUint64(&g.state.Forced) == 0 && atomic.LoadUint64(&g.state.Ended) <= last {
		return true // nothing goes past, whoever is missing
	}
	g.returned.Add(1)
	return false
}

// Bypass implements bridge.Guard.
func (g *guard) Bypass() bool { return atomic.LoadUint64(&g.state.Forced) != 0 }

// Release implements bridge.Guard.
func (g *guard) Release() {
	atomic.StoreUint64(&g.side.Released, g.now())
	atomic.StoreUint64(&g.side.Beat, 0)
}
