package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// unacknowledged returns a connection on which so many messages of the LAN are on
// their way, as many as may be, and where the first begins.
func unacknowledged(t testing.TB, b *box, messages int) (c *tracktest.Conn, at uint32, n int) {
	c = b.Dial(b.lan[0], b.wan[0])
	c.Ack(b.lan[0])
	c.Ack(b.wan[0])
	at = c.End(b.lan[0]).Next
	say := tracktest.Encode(tracktest.EchoRequest(1))
	for ; n < messages; n++ {
		seq := at + uint32(n*len(say))
		s := c.Segment(b.lan[0], seq, wire.ACK, say)
		if !b.Send(track.LAN, s.Frame(b.lan[0], b.wan[0])).Passed() {
			break
		}
	}
	return c, at, n
}

// The cost of an octet that is sent again does not depend on how many messages are
// on their way before it, or behind it. The test measures both in turn and compares
// the best rounds, so that a busy machine does not matter.
func TestRetransmittedOctetCostsTheSame(t *testing.T) {
	costs := map[int]time.Duration{}
	play := map[int]func() time.Duration{}
	for _, messages := range []int{1, 5000} {
		b := newBox(t, masquerade)
		c, at, n := unacknowledged(t, b, messages)
		lane := b.Lane(track.LAN)
		octet := c.Segment(b.lan[0], at+uint32(16*(n-1)), wire.ACK, []byte{0}) // the last message's first
		data := octet.Frame(b.lan[0], b.wan[0])
		frames := make([]track.Frame, 64)
		costs[messages] = time.Hour
		play[messages] = func() time.Duration {
			start := time.Now()
			for range 20 {
				for i := range frames {
					frames[i] = track.Frame{Data: data}
				}
				if out := lane.Process(frames, b.Now); !out[0].Verdict.Passes() {
					t.Fatalf("with %d messages on their way: %s (%s)", n, out[0].Verdict, out[0].Reason)
				}
				lane.Events()
			}
			return time.Since(start) / 20 / 64
		}
		t.Logf("%d messages are on their way", n)
	}
	for range 20 {
		for messages, play := range play {
			costs[messages] = min(costs[messages], play())
		}
	}
	t.Logf("an octet behind one message costs %v, behind all that may be on their way %v", costs[1], costs[5000])
	if costs[5000] > 2*costs[1]+100*time.Nanosecond {
		t.Errorf("a retransmitted octet costs %v behind one message, %v behind thousands", costs[1], costs[5000])
	}
}

// What is on its way is bounded, and whatever a segment of a jumbo frame can
// begin passes.
func TestMessagesOnTheirWay(t *testing.T) {
	b := newBox(t, masquerade)
	c, at, n := unacknowledged(t, b, 5000)
	if n < 750 || n > 1024 {
		t.Errorf("%d messages may be on their way", n)
	}
	wantEqual(t, "the limit reached", limitReached(b), "nat.heads")
	first := c.Segment(b.lan[0], at, wire.ACK, tracktest.Encode(tracktest.EchoRequest(1)))
	want(t, b.Send(track.LAN, first.Frame(b.lan[0], b.wan[0])), track.Rewrite, track.ReasonControl)

	c.End(b.wan[0]).Got = at + uint32(16*n) // all of it arrives
	c.Ack(b.wan[0])
	var jumbo []byte
	for range 560 { // 9000 octets
		jumbo = append(jumbo, tracktest.Encode(tracktest.EchoRequest(1))...)
	}
	if r := c.At(b.lan[0], at+uint32(16*n), jumbo); !r.Passed() {
		t.Errorf("a segment of a jumbo frame: %s", r)
	}
	b.checkEmpty(t)
}

// TestRingsGoBack has connections keep the rings of what is acknowledged as long as
// half of the rings are free, and leave them to others then.
func TestRingsGoBack(t *testing.T) {
	b := newBox(t, masquerade) // with two of the largest rings
	var conns []*tracktest.Conn
	for range 3 {
		c, at, n := unacknowledged(t, b, 700)
		if n != 700 {
			t.Fatalf("%d messages of the connection number %d may be on their way", n, len(conns)+1)
		}
		c.End(b.wan[0]).Got = at + uint32(16*n)
		conns = append(conns, c)
		for _, c := range conns {
			c.Ack(b.wan[0])
		}
		if got := b.Tracker.Usage()["nat.heads"].Used; got > 1024 {
			t.Errorf("%d heads in shared rings, all acknowledged", got)
		}
	}
}
