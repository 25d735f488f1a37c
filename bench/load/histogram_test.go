package load

import (
	"testing"
	"time"
)

func TestHistogramSteps(t *testing.T) {
	h := make(Histogram, 40*steps)
	for bucket := 1; bucket < len(h); bucket++ {
		low, before := lowest(bucket), lowest(bucket-1)
		if low <= before || low > time.Duration(2*steps) && float64(low-before) > 0.04*float64(low) {
			t.Fatalf("step %d begins at %v, the one before it at %v", bucket, low, before)
		}
	}
	if got := lowest(len(h)); got < 10*time.Minute {
		t.Errorf("the last step ends at %v", got)
	}
}

func TestHistogramAt(t *testing.T) {
	h := make(Histogram, 40*steps)
	if h.At(0.5) != 0 {
		t.Error("a histogram of nothing has a median")
	}
	for ns := range 1000 { // 0 to 999 ns, once each
		h[bucketOf(time.Duration(ns))]++
	}
	for _, row := range []struct {
		share float64
		want  time.Duration
	}{{0, 0}, {0.001, 0}, {0.02, 19}, {0.5, 499}, {0.9, 899}, {0.99, 989}, {1, 999}} {
		got := h.At(row.share)
		if got < row.want || float64(got) > float64(row.want)*1.04 {
			t.Errorf("At(%g) = %v, want %v, up to 4 %% more", row.share, got, row.want)
		}
	}
	both := make(Histogram, len(h))
	both.Add(h)
	both.Add(h)
	if both.Count() != 2000 || both.At(0.5) != h.At(0.5) {
		t.Errorf("twice the same: %d times, median %v", both.Count(), both.At(0.5))
	}
}

// bucketOf is bucket_of of load.c.
func bucketOf(ns time.Duration) int {
	if ns < steps {
		return int(ns)
	}
	exponent := 0
	for rest := ns >> stepBits; rest > 1; rest >>= 1 {
		exponent++
	}
	return (exponent+1)*steps + int(ns>>exponent)&(steps-1)
}
