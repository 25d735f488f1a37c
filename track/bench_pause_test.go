package track_test

import (
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
)

// BenchmarkGCPause is a garbage collection while a Lane decides about frames:
// with one call, with a million, and, as their peer, with one call beside a Go
// map of a million pointers. It shows how long the world stood still, twice per
// collection, and how long a collection took from its start to its end. The
// world is yet to stop while a goroutine waits for the processor: on a machine
// that has other work the longest pauses are slices of its time.
func BenchmarkGCPause(b *testing.B) {
	const many = 1_000_000
	for _, c := range []struct{ calls, pointers int }{{1, 0}, {many, 0}, {1, many}} {
		b.Run(fmt.Sprintf("%dcalls/%dpointers", c.calls, c.pointers), func(b *testing.B) {
			crowd, peer := newCrowd(b, c.calls, callsPerClient, 0), pointerMap(c.pointers)
			order := arrange(c.calls, callsPerClient, true)
			b.Run("collect", func(b *testing.B) { collect(b, newTraffic(crowd, track.LAN, order)) })
			runtime.KeepAlive(peer)
		})
	}
}

func pointerMap(entries int) map[flow.Key]*[9]uint64 {
	m := make(map[flow.Key]*[9]uint64, entries)
	for i := range entries {
		m[flow.Key{SrcID: uint16(i), DstID: uint16(i >> 16)}] = new([9]uint64)
	}
	return m
}

// collect runs b.N collections.
func collect(b *testing.B, t *traffic) {
	var over atomic.Bool
	var lane sync.WaitGroup
	defer func() { over.Store(true); lane.Wait() }()
	lane.Go(func() {
		for !over.Load() {
			t.run(batchSize)
		}
	})
	runtime.GC() // the making of the crowd left some garbage
	before, waits, longest := pauses("total"), pauses("stopping"), time.Duration(0)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		runtime.GC()
		longest = max(longest, time.Since(start))
	}
	b.StopTimer()
	p := pauses("total").since(before)
	for _, q := range []struct {
		of   float64
		name string
	}{{0.5, "p50-µs"}, {0.99, "p99-µs"}, {1, "max-µs"}} {
		b.ReportMetric(p.quantile(q.of)*1e6, q.name)
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-GC-µs")
	if b.N > 1 { // not the trial that comes first
		b.Logf("%d collections; pauses in µs: %s; of them waits for goroutines to stop: %s", b.N, p, pauses("stopping").since(waits))
	}
}

// histogram is one of how long the world stood still, in seconds.
type histogram metrics.Float64Histogram

// pauses returns the histogram of the whole pauses ("total"), or of their
// beginnings, in which the goroutines are yet to stop ("stopping").
func pauses(part string) *histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/" + part + "/gc:seconds"}}
	metrics.Read(s)
	return (*histogram)(s[0].Value.Float64Histogram())
}

// since returns what was added to h since before.
func (h *histogram) since(before *histogram) *histogram {
	for i := range h.Counts {
		h.Counts[i] -= before.Counts[i]
	}
	return h
}

func (h *histogram) total() (n uint64) {
	for _, count := range h.Counts {
		n += count
	}
	return n
}

// quantile returns the upper end of the bucket in which the quantile is.
func (h *histogram) quantile(q float64) float64 {
	left := uint64(math.Ceil(q * float64(h.total())))
	for i, count := range h.Counts {
		if count >= left {
			return h.Buckets[i+1]
		}
		left -= count
	}
	return math.Inf(1)
}

// String returns how many are in each power of two of microseconds.
func (h *histogram) String() string {
	var steps []string
	for i, limit := 0, 1.0; i < len(h.Counts); limit *= 2 {
		n := uint64(0)
		for ; i < len(h.Counts) && (h.Buckets[i+1] <= limit/1e6 || math.IsInf(h.Buckets[i+1], 1)); i++ {
			n += h.Counts[i]
		}
		if n > 0 {
			steps = append(steps, fmt.Sprintf("≤%.0f: %d", limit, n))
		}
	}
	return strings.Join(steps, ", ")
}
