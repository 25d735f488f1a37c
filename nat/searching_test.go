package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// TestLostBehindWhatWasMissed has octets pass by another way, and of two messages
// behind them the first be lost before the box: sent again, both cross.
func TestLostBehindWhatWasMissed(t *testing.T) {
	for _, m := range []pptp.Message{tracktest.EchoRequest(2), tracktest.OutRequest(0x0105)} {
		for times := range 3 {
			b, c := named(t)
			lan := b.lan[0]
			for range times {
				missed(c, lan, 16)
			}
			at, lost := c.End(lan).Next, tracktest.Encode(m)
			behind, second := at+uint32(len(lost)), tracktest.Encode(tracktest.OutRequest(0x0106))
			c.At(lan, behind, second)
			b.Advance(2 * time.Second)
			for _, r := range []tracktest.Result{c.At(lan, at, lost), c.At(lan, behind, second), c.At(lan, at, lost)} {
				if !r.Passed() {
					t.Errorf("%s, lost behind what was missed %d times: %s", m.ControlType(), times, r)
				}
			}
		}
	}
}

// staleBy returns a box that has restarted, and a connection whose ends have said
// more meanwhile: the LAN's so many octets, the WAN's 32.
func staleBy(t *testing.T, away uint32) (*box, *tracktest.Conn) {
	b, c := named(t)
	lan, wan := c.End(b.lan[0]), c.End(b.wan[0])
	b.restart(nil)
	lan.Next += away
	lan.Got += 32
	wan.Got = lan.Next
	wan.Next += 32
	return b, c
}

// TestRequestLostBeforeWhatIsNeedless has a request of a stale connection be lost
// before the box, and what is behind it leave. Sent again, it crosses soon.
func TestRequestLostBeforeWhatIsNeedless(t *testing.T) {
	for _, away := range []uint32{0, 16, 1 << 17} {
		b, c := staleBy(t, away)
		lan, wan := b.lan[0], b.wan[0]
		at, lost := c.End(lan).Next, tracktest.Encode(tracktest.OutRequest(0x0105))
		c.At(lan, at+uint32(len(lost)), tracktest.Encode(tracktest.EchoReply(1)))
		c.Ack(wan)
		c.Say(wan, tracktest.EchoRequest(3))
		tries := 1
		for ; tries < 5 && !c.At(lan, at, lost).Passed(); tries++ {
			b.Advance(4 * time.Second)
			c.Say(wan, tracktest.EchoRequest(4))
			c.Ack(lan)
		}
		if tries > 2 {
			t.Errorf("%d octets behind: it takes %d times", away, tries)
		}
	}
}
