package nat_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestAccomplicesPutNothingOutOfStep: who sends from both sides with the names of
// a connection that it does not see, and tries numbers, does not keep the ends from
// being read, which would keep them from talking at all.
func TestAccomplicesPutNothingOutOfStep(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	eachMode(t, func(t *testing.T, b *box) {
		c := b.Dial(b.lan[0], b.wan[0])
		k := c.OutCall(7, 9)
		wantUp(t, k)
		for range 500 {
			forged := *c
			for i := range forged.Ends {
				forged.Ends[i].Next += 1<<17 + random.Uint32N(1<<24)
			}
			for i := range forged.Ends {
				forged.Ends[i].Got = forged.Ends[1-i].Next
			}
			for range 2 {
				for i := range forged.Ends {
					if r := forged.Ack(forged.Ends[i].Host); r.Reason != track.ReasonControlOutOfWindow {
						t.Fatalf("%s, want it to be out of the window", r)
					}
				}
			}
			b.Advance(10 * time.Millisecond)
		}
		for from, m := range []tracktest.Result{c.Say(b.lan[0], tracktest.EchoRequest(1)), c.Say(b.wan[0], tracktest.EchoReply(1))} {
			if !m.Passed() || m.Reason != track.ReasonControl {
				t.Errorf("end %d: %s, want it to pass as control", from, m)
			}
		}
		wantUp(t, k, c.OutCall(8, 10))
		k.Disconnect()
	})
}

// TestHandshakeTakesOver: a host that has restarted gets through on the ports that
// it had before.
func TestHandshakeTakesOver(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		c := b.Dial(b.lan[0], b.wan[0])
		old := c.OutCall(7, 9)
		wantUp(t, old)
		for i := range c.Ends {
			c.Ends[i].Next += 1 << 20
		}
		c.Handshake()
		wantUp(t, old)
		c.Start(b.lan[0])
		wantUp(t, c.OutCall(7, 9))
		b.checkEmpty(t)
	})
}
