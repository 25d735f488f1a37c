package nat_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// missed lets n octets of an end pass by another way, and its peer acknowledge
// them.
func missed(c *tracktest.Conn, from *tracktest.Host, n int) {
	c.End(from).Next += uint32(n)
	c.Ack(from)
	c.Peer(from).Got = c.End(from).Next
	c.Ack(c.To(from))
}

// TestRestOfAMessageBehindAGap has the first octets of a request cross, and the
// rest, with its ID, pass by another way. Sent again, that rest has never been
// looked at, although where its message began and how long it is are known.
func TestRestOfAMessageBehindAGap(t *testing.T) {
	for _, cut := range []int{1, 2, 7, 12} {
		b, c := named(t)
		lan := b.lan[0]
		request, at := tracktest.Encode(tracktest.OutRequest(0x0105)), c.End(lan).Next
		c.Write(lan, request[:cut])
		missed(c, lan, len(request)-cut)
		c.Say(lan, tracktest.EchoRequest(1))
		for _, end := range []int{cut + 1, 13, 14, len(request)} {
			wantDrop(t, c.At(lan, at+uint32(cut), request[cut:max(end, cut+1)]), track.ReasonNoTranslation)
		}
		if r := c.At(lan, at, request[:cut]); !r.Passed() {
			t.Errorf("the first %d octets, which have left, again: %s", cut, r)
		}
	}
}

// TestSaidAgainWithMore has an end send messages again that are acknowledged, and
// many more behind them in the same segment, as a host does which has missed the
// acknowledgment: all of it crosses, and is read.
func TestSaidAgainWithMore(t *testing.T) {
	for _, more := range []int{1, 2, 4, 5, 8, 40} {
		b, c := named(t)
		lan := b.lan[0]
		at := c.End(lan).Next
		said := tracktest.Encode(tracktest.EchoRequest(1), tracktest.EchoRequest(2), tracktest.EchoRequest(3))
		c.Write(lan, said)
		c.Ack(b.wan[0])
		for i := range more {
			said = append(said, tracktest.Encode(tracktest.OutRequest(0x0100+uint16(i)))...)
		}
		if r := c.At(lan, at, said); !r.Passed() {
			t.Errorf("three messages again and %d more: %s", more, r)
		}
		if n := len(b.Tracker.Calls()) - 1; n != more {
			t.Errorf("%d calls beside another host's, want %d", n, more)
		}
	}
}

// TestNothingReadThatCannotLeave has a segment begin with octets of which nobody
// knows any more how they left: it cannot leave, and makes no call.
func TestNothingReadThatCannotLeave(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	at := c.End(lan).Next
	var said []byte
	for i := range uint32(80) {
		echo := tracktest.Encode(tracktest.EchoRequest(i))
		said = append(said, echo...)
		c.Write(lan, echo)
		c.Ack(wan)
	}
	said = append(said, tracktest.Encode(tracktest.OutRequest(0x0105))...)
	wantDrop(t, c.At(lan, at, said), track.ReasonNoTranslation)
	if n := len(b.Tracker.Calls()); n != 1 {
		t.Errorf("%d calls beside another host's by a segment that was dropped", n-1)
	}
}

// TestNothingReadBehindAGapThatCannotLeave has a segment begin with octets that
// passed by another way, and go on with a request: it cannot leave, and makes no
// call.
func TestNothingReadBehindAGapThatCannotLeave(t *testing.T) {
	b, c := named(t)
	lan := b.lan[0]
	said, at := tracktest.Encode(tracktest.EchoRequest(1), tracktest.OutRequest(0x0105)), c.End(lan).Next
	echo := len(tracktest.Encode(tracktest.EchoRequest(1)))
	missed(c, lan, echo)
	wantDrop(t, c.At(lan, at, said), track.ReasonNoTranslation)
	if n := len(b.Tracker.Calls()); n != 1 {
		t.Errorf("%d calls beside another host's by a segment that was dropped", n-1)
	}
	if r := c.At(lan, at+uint32(echo), said[echo:]); !r.Passed() || len(b.Tracker.Calls()) != 2 {
		t.Errorf("the request alone: %s, with %d calls beside another host's", r, len(b.Tracker.Calls())-1)
	}
}

// TestPositionsThatComeRound has the WAN's end begin a message, say what is none
// behind it, and go on by 4 GiB: what it says at the same position then is its own.
func TestPositionsThatComeRound(t *testing.T) {
	b := newBox(t, masquerade)
	lan, wan := b.lan[0], b.wan[0]
	c := b.NewConn(lan, wan)
	for _, h := range []*tracktest.Host{lan, wan} {
		s := c.Segment(h, c.End(h).Next, wire.SYN, nil)
		if s.Options = []byte{3, 3, 14, 0}; h == wan {
			s = c.Segment(h, c.End(h).Next, wire.SYN|wire.ACK, nil)
			s.Options = []byte{3, 3, 14, 0}
		}
		c.Transmit(h, s)
	}
	c.Ack(lan)
	c.Start(lan)
	at := c.End(wan).Next
	for _, data := range [][]byte{{0, 16, 0}, make([]byte, 20)} {
		c.Write(wan, data)
		c.Ack(lan)
	}
	for _, on := range []uint32{1 << 30, 2 << 30, 3 << 30, 4<<30 - 10} {
		c.End(wan).Next = at + on
		c.Write(wan, []byte{9})
		c.End(lan).Got = c.End(wan).Next
		c.Ack(lan)
	}
	said := []byte{9, 9, 9, 9, 9}
	r := c.At(wan, at, said)
	var p wire.Packet
	if wire.Decode(r.Out, &p); !r.Passed() || !bytes.Equal(r.Out[p.Payload:p.End], said) {
		t.Errorf("% x leaves, want % x: %s", r.Out[p.Payload:p.End], said, r)
	}
}

// TestAcknowledgmentLostBehindTheBox has an end send messages again whose
// acknowledgment it has not got, in one segment or cut: they cross, so that they
// are acknowledged again.
func TestAcknowledgmentLostBehindTheBox(t *testing.T) {
	for _, n := range []int{3, 5, 20, 100} {
		b, c := named(t)
		lan := b.lan[0]
		at := c.End(lan).Next
		var said []byte
		for i := range uint16(n) {
			said = append(said, tracktest.Encode(tracktest.OutRequest(0x0100+i), tracktest.EchoRequest(uint32(i)))...)
		}
		said = said[:min(len(said), 9000)]
		c.Write(lan, said)
		c.Ack(b.wan[0])
		if r := c.At(lan, at, said); !r.Passed() {
			t.Errorf("%d messages again: %s", 2*n, r)
		}
		for from := 0; from < len(said); from += 536 {
			if r := c.At(lan, at+uint32(from), said[from:min(from+536, len(said))]); !r.Passed() {
				t.Errorf("%d messages again, from octet %d on: %s", 2*n, from, r)
			}
		}
	}
}
