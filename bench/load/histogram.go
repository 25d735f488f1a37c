package load

import "time"

// stepBits is as in load.c: there are 32 steps to each doubling.
const stepBits = 5

const steps = 1 << stepBits

// Histogram counts times in steps of 3 % (1 ns below 32 ns), from load.c's
// bench_delays. Its index is the step.
type Histogram []uint64

// Count returns how many times are in h.
func (h Histogram) Count() (n uint64) {
	for _, c := range h {
		n += c
	}
	return n
}

// At returns the time that a share (0 to 1) of the times do not exceed, rounded
// up to its step; 0 if there are none.
func (h Histogram) At(share float64) time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := max(1, uint64(share*float64(n)+0.999999))
	for bucket, c := range h {
		if c >= rank {
			return lowest(bucket+1) - 1
		}
		rank -= c
	}
	return lowest(len(h))
}

// Add adds the times of another.
func (h Histogram) Add(other Histogram) {
	for i, c := range other {
		h[i] += c
	}
}

// lowest is the shortest time in a step, as bucket_of in load.c has it.
func lowest(bucket int) time.Duration {
	if bucket < steps {
		return time.Duration(bucket)
	}
	exponent := bucket/steps - 1
	return time.Duration(steps+bucket%steps) << exponent
}
