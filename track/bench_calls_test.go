package track_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// Benchmarks of what comes and goes prepare so many calls or connections at a
// time, amid crowds that leave room for so many.
const (
	preparedLives = 2000
	room          = 16 << 10
)

// step is a frame in a life and the side it comes in by.
type step struct {
	side track.Side
	data []byte
}

// tell is the step in which from sends the next segment.
func tell(c *tracktest.Conn, from *tracktest.Host, flags uint8, m ...pptp.Message) step {
	return step{from.Side, sent(c, from, flags, m...)}
}

// callLife is a call from its request to its end: five messages and a GRE
// packet each way.
func callLife(c *tracktest.Conn, id uint16) []step {
	client, server := c.Ends[0].Host, c.Ends[1].Host
	const push = wire.ACK | wire.PSH
	gre := func(from, to *tracktest.Host) step {
		return step{from.Side, tracktest.GRE{CallID: id, HasSeq: true, Payload: make([]byte, 64)}.Frame(from, to)}
	}
	return []step{
		tell(c, client, push, tracktest.OutRequest(id)), tell(c, server, push, tracktest.OutReply(id, id, okOut)),
		tell(c, client, push, tracktest.LinkInfo(id)), gre(client, server), gre(server, client),
		tell(c, client, push, tracktest.ClearRequest(id)), tell(c, server, push, tracktest.Disconnect(id)),
	}
}

// connectionStart is a control connection from its SYN until it is started.
func connectionStart(c *tracktest.Conn) []step {
	client, server := c.Ends[0].Host, c.Ends[1].Host
	return []step{
		tell(c, client, wire.SYN), tell(c, server, wire.SYN|wire.ACK), tell(c, client, wire.ACK),
		tell(c, client, wire.ACK|wire.PSH, tracktest.StartRequest()),
		tell(c, server, wire.ACK|wire.PSH, tracktest.StartReply(pptp.StartResultOK)),
	}
}

// connectionEnd is the close of both directions.
func connectionEnd(c *tracktest.Conn) []step {
	client, server := c.Ends[0].Host, c.Ends[1].Host
	return []step{tell(c, client, wire.FIN|wire.ACK), tell(c, server, wire.FIN|wire.ACK), tell(c, client, wire.ACK)}
}

// callLives are those of calls of any connections of the crowd.
func callLives(c *crowd) (lives [][]step) {
	for i := range preparedLives {
		lives = append(lives, callLife(c.conns[rand.IntN(len(c.conns))], uint16(callsPerClient+i)))
	}
	return lives
}

func connectionLives(c *crowd) (lives [][]step) {
	for range preparedLives {
		conn := c.newcomer()
		lives = append(lives, append(connectionStart(conn), connectionEnd(conn)...))
	}
	return lives
}

// newcomer returns a connection, yet to be opened, of a client that is new.
func (c *crowd) newcomer() *tracktest.Conn {
	c.newcomers++
	addr := netip.AddrFrom4([4]byte{10, 128 | byte(c.newcomers>>16), byte(c.newcomers >> 8), byte(c.newcomers)})
	return c.NewConn(tracktest.NewHost(track.LAN, addr.String()), c.Server)
}

// BenchmarkCallSetup is the whole life of a call, and that of a connection,
// amid others.
func BenchmarkCallSetup(b *testing.B) {
	amid(b, room, func(b *testing.B, c *crowd) {
		b.Run("call", func(b *testing.B) { live(b, c, callLives, "calls/s") })
		b.Run("connection", func(b *testing.B) { live(b, c, connectionLives, "connections/s") })
	})
}

func live(b *testing.B, c *crowd, prepare func(c *crowd) [][]step, unit string) {
	var lives [][]step
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if len(lives) == 0 {
			b.StopTimer()
			lives = prepare(c)
			b.StartTimer()
		}
		for _, s := range lives[0] {
			c.play(s.side, s.data)
		}
		lives = lives[1:]
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
	for _, life := range lives { // what waits in the crowd's connections
		for _, s := range life {
			c.play(s.side, s.data)
		}
	}
	c.check()
}

// check looks for what came and did not go.
func (c *crowd) check() {
	if n := c.Tracker.Usage()["calls"].Used; n != c.calls {
		c.tb.Fatalf("there are %d calls, want %d", n, c.calls)
	}
}

// BenchmarkExpire is what it takes to find and end what has timed out amid
// others: calls that nobody answered, connections that were never opened.
func BenchmarkExpire(b *testing.B) {
	amid(b, room, func(b *testing.B, c *crowd) {
		var askers []*tracktest.Conn
		var syns [][]byte
		for range expiring / callsAtOnce {
			askers = append(askers, c.open(c.newcomer()))
		}
		for range expiring {
			conn := c.newcomer()
			syns = append(syns, sent(conn, conn.Ends[0].Host, wire.SYN))
		}
		b.Run("calls", func(b *testing.B) { expire(b, c, c.Options.Timeouts.PendingCall, func() { c.ask(askers) }) })
		b.Run("connections", func(b *testing.B) { expire(b, c, c.Options.Timeouts.TCPSyn, func() { c.knock(syns) }) })
	})
}

// expiring is how many calls or connections expire at a time.
const expiring = 1024

// ask has each connection ask for calls that nobody will answer.
func (c *crowd) ask(askers []*tracktest.Conn) {
	for _, conn := range askers {
		var requests []pptp.Message
		for id := range uint16(callsAtOnce) {
			requests = append(requests, tracktest.OutRequest(id))
		}
		c.play(track.LAN, say(conn, conn.Ends[0].Host, requests)...)
		c.play(track.WAN, sent(conn, c.Server, wire.ACK))
	}
}

// knock has SYNs come in that nobody will answer.
func (c *crowd) knock(syns [][]byte) {
	for _, syn := range syns {
		c.play(track.LAN, syn)
	}
}

// expire measures the lap of Tick that ends what prepare has made.
func expire(b *testing.B, c *crowd, timeout time.Duration, prepare func()) {
	before := c.Tracker.Usage()
	for range b.N {
		b.StopTimer()
		prepare()
		if made := c.Tracker.Usage(); made["calls"].Used+made["connections"].Used != before["calls"].Used+before["connections"].Used+expiring {
			b.Fatalf("%d calls or connections are to expire; there are %v", expiring, made)
		}
		c.Now = c.Now.Add(timeout)
		b.StartTimer()
		c.Tracker.Tick(c.Now)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/expiring, "ns/expired")
	if left := c.Tracker.Usage(); left["calls"] != before["calls"] || left["connections"] != before["connections"] {
		b.Fatalf("some did not expire: %v, before it were %v", left, before)
	}
}

// BenchmarkTick is a second of Ticks, ten, amid calls none of which is over:
// while their connections are heard of, and when those were silent for so long
// that each call is asked for its latest GRE.
func BenchmarkTick(b *testing.B) {
	amid(b, 0, func(b *testing.B, c *crowd) {
		b.Run("heard", func(b *testing.B) { tick(b, c) })
		c.Now = c.Now.Add(2 * decade)
		b.Run("silent", func(b *testing.B) {
			newTraffic(c, track.LAN, arrange(c.calls, callsPerClient, false)).run(c.calls)
			b.ResetTimer()
			tick(b, c)
		})
	})
}

func tick(b *testing.B, c *crowd) {
	const ticks = 10
	longest := time.Duration(0)
	b.ReportAllocs()
	for range b.N {
		for range ticks {
			c.Now = c.Now.Add(time.Second / ticks)
			start := time.Now()
			c.Tracker.Tick(c.Now)
			longest = max(longest, time.Since(start))
		}
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	c.check()
}
