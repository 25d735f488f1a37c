//go:build !race

package callid_test

import (
	"runtime"
	"testing"

	"github.com/grewire/grewire/nat/callid"
)

// TestMemory divides what the heap has grown by, index and all, by the IDs
// taken. Under the race detector memory is not what it is.
func TestMemory(t *testing.T) {
	for _, c := range []struct {
		name               string
		limit, pairs, each int
		bound              int
	}{
		{"a pool for each ID", 16384, 16384, 1, 440},
		{"some IDs a pool", 100_000, 10_000, 10, 290},
		{"full pools", 4 * all, 4, all, 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heapInUse()
			p := newPools(t, c.limit)
			occupy(t, p, c.pairs, c.each)
			perID := (heapInUse() - before) / (c.pairs * c.each)
			t.Logf("%d octets per ID", perID)
			if perID > c.bound {
				t.Errorf("an ID takes %d octets, want at most %d", perID, c.bound)
			}
			checkReuse(t, p, c.pairs, c.each)
		})
	}
}

// occupy takes IDs, the same ones wanted by all, and lets all of them rest.
func occupy(t *testing.T, p *callid.Pools, pairs, each int) {
	for n := range pairs {
		for range each {
			p.Put(pair(n), take(t, p, n, 1, start), start)
		}
	}
}

// checkReuse sees that other pools are made of what vanished ones leave.
func checkReuse(t *testing.T, p *callid.Pools, pairs, each int) {
	drain(p, after)
	checkEmpty(t, p)
	before := heapInUse()
	for n := range pairs {
		for range each {
			take(t, p, pairs+n, 1, after)
		}
	}
	if grown := heapInUse() - before; grown > pairs*each*10 {
		t.Errorf("other pools of as many IDs take %d octets more", grown)
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
