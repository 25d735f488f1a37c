package track_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// crowd is a World full of active calls: those amid which benchmarks measure.
// Each client has one connection, to the same server.
type crowd struct {
	*tracktest.World
	tb     tracktest.TB
	calls  int
	conns  []*tracktest.Conn
	frames []track.Frame

	newcomers int                // how many there were
	sequence  [flow.Sides]uint32 // of the packets that come in next
}

// visit is a call of a crowd, as its packets tell it: its client, and the call
// IDs in the GRE that comes in by each side.
type visit struct {
	client [4]byte
	ids    [flow.Sides]uint16
	number uint32 // of the packet among its call's, from 0
}

// callsPerClient is how many calls a client of a crowd has, if it matters not.
const callsPerClient = 1000

// visitOf returns the call with this number of a crowd.
func visitOf(number, perClient int) visit {
	client, id := number/perClient, uint16(number%perClient)
	return visit{client: [4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)}, ids: [flow.Sides]uint16{id, id}}
}

func (v visit) host() *tracktest.Host {
	return tracktest.NewHost(track.LAN, netip.AddrFrom4(v.client).String())
}

// A connection lasts a century; its calls may be silent for a decade.
const (
	decade  = 10 * 365 * 24 * time.Hour
	century = 10 * decade
)

// newCrowd makes so many calls and leaves room for more calls and connections.
// They last: what a benchmark lets expire is something else.
func newCrowd(tb tracktest.TB, calls, perClient, room int) *crowd {
	clients := (calls + perClient - 1) / perClient
	w := tracktest.New(tb, func(o *track.Options) {
		o.Limits = track.Limits{
			Connections: clients + room, Calls: calls + room, CallsPerConnection: perClient + room,
			CallsPerHost: calls + room, Expectations: 2 * (calls + room), Fragments: 16, HoldBytes: 1 << 20,
		}
		o.Timeouts.GREUnreplied, o.Timeouts.GREStream, o.Timeouts.TCPEstablished = decade, decade, century
	})
	c := &crowd{World: w, tb: tb, calls: calls}
	for first := 0; first < calls; first += perClient {
		c.conns = append(c.conns, c.open(w.NewConn(visitOf(first, perClient).host(), w.Server)))
		c.agree(min(perClient, calls-first))
	}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		newTraffic(c, side, arrange(calls, perClient, false)).run(calls)
	}
	if use := w.Tracker.Usage(); use["calls"].Used != calls || use["expectations"].Used != 0 {
		tb.Fatalf("of %d calls there are %v", calls, use)
	}
	return c
}

// open opens and starts a connection.
func (c *crowd) open(conn *tracktest.Conn) *tracktest.Conn {
	for _, s := range connectionStart(conn) {
		c.play(s.side, s.data)
	}
	return conn
}

// What clients ask for at a time, and how much of it is in one segment.
const (
	callsAtOnce        = 32
	messagesPerSegment = 8
)

// agree makes so many calls of the latest connection.
func (c *crowd) agree(calls int) {
	conn := c.conns[len(c.conns)-1]
	for first := 0; first < calls; first += callsAtOnce {
		var requests, replies []pptp.Message
		for n := first; n < min(first+callsAtOnce, calls); n++ {
			id := uint16(n)
			requests, replies = append(requests, tracktest.OutRequest(id)), append(replies, tracktest.OutReply(id, id, okOut))
		}
		c.play(track.LAN, say(conn, conn.Ends[0].Host, requests)...)
		c.play(track.WAN, say(conn, c.Server, replies)...)
	}
}

// say returns the segments in which from says something.
func say(c *tracktest.Conn, from *tracktest.Host, messages []pptp.Message) (frames [][]byte) {
	for some := range slices.Chunk(messages, messagesPerSegment) {
		frames = append(frames, sent(c, from, wire.ACK|wire.PSH, some...))
	}
	return frames
}

// sent returns the next segment of from; the other end will get it.
func sent(c *tracktest.Conn, from *tracktest.Host, flags uint8, messages ...pptp.Message) []byte {
	s := c.Segment(from, c.End(from).Next, flags, tracktest.Encode(messages...))
	c.Sent(from, s, tracktest.Result{Verdict: track.Forward})
	return s.Frame(from, c.Peer(from).Host)
}

// play lets frames come in by a side, all in one batch. They all pass.
func (c *crowd) play(side track.Side, data ...[]byte) {
	c.frames = c.frames[:0]
	for i := range data {
		c.frames = append(c.frames, track.Frame{Data: data[i]})
	}
	for _, f := range c.Lane(side).Process(c.frames, c.Now) {
		if !f.Verdict.Passes() {
			c.tb.Fatalf("a frame from %s gets %s (%s)", side, f.Verdict, f.Reason)
		}
	}
	c.Lane(side).Events()
}

// bySize runs a benchmark for every number of calls.
func bySize(b *testing.B, run func(b *testing.B, calls int)) {
	for _, calls := range []int{1, 1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("%dcalls", calls), func(b *testing.B) { run(b, calls) })
	}
}

// amid runs benchmarks amid a crowd of every size.
func amid(b *testing.B, room int, run func(b *testing.B, c *crowd)) {
	bySize(b, func(b *testing.B, calls int) { run(b, newCrowd(b, calls, callsPerClient, room)) })
}
