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

// count adds frames with their final verdicts.
func (c *counters) count(frames []*track.Frame) {
	for _, f := range frames {
		c.of(f).Add(1)
		c.reasons[f.Reason].Add(1)
		c.octets.Add(uint64(len(f.Data)))
	}
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
