//go:build !race

package track_test

import (
	"fmt"
	"runtime"
	"testing"
)

// TestHeapPerCall fills a tracker to its limits with active calls and divides
// what the heap has grown by, all told, by their number: tables with the room
// that they leave, records of calls, connections and hosts. A connection that
// has but one call is a call's cost, too. Under the race detector memory is not
// what it is.
func TestHeapPerCall(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a million calls")
	}
	for _, c := range []struct{ calls, perClient, bound int }{
		{1_000_000, callsPerClient, 512},
		{100_000, 1, 1536},
	} {
		t.Run(fmt.Sprintf("%d calls, %d per connection", c.calls, c.perClient), func(t *testing.T) {
			before := heapInUse()
			tracker := newCrowd(t, c.calls, c.perClient, 0).Tracker
			perCall := (heapInUse() - before) / c.calls
			runtime.KeepAlive(tracker)
			t.Logf("%d octets per call", perCall)
			if perCall > c.bound {
				t.Errorf("a call takes %d octets, want at most %d", perCall, c.bound)
			}
		})
	}
}

// heapInUse returns how many octets of the heap are in use.
func heapInUse() int {
	runtime.GC()
	runtime.GC() // the second sweeps what the first found
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
