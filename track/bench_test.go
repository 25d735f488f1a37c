package track_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

const batchSize = 64

// visit is a packet of a benchmark: what is different in it.
type visit struct {
	src    [4]byte
	callID uint16
}

// callsPerClient is how many calls one client of a benchmark has.
const callsPerClient = 1000

// manyCalls returns a World with so many calls, and a packet of each.
func manyCalls(b *testing.B, calls int) (*tracktest.World, []visit) {
	w := tracktest.New(b, func(o *track.Options) {
		o.Limits = track.Limits{
			Connections: calls/callsPerClient + 8, Calls: calls + 8, CallsPerConnection: callsPerClient,
			CallsPerHost: calls + 8, Expectations: 2*calls + 16, Fragments: 16, HoldBytes: 1 << 20,
		}
	})
	visits := make([]visit, 0, calls)
	var c *tracktest.Conn
	for i := range calls {
		if i%callsPerClient == 0 {
			host := tracktest.NewHost(track.LAN, "192.0.2.1")
			host.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i / callsPerClient >> 8), byte(i / callsPerClient)})
			c = w.Dial(host, w.Server)
		}
		from := c.Ends[0].Host
		call := c.OutCall(uint16(i%callsPerClient), uint16(i))
		if !call.Both() {
			b.Fatalf("call %d carries no GRE", i)
		}
		visits = append(visits, visit{from.Addr.As4(), call.PACID})
	}
	return w, visits
}

// arrange puts the packets into the order in which they are visited; there are
// enough of them that the smallest benchmark, too, has whole batches.
func arrange(visits []visit, random bool) []visit {
	order := make([]visit, 0, max(len(visits), batchSize)+batchSize)
	for len(order) < max(len(visits), batchSize) || len(order)%batchSize != 0 {
		order = append(order, visits[len(order)%len(visits)])
	}
	if random {
		source := rand.New(rand.NewPCG(1, 2))
		source.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}

// orders runs a benchmark with 1, 1,000 and 100,000 calls, visited in the
// order in which they were made and at random.
func orders(b *testing.B, run func(b *testing.B, w *tracktest.World, order []visit)) {
	for _, calls := range []int{1, 1000, 100_000} {
		w, visits := manyCalls(b, calls)
		for _, random := range []bool{false, true} {
			name := map[bool]string{false: "sequential", true: "random"}[random]
			order := arrange(visits, random)
			b.Run(fmt.Sprintf("%dcalls/%s", calls, name), func(b *testing.B) { run(b, w, order) })
		}
	}
}

// BenchmarkDecide is the whole decision on a GRE frame: decode and verdict,
// in batches as a port delivers them. The frames lie in a ring of one batch, as
// a port's do; each visit changes source address, call ID and sequence number.
func BenchmarkDecide(b *testing.B) {
	orders(b, func(b *testing.B, w *tracktest.World, order []visit) {
		const source, callID, sequence = 14 + 12, 14 + 20 + 6, 14 + 20 + 8
		lane := w.Lane(track.LAN)
		frames := make([]track.Frame, batchSize)
		for i := range frames {
			frames[i].Data = tracktest.GRE{HasSeq: true, Payload: make([]byte, 64)}.Frame(w.Client, w.Server)
		}
		at, lap := 0, uint32(1)
		b.ReportAllocs()
		b.ResetTimer()
		for done := 0; done < b.N; done += batchSize {
			for i := range frames {
				v := &order[at+i]
				copy(frames[i].Data[source:], v.src[:])
				binary.BigEndian.PutUint16(frames[i].Data[callID:], v.callID)
				binary.BigEndian.PutUint32(frames[i].Data[sequence:], lap)
			}
			decided := lane.Process(frames, w.Now)
			if decided[0].Verdict != track.Forward {
				b.Fatalf("%s (%s)", decided[0].Verdict, decided[0].Reason)
			}
			if at += batchSize; at >= len(order) {
				at, lap = 0, lap+1
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/frame")
	})
}

// BenchmarkMap is the peer of BenchmarkDecide: nothing but a look-up of the
// same keys in the same order in a Go map.
func BenchmarkMap(b *testing.B) {
	orders(b, func(b *testing.B, w *tracktest.World, order []visit) {
		keys := make([]flow.Key, len(order))
		table := make(map[flow.Key]uint64, len(order))
		for i, v := range order {
			keys[i] = flow.Key{
				Kind: flow.GREKey, Src: wire.AddrFrom(netip.AddrFrom4(v.src)), Dst: wire.AddrFrom(w.Server.Addr), DstID: v.callID,
			}
			table[keys[i]] = uint64(i + 1)
		}
		var sum uint64
		at := 0
		b.ResetTimer()
		for range b.N {
			sum += table[keys[at]]
			if at++; at == len(keys) {
				at = 0
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/frame")
		if sum == 0 {
			b.Fatal("nothing was found")
		}
	})
}

// setupCalls is how many calls are prepared at a time.
const setupCalls = 2000

// setupFrames are the frames of a call's life, five messages and two GRE
// packets, for many calls, one after the other, of a connection that is open.
func setupFrames(w *tracktest.World) (frames [][]byte, sides []track.Side) {
	c := w.Dial(w.Client, w.Server)
	put := func(from *tracktest.Host, frame []byte) {
		frames, sides = append(frames, frame), append(sides, from.Side)
	}
	say := func(from *tracktest.Host, m pptp.Message) {
		s := c.Segment(from, c.End(from).Next, wire.ACK|wire.PSH, tracktest.Encode(m))
		c.Sent(from, s, tracktest.Result{Verdict: track.Forward})
		put(from, s.Frame(from, c.Peer(from).Host))
	}
	for i := range uint16(setupCalls) {
		say(w.Client, tracktest.OutRequest(i))
		say(w.Server, tracktest.OutReply(i, i, okOut))
		say(w.Client, tracktest.LinkInfo(i))
		put(w.Client, tracktest.GRE{CallID: i, HasSeq: true, Payload: make([]byte, 64)}.Frame(w.Client, w.Server))
		put(w.Server, tracktest.GRE{CallID: i, HasSeq: true, Payload: make([]byte, 64)}.Frame(w.Server, w.Client))
		say(w.Client, tracktest.ClearRequest(i))
		say(w.Server, tracktest.Disconnect(i))
	}
	return frames, sides
}

// BenchmarkCallSetup is a call from its request to its end.
func BenchmarkCallSetup(b *testing.B) {
	w := tracktest.New(b)
	lanes := [flow.Sides]*track.Lane{w.Lane(track.LAN), w.Lane(track.WAN)}
	var frames [][]byte
	var sides []track.Side
	const perCall = 7
	frame := make([]track.Frame, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		at := i % setupCalls * perCall
		if at == 0 {
			b.StopTimer()
			w.Advance(w.Options.Timeouts.TCPEstablished * 2)
			frames, sides = setupFrames(w)
			b.StartTimer()
		}
		for j := at; j < at+perCall; j++ {
			frame[0].Data = frames[j]
			lane := lanes[sides[j]]
			lane.Process(frame, w.Now)
			lane.Events()
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	if n := w.Tracker.Usage()["calls"].Used; n != 0 {
		b.Fatalf("%d calls never ended", n)
	}
}
