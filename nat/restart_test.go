package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// restartFrom starts the box anew from what it had saved.
func (b *box) restartFrom(mode func(*nat.Options), saved *track.Saved) track.Restored {
	b.names = newTranslator(mode, func(o *nat.Options) { o.Neighbour = b.neighbour })
	b.Options.Translation, b.Translate = b.names, b.names.Apply
	return b.Restart(saved, time.Second)
}

// behindTheTimes is a box that was started anew from what was saved before the
// ends of a connection spoke last, and forgot that.
func behindTheTimes(t *testing.T, mode func(*nat.Options)) (*box, *tracktest.Conn, *tracktest.Call) {
	b := newBox(t, mode)
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	saved := b.Save()
	c.Say(b.lan[0], tracktest.EchoRequest(1))
	c.Say(b.wan[0], tracktest.EchoReply(1))
	b.restartFrom(mode, saved)
	wantUp(t, k)
	return b, c, k
}

// TestRestartForgetful has the ends of such a connection go on with an echo, by
// which the box finds where they are.
func TestRestartForgetful(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			for _, asks := range []track.Side{track.LAN, track.WAN} {
				b, c, k := behindTheTimes(t, mode)
				from := [...]*tracktest.Host{track.LAN: b.lan[0], track.WAN: b.wan[0]}
				for _, r := range []tracktest.Result{
					c.Say(from[asks], tracktest.EchoRequest(2)), c.Say(from[asks.Other()], tracktest.EchoReply(2)),
				} {
					if !r.Passed() {
						t.Errorf("%s first: %s", asks, r)
					}
				}
				wantUp(t, k, c.OutCall(8, 10))
			}
		})
	}
}

// TestRestartForgetfulAboutIDs makes sure that an ID does not leave such a
// connection before it is read, and does once the other end has spoken.
func TestRestartForgetfulAboutIDs(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			b, c, k := behindTheTimes(t, mode)
			lan, request := b.lan[0], tracktest.Encode(tracktest.EchoRequest(2), tracktest.OutRequest(7))
			seq := c.End(lan).Next
			for range 2 {
				wantDrop(t, c.At(lan, seq, request), track.ReasonNoTranslation)
			}
			if r := c.Say(b.wan[0], tracktest.EchoRequest(2)); !r.Passed() {
				t.Error(r)
			}
			if r := c.At(lan, seq, request); !r.Passed() {
				t.Error(r)
			}
			wantUp(t, k)
		})
	}
}

// A connection that left with its own address is not restored into a box that
// masquerades: its address is not for the WAN to see any more.
func TestRestartBeginsToMasquerade(t *testing.T) {
	b := newBox(t, byCallID)
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	wantUp(t, k)
	if restored := b.restart(masquerade); restored.Connections != 0 || restored.Calls != 0 {
		t.Errorf("restored %+v, want nothing", restored)
	}
	wantDrop(t, b.GRE(b.lan[0], b.wan[0], 9), track.ReasonNotNegotiated)
	wantDrop(t, c.Say(b.lan[0], tracktest.EchoRequest(1)), track.ReasonNoTranslation)
}

// TestRestartWithinARefusal has the box restart when a reply that leaves as a
// refusal has crossed in part: the rest leaves as it would have.
func TestRestartWithinARefusal(t *testing.T) {
	for _, mode := range []func(*nat.Options){masquerade, byCallID} {
		for cut := 13; cut < 32; cut++ {
			b := newBox(t, func(o *nat.Options) { mode(o); o.CallIDs = 1 })
			lan, wan := b.lan[0], b.wan[0]
			c := b.Dial(lan, wan)
			c.OutCallBy(wan, 2, 1)
			c.Say(wan, tracktest.OutRequest(0x0104))
			reply, at := tracktest.Encode(tracktest.OutReply(3, 0x0104, pptp.OutCallResultConnected)), c.End(lan).Next
			c.Write(lan, reply[:cut])
			b.restart(nil)
			c.At(lan, at+uint32(cut), reply[cut:])
			r := c.At(lan, at, reply)
			if wantRefused(t, r, 0x0104); r.CallID() != track.NoCallID {
				t.Errorf("cut at %d: the reply leaves as %s, call %d", cut, r, r.CallID())
			}
		}
	}
}
