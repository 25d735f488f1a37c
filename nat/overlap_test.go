package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// hiding is a Start-Control-Connection-Request with a reply in its names whose Call
// ID the box has not given out.
func hiding() []byte {
	start := tracktest.Encode(tracktest.StartRequest())
	copy(start[32:], tracktest.Encode(tracktest.OutReply(0x0105, 9, 1)))
	return start
}

// TestMessageWithinAnotherOnTrial has the server have two Echo-Requests when the
// host on the LAN sends another message at their position: the server would take up
// within that one.
func TestMessageWithinAnotherOnTrial(t *testing.T) {
	b, c := named(t)
	lan := b.lan[0]
	for i := range c.Ends {
		c.Ends[i].Next += 1 << 20
	}
	c.Handshake()
	at := c.End(lan).Next
	c.Say(lan, tracktest.EchoRequest(1), tracktest.EchoRequest(2))
	if r := c.At(lan, at, hiding()); r.Passed() {
		t.Errorf("a message leaves that hides another: %s", r)
	}
}

// TestMessageWithinAnotherWhenStale is the same of a connection from before a
// restart.
func TestMessageWithinAnotherWhenStale(t *testing.T) {
	for _, away := range []uint32{0, 16, 1 << 17} {
		b, c := named(t)
		lan := b.lan[0]
		b.restart(nil)
		c.End(lan).Next += away
		at := c.End(lan).Next
		c.Say(lan, tracktest.EchoRequest(1), tracktest.EchoRequest(2))
		if r := c.At(lan, at, hiding()); r.Passed() {
			t.Errorf("away %d: a message leaves that hides another: %s", away, r)
		}
	}
}

// TestAnotherThanWasKept has a host on the LAN say a call's request on trial, which
// is kept, and then an Echo-Request at its position, which leaves. The request,
// once the connection is known, does not: its peer would take up within it.
func TestAnotherThanWasKept(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	for i := range c.Ends {
		c.Ends[i].Next += 1 << 20
	}
	c.Handshake()
	c.Say(lan, tracktest.StartRequest())
	request, at := tracktest.Encode(tracktest.OutRequest(0x0105)), c.End(lan).Next
	copy(request[16:], tracktest.Encode(tracktest.OutReply(0x0106, 9, 1)))
	echo := tracktest.Encode(tracktest.EchoRequest(1))
	c.At(lan, at, request)
	if r := c.At(lan, at, echo); !r.Passed() {
		t.Errorf("an Echo-Request on trial: %s", r)
	}
	c.Say(wan, tracktest.StartReply(pptp.StartResultOK))
	for _, end := range []int{32, 48, len(request)} {
		if r := c.At(lan, at, request[:end]); r.Passed() {
			t.Errorf("%d octets of what was kept and did not leave: %s", end, r)
		}
	}
	if r := c.At(lan, at, echo); !r.Passed() {
		t.Errorf("what has left, again: %s", r)
	}
}

// TestLostBeforeWhatIsNeedless has a message of a stale connection be lost before
// the box, and the next leave. Sent again, the first leaves, too.
func TestLostBeforeWhatIsNeedless(t *testing.T) {
	for _, away := range []uint32{0, 1 << 17} {
		b, c := staleBy(t, away)
		lan, wan := b.lan[0], b.wan[0]
		at, lost := c.End(lan).Next, tracktest.Encode(tracktest.EchoRequest(2))
		if r := c.At(lan, at+uint32(len(lost)), tracktest.Encode(tracktest.EchoReply(1))); !r.Passed() {
			t.Fatalf("an Echo-Reply of a stale connection: %s", r)
		}
		c.Say(wan, tracktest.EchoRequest(3))
		c.At(lan, at, lost)
		b.Advance(4 * time.Second)
		c.Say(wan, tracktest.EchoRequest(4))
		if r := c.At(lan, at, lost); !r.Passed() {
			t.Errorf("%d octets behind: what was lost, again: %s", away, r)
		}
	}
}
