package bridge

import (
	"sync/atomic"

	"github.com/grewire/grewire/track"
)

// counters count the frames of one Lane by what became of them. The Lane's
// worker alone writes them; the atomics let others read.
type counters struct {
	_         [64]byte // whatever lies before is on another cache line
	reasons   [track.NumReasons]atomic.Uint64
	forwarded atomic.Uint64
	rewritten atomic.Uint64
	dropped   atomic.Uint64
	octets    atomic.Uint64
	_         [64]byte
}

// count adds frames with their final verdicts. Data comes in runs that end alike,
// and an atomic addition costs as much as the look-up of a call, so that a run is
// added up first.
func (c *counters) count(frames []*track.Frame) {
	for len(frames) > 0 {
		first, n, octets := frames[0], 0, 0
		for n < len(frames) && alike(frames[n], first) {
			octets += len(frames[n].Data)
			n++
		}
		c.of(first).Add(uint64(n))
		c.reasons[first.Reason].Add(uint64(n))
		c.octets.Add(uint64(octets))
		frames = frames[n:]
	}
}

// alike reports whether two frames are counted as the same.
func alike(a, b *track.Frame) bool {
	return a.Reason == b.Reason && a.Verdict == b.Verdict && a.Rewritten == b.Rewritten
}

func (c *counters) of(f *track.Frame) *atomic.Uint64 {
	switch {
	case !f.Verdict.Passes():
		return &c.dropped
	case f.Rewritten:
		return &c.rewritten
	}
	return &c.forwarded
}
