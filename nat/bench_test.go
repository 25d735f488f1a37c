package nat_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
)

const batch = 64

// BenchmarkTranslate is all that the engine does about a GRE frame, with
// translation and without, by the side it comes from and the number of calls, in
// random order. The frames are made ahead, in a ring like a port's.
func BenchmarkTranslate(b *testing.B) {
	modes := []struct {
		name    string
		options nat.Options
	}{
		{"off", nat.Options{}},
		{"masquerade", nat.Options{Address: netip.MustParseAddr(crowdAddr)}},
		{"call-id", nat.Options{CallID: true}},
	}
	for _, size := range []struct{ hosts, each int }{{1, 1}, {100, 10}, {2000, 25}} {
		for _, mode := range modes {
			c := newCrowd(b, size.hosts, size.each, mode.options)
			for _, side := range []track.Side{track.LAN, track.WAN} {
				b.Run(fmt.Sprintf("calls=%d/from=%s/%s", len(c.calls), side, mode.name), func(b *testing.B) { c.bench(b, side) })
			}
		}
	}
}

func (c *crowd) bench(b *testing.B, side track.Side) {
	order := rand.New(rand.NewPCG(1, 2)).Perm(max(len(c.calls), batch))
	frames := make([]track.Frame, batch)
	for i := range frames {
		frames[i].Data = c.gre(&c.calls[0], side, 0)
	}
	const source, destination, callID, sequence = 14 + 12, 14 + 16, 14 + 20 + 6, 14 + 20 + 8
	at, lap := 0, uint32(1)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		for i := range frames {
			k, data := &c.calls[order[at]%len(c.calls)], frames[i].Data
			if at++; at == len(order) {
				at, lap = 0, lap+1
			}
			if id := k.alias; side == track.LAN {
				copy(data[source:], k.host.Addr.AsSlice())
				binary.BigEndian.PutUint16(data[callID:], k.peer)
			} else {
				copy(data[destination:], k.seenFrom4[:])
				binary.BigEndian.PutUint16(data[callID:], id)
			}
			binary.BigEndian.PutUint32(data[sequence:], lap)
		}
		out := c.lanes[side].Process(frames, c.now)
		if c.translator != nil {
			c.translator.Apply(out, side)
		}
		if !out[0].Verdict.Passes() {
			b.Fatalf("GRE from %s gets %s (%s)", side, out[0].Verdict, out[0].Reason)
		}
		c.lanes[side].Events()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/frame")
}
