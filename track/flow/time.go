package flow

import "time"

// Time is an instant of the box's clock in nanoseconds since the Unix epoch.
// It is injected from outside, once per batch, and never runs backwards: the
// bridge derives it from the monotonic clock, replay from the capture.
type Time int64

// Std returns the instant as a UTC time.Time; the zero Time gives the zero
// time.Time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Add returns t+d, saturating at the end of time instead of wrapping.
func (t Time) Add(d time.Duration) Time {
	if sum := t + Time(d); d < 0 || sum >= t {
		return sum
	}
	return 1<<63 - 1
}

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }
