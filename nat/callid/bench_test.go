package callid_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/grewire/grewire/nat/callid"
)

// filled returns Pools in which a pool has so many IDs in use, wherever they
// were drawn, and whose IDs do not rest.
func filled(b *testing.B, used int) *callid.Pools {
	p := callid.New(2*all, 0, 1)
	for range used {
		if _, ok := p.Take(pair(0), callid.Dead, start); !ok {
			b.Fatal("no ID")
		}
	}
	return p
}

// cycle takes an ID and puts it back, which frees the one of before.
func cycle(b *testing.B, p *callid.Pools, n int, want uint16) {
	id, ok := p.Take(pair(n), want, start)
	if !ok {
		b.Fatal("no ID")
	}
	p.Put(pair(n), id, start)
}

// BenchmarkTakePut is an ID's life: Take, Put, and the end of its rest, when
// so many IDs of the pool are in use. Of an empty pool the pool comes and goes,
// too. "another" wants an ID that is never free, "wanted" one that is.
func BenchmarkTakePut(b *testing.B) {
	for _, used := range []int{0, all / 2, 60_000, all - 1} {
		p := filled(b, used)
		free, _ := p.Take(pair(0), callid.Dead, start)
		p.Put(pair(0), free, start)
		for _, c := range []struct {
			name string
			want uint16
		}{{"another", callid.Dead}, {"wanted", free}} {
			b.Run(fmt.Sprintf("%dused/%s", used, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					cycle(b, p, 0, c.want)
				}
			})
		}
	}
}

// BenchmarkManyPairs is an ID's life among 16,384 pools, in turn, that all have
// some: what is in the processor's cache does for no two in a row.
func BenchmarkManyPairs(b *testing.B) {
	const pairs, each = 16384, 8
	p := callid.New(2*pairs*each, 0, 1)
	for n := range pairs {
		for range each {
			p.Take(pair(n), 1, start)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		cycle(b, p, i*7919%pairs, 1)
	}
}

// BenchmarkParallel is BenchmarkTakePut by as many goroutines as there are
// cores, each with a pool of its own.
func BenchmarkParallel(b *testing.B) {
	p := callid.New(all, 0, 1)
	var worker atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		n := int(worker.Add(1))
		for pb.Next() {
			cycle(b, p, n, callid.Dead)
		}
	})
}
