package track_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

const batchSize = 64

// arrange returns the calls of a crowd in the order in which they are visited;
// there are enough of them that the smallest benchmark, too, has whole batches.
func arrange(calls, perClient int, random bool) []visit {
	order := make([]visit, 0, calls+batchSize)
	for len(order) < max(calls, batchSize) || len(order)%batchSize != 0 {
		order = append(order, visitOf(len(order)%calls, perClient))
	}
	if random {
		source := rand.New(rand.NewPCG(1, 2))
		source.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	number(order)
	return order
}

// number counts the visits of each call, so that its packets can be in order.
func number(order []visit) {
	next := make(map[visit]uint32, len(order))
	for i, v := range order {
		order[i].number = next[v]
		next[v]++
	}
}

// orders runs a benchmark with so many calls visited in the order in which
// they were made and at random.
func orders(b *testing.B, calls int, run func(b *testing.B, order []visit)) {
	for _, random := range []bool{false, true} {
		name := map[bool]string{false: "sequential", true: "random"}[random]
		order := arrange(calls, callsPerClient, random)
		b.Run(name, func(b *testing.B) { run(b, order) })
	}
}

// traffic is the GRE of a crowd that comes in by one side, in batches as a port
// delivers them. The frames lie in a ring of one batch, as a port's do; each
// visit changes the client's address, call ID and sequence number.
type traffic struct {
	*crowd
	side   track.Side
	frames []track.Frame
	order  []visit
	at     int
	lap    uint32 // how many packets of a call are in order at most
}

func newTraffic(c *crowd, side track.Side, order []visit) *traffic {
	t := &traffic{crowd: c, side: side, frames: make([]track.Frame, batchSize), order: order}
	for i := range t.frames {
		t.frames[i].Data = tracktest.GRE{HasSeq: true, Payload: make([]byte, 64)}.Frame(c.Server, c.Server)
	}
	for _, v := range order {
		t.lap = max(t.lap, v.number+1)
	}
	c.sequence[side] += t.lap
	return t
}

// fill writes the next packets.
func (t *traffic) fill() {
	const source, destination, callID, sequence = 14 + 12, 14 + 16, 14 + 20 + 6, 14 + 20 + 8
	client := [flow.Sides]int{track.LAN: source, track.WAN: destination}[t.side]
	for i := range t.frames {
		v, data := &t.order[t.at+i], t.frames[i].Data
		copy(data[client:], v.client[:])
		binary.BigEndian.PutUint16(data[callID:], v.ids[t.side])
		binary.BigEndian.PutUint32(data[sequence:], t.sequence[t.side]+v.number)
	}
	if t.at += batchSize; t.at >= len(t.order) {
		t.at = 0
		t.sequence[t.side] += t.lap
	}
}

// batch has the next packets decided and returns the first.
func (t *traffic) batch() *track.Frame {
	t.fill()
	return t.Lane(t.side).Process(t.frames, t.Now)[0]
}

// run decides about so many packets, and some more to fill a batch.
func (t *traffic) run(packets int) {
	for done := 0; done < packets; done += batchSize {
		if f := t.batch(); f.Verdict != track.Forward {
			t.tb.Errorf("GRE from %s gets %s (%s)", t.side, f.Verdict, f.Reason)
			return
		}
		t.Lane(t.side).Events()
	}
}

// perFrame reports what a frame took.
func perFrame(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/frame")
}

// BenchmarkDecide is the whole decision on a GRE frame: decode and verdict.
func BenchmarkDecide(b *testing.B) {
	amid(b, 0, func(b *testing.B, c *crowd) {
		orders(b, c.calls, func(b *testing.B, order []visit) {
			t := newTraffic(c, track.LAN, order)
			b.ReportAllocs()
			b.ResetTimer()
			t.run(b.N)
			perFrame(b)
		})
	})
}

// BenchmarkHarness is what BenchmarkDecide takes to write the packets.
func BenchmarkHarness(b *testing.B) {
	amid(b, 0, func(b *testing.B, c *crowd) {
		orders(b, c.calls, func(b *testing.B, order []visit) {
			t := newTraffic(c, track.LAN, order)
			b.ResetTimer()
			for done := 0; done < b.N; done += batchSize {
				t.fill()
			}
			perFrame(b)
		})
	})
}

// BenchmarkDecideParallel is BenchmarkDecide both ways at once: the two Lanes
// of a box, a goroutine each.
func BenchmarkDecideParallel(b *testing.B) {
	amid(b, 0, func(b *testing.B, c *crowd) {
		orders(b, c.calls, func(b *testing.B, order []visit) {
			bothWays(b, func(side track.Side) func(packets int) {
				return newTraffic(c, side, order).run
			})
		})
	})
}

// bothWays shares b.N packets out to two goroutines, one for each side.
func bothWays(b *testing.B, prepare func(side track.Side) (run func(packets int))) {
	run := [flow.Sides]func(int){prepare(track.LAN), prepare(track.WAN)}
	var ways sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for side := range run {
		ways.Go(func() { run[side](b.N / flow.Sides) })
	}
	ways.Wait()
	perFrame(b)
}

// BenchmarkMap is the peer of BenchmarkDecide: nothing but a look-up of the
// same keys in the same order in a Go map.
func BenchmarkMap(b *testing.B) {
	bySize(b, func(b *testing.B, calls int) {
		orders(b, calls, func(b *testing.B, order []visit) {
			keys := keysOf(order, track.LAN)
			m := mapOf(keys)
			b.ResetTimer()
			lookUp(b, m, keys, b.N)
			perFrame(b)
		})
	})
}

// BenchmarkMapParallel is the peer of BenchmarkDecideParallel: a Go map of the
// keys of both sides behind a read-write lock.
func BenchmarkMapParallel(b *testing.B) {
	bySize(b, func(b *testing.B, calls int) {
		orders(b, calls, func(b *testing.B, order []visit) {
			keys := [flow.Sides][]flow.Key{keysOf(order, track.LAN), keysOf(order, track.WAN)}
			m := mapOf(keys[track.LAN], keys[track.WAN])
			var lock sync.RWMutex
			bothWays(b, func(side track.Side) func(packets int) {
				return func(packets int) { lookUpLocked(b, m, &lock, keys[side], packets) }
			})
		})
	})
}

// keysOf returns the keys of the GRE that comes in by side.
func keysOf(order []visit, side track.Side) []flow.Key {
	keys, server := make([]flow.Key, len(order)), wire.AddrFrom(netip.MustParseAddr("198.51.100.1"))
	for i, v := range order {
		k := flow.Key{Kind: flow.GREKey, Side: side, Src: wire.AddrFrom(netip.AddrFrom4(v.client)), Dst: server, DstID: v.ids[side]}
		if keys[i] = k; side == track.WAN {
			keys[i].Src, keys[i].Dst = k.Dst, k.Src
		}
	}
	return keys
}

func mapOf(keys ...[]flow.Key) map[flow.Key]uint64 {
	m := make(map[flow.Key]uint64, len(keys)*len(keys[0]))
	for i, k := range slices.Concat(keys...) {
		m[k] = uint64(i + 1)
	}
	return m
}

func lookUp(b *testing.B, m map[flow.Key]uint64, keys []flow.Key, times int) {
	at, sum := 0, uint64(0)
	for range times {
		sum += m[keys[at]]
		if at++; at == len(keys) {
			at = 0
		}
	}
	if sum == 0 && times > 0 {
		b.Error("nothing was found")
	}
}

func lookUpLocked(b *testing.B, m map[flow.Key]uint64, lock *sync.RWMutex, keys []flow.Key, times int) {
	for i := range times {
		at := i % len(keys)
		lock.RLock()
		found := m[keys[at]]
		lock.RUnlock()
		if found == 0 {
			b.Error("nothing was found")
			return
		}
	}
}
