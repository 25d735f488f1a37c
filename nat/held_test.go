package nat_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// named returns a box, and a connection on it whose IDs get other names: 7 is
// another host's.
func named(t *testing.T, change ...func(*track.Options)) (*box, *tracktest.Conn) {
	b := newBox(t, masquerade, change...)
	b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
	return b, b.Dial(b.lan[0], b.wan[0])
}

// wantReleased fails the test unless n frames left that were held, in order, with
// this verdict and reason.
func wantReleased(t *testing.T, b *box, n int, v track.Verdict, reason track.Reason) {
	t.Helper()
	if len(b.Released) != n {
		t.Errorf("%d frames were released, want %d", len(b.Released), n)
	}
	for _, r := range b.Released {
		want(t, r, v, reason)
	}
	b.Released = nil
}

// Octets behind a gap wait until it is filled; those behind them, too.
func TestSegmentsBehindAGapAreHeld(t *testing.T) {
	b, c := named(t)
	data := tracktest.Encode(tracktest.OutRequest(7))
	at := c.End(b.lan[0]).Next
	for _, cut := range [][2]int{{100, 168}, {20, 100}, {13, 20}} {
		want(t, c.At(b.lan[0], at+uint32(cut[0]), data[cut[0]:cut[1]]), track.Hold, 0)
	}
	// It ends within the ID, but lets the next go, which lets it go.
	want(t, c.At(b.lan[0], at, data[:13]), track.Rewrite, track.ReasonControl)
	wantReleased(t, b, 3, track.Rewrite, track.ReasonControl)
	wantEqual(t, "frames that are held", b.Held(), 0)
}

// A segment that ends within an ID waits for the rest, and leaves before it.
func TestSplitID(t *testing.T) {
	b, c := named(t)
	data := tracktest.Encode(tracktest.OutRequest(7))
	results := []tracktest.Result{c.Write(b.lan[0], data[:12])}
	want(t, results[0], track.Rewrite, track.ReasonControl)
	at := c.End(b.lan[0]).Next
	want(t, c.At(b.lan[0], at, data[12:13]), track.Hold, 0)
	want(t, c.At(b.lan[0], at, data[12:13]), track.Hold, 0) // once more
	last := c.At(b.lan[0], at+1, data[13:])
	want(t, last, track.Rewrite, track.ReasonControl)
	if len(b.Released) != 2 {
		t.Fatalf("%d frames were released", len(b.Released))
	}
	first := b.Released[1].Out
	id := uint16(first[54])<<8 | uint16(last.Out[54])
	listed := b.Tracker.Calls()
	wantEqual(t, "the ID", id, listed[len(listed)-1].Alias.CallID)
	if id == 7 {
		t.Error("the ID left as it came")
	}
	for _, cut := range []int{1, 11, 12, 13, 14, 40} { // with other cuts it leaves the same
		r := c.At(b.lan[0], at-12, data[:cut])
		want(t, r, track.Rewrite, track.ReasonControl)
		if cut > 13 && (r.Out[66] != byte(id>>8) || r.Out[67] != byte(id)) {
			t.Errorf("cut at %d, the ID is %x, want %x", cut, r.Out[66:68], id)
		}
	}
}

// What nothing comes for drops after a second, as if it had been lost; so does what
// is held when the input ends.
func TestHoldEnds(t *testing.T) {
	for name, end := range map[string]func(b *box){
		"time":  func(b *box) { b.Advance(time.Second + 1) },
		"Flush": func(b *box) { b.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			b, c := named(t)
			data := tracktest.Encode(tracktest.OutRequest(7))
			at := c.End(b.lan[0]).Next
			want(t, c.At(b.lan[0], at, data[:13]), track.Hold, 0)
			want(t, c.At(b.lan[0], at+100, data[100:]), track.Hold, 0)
			end(b)
			wantReleased(t, b, 2, track.Drop, track.ReasonControlGap)
			want(t, c.At(b.lan[0], at, data), track.Rewrite, track.ReasonControl)
			wantEqual(t, "hold_bytes", b.Tracker.Usage()["hold_bytes"].Used, 0)
			b.checkEmpty(t)
		})
	}
}

func TestHoldLimits(t *testing.T) {
	t.Run("frames of a direction", func(t *testing.T) {
		b, c := named(t)
		at := c.End(b.lan[0]).Next + 1
		for n := range uint32(64) {
			want(t, c.At(b.lan[0], at+n, []byte{1}), track.Hold, 0)
		}
		wantDrop(t, c.At(b.lan[0], at+64, []byte{1}), track.ReasonControlGap)
		b.Flush()
		b.checkEmpty(t)
	})
	t.Run("hold_bytes", func(t *testing.T) {
		b, c := named(t, func(o *track.Options) { o.Limits.HoldBytes = 16 << 10 })
		at := c.End(b.lan[0]).Next + 1
		n := 0
		for c.At(b.lan[0], at+uint32(1000*n), make([]byte, 1000)).Verdict == track.Hold {
			n++
		}
		if n < 2 || n > 8 {
			t.Errorf("%d segments of 1000 octets are held", n)
		}
		wantEqual(t, "the limit reached", limitReached(b), "hold_bytes")
		b.Flush()
		b.checkEmpty(t)
	})
}

// Whoever fills his gaps at once leaves nothing behind that grows.
func TestGapsFilledAtOnce(t *testing.T) {
	b, c := named(t)
	waits := b.Dial(b.lan[2], b.wan[0])
	want(t, waits.At(b.lan[2], waits.End(b.lan[2]).Next+1, []byte{1}), track.Hold, 0) // so that somebody waits
	data := tracktest.Encode(tracktest.EchoRequest(1))
	for range 2000 {
		at := c.End(b.lan[0]).Next
		want(t, c.At(b.lan[0], at+8, data[8:]), track.Hold, 0)
		c.At(b.lan[0], at, data[:8])
		c.End(b.wan[0]).Got = c.End(b.lan[0]).Next // what was held has arrived, too
		c.Ack(b.wan[0])
		b.Released = nil
	}
	b.Flush()
	b.checkEmpty(t)
}

// A later fragment of a segment cannot change: the checksum that covers it has
// left with the first. It passes if it need not.
func TestFragmentsOfControl(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	send := func(data []byte, cuts ...int) []tracktest.Result {
		s := c.Segment(lan, c.End(lan).Next, 0x18, data)
		results := b.SendAll(track.LAN, s.IP(lan, wan).Cut(lan, wan, cuts...))
		c.End(lan).Next += uint32(len(data))
		return results
	}
	for _, r := range send(tracktest.Encode(tracktest.OutRequest(7)), 40, 120) { // the ID is in the first
		want(t, r, track.Rewrite, track.ReasonControl)
	}
	for i, r := range send(tracktest.Encode(tracktest.OutRequest(8), tracktest.OutRequest(7)), 40, 120) { // and one is not
		if i < 2 {
			want(t, r, track.Rewrite, track.ReasonControl)
		} else {
			wantDrop(t, r, track.ReasonNoTranslation)
		}
	}
}

// One that ends within an ID cannot wait for the rest, which would wait for it.
func TestFragmentEndsWithinID(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	unknown := append([]byte{0, 15, 0, 1}, binary.BigEndian.AppendUint32(nil, pptp.MagicCookie)...)
	data := append(append(unknown, 0, 99, 0, 0, 0, 0, 0), tracktest.Encode(tracktest.OutRequest(7))...)
	s := c.Segment(lan, c.End(lan).Next, wire.ACK, data)
	for _, r := range b.SendAll(track.LAN, s.IP(lan, wan).Cut(lan, wan, 20+15+13)) {
		if r.Passed() {
			t.Error(r)
		}
	}
	b.Advance(3 * time.Second)
	want(t, c.Transmit(lan, s), track.Rewrite, track.ReasonControl)
	b.checkEmpty(t)
}

// Fragments of control segments leave in their order, whatever order they come in,
// and are read and translated by it.
func TestFragmentsOfControlInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		b, c := named(t)
		lan, wan := b.lan[0], b.wan[0]
		other := b.Dial(b.lan[1], wan).OutCall(6, 8)
		send := func(from *tracktest.Host, data []byte, cuts ...int) (left []byte, results []tracktest.Result) {
			s := c.Segment(from, c.End(from).Next, 0x18, data)
			frames := s.IP(from, c.To(from)).Cut(from, c.To(from), cuts...)
			b.Released = nil
			for _, at := range order {
				r := b.Send(from.Side, frames[at])
				for _, r := range append([]tracktest.Result{r}, b.Released...) {
					if r.Verdict == track.Hold {
						continue
					}
					results = append(results, r)
					if !r.Passed() {
						t.Errorf("%v: %s", order, r)
						continue
					}
					left = append(left, r.Out[34:14+int(binary.BigEndian.Uint16(r.Out[16:]))]...)
				}
				b.Released = nil
			}
			c.End(from).Next += uint32(len(data))
			c.Peer(from).Got = c.End(from).Next
			if len(results) != 3 || len(left) != 20+len(data) {
				t.Fatalf("%v: %d fragments with %d octets left", order, len(results), len(left))
			}
			return left[20:], results
		}
		request, _ := send(lan, tracktest.Encode(tracktest.OutRequest(7)), 40, 120)
		alias, _ := pptp.View(request).CallID()
		if alias == 7 || alias == track.NoCallID {
			t.Fatalf("%v: the request left with call ID %d", order, alias)
		}
		_, results := send(wan, tracktest.Encode(tracktest.OutReply(9, alias, pptp.OutCallResultConnected)), 40, 48)
		if results[2].Verdict != track.Expect {
			t.Errorf("%v: %s, want it to open the call", order, results[2])
		}
		for _, r := range []tracktest.Result{b.GRE(lan, wan, 9), b.GRE(wan, c.To(wan), alias)} {
			if !r.Passed() || r.Reason != track.ReasonCall {
				t.Errorf("%v: %s, want it to pass", order, r)
			}
		}
		wantUp(t, other)
		b.Advance(time.Second)
		b.checkEmpty(t)
	}
}

// The identification of a datagram whose parts are not all there may be used
// anew: what is held of the old one drops.
func TestIdentificationUsedAnew(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	data := tracktest.Encode(tracktest.OutRequest(7))
	frames := c.Segment(lan, c.End(lan).Next, 0x18, data).IP(lan, c.To(lan)).Cut(lan, c.To(lan), 40, 120)
	want(t, b.Send(lan.Side, frames[0]), track.Rewrite, track.ReasonControl)
	want(t, b.Send(lan.Side, frames[2]), track.Hold, 0)
	want(t, b.Send(lan.Side, frames[0]), track.Rewrite, track.ReasonControl)
	wantReleased(t, b, 1, track.Drop, track.ReasonFragmentOrphan)
	for _, frame := range frames[1:] {
		want(t, b.Send(lan.Side, frame), track.Rewrite, track.ReasonControl)
	}
	c.End(lan).Next += uint32(len(data))
	c.Peer(lan).Got = c.End(lan).Next
	want(t, c.Say(wan, tracktest.EchoRequest(1)), track.Rewrite, track.ReasonControl)
	b.Advance(time.Second)
	b.checkEmpty(t)
}
