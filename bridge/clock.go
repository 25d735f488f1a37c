package bridge

import (
	"time"

	"github.com/grewire/grewire/track"
)

// Clock returns the box's time.
type Clock func() track.Time

// NewClock returns a Clock that starts at the wall clock's time and goes on
// with the monotonic clock: setting the wall clock neither ends calls nor
// keeps them.
func NewClock() Clock {
	start := time.Now()
	base := track.Time(start.UnixNano())
	return func() track.Time { return base + track.Time(time.Since(start)) }
}
