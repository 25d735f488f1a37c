package nat_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track/tracktest"
)

// Calls that end with their connection, more of them than the frame that ends them
// cleans up: what the WAN calls their IDs is still in tables for up to a second.

// manyCalls is how many there are of a connection.
const manyCalls = 12

// agreeMany agrees calls of c whose PNS, the opener, assigns the IDs from first on.
func agreeMany(c *tracktest.Conn, first, pacID uint16) (calls []*tracktest.Call) {
	for i := range uint16(manyCalls) {
		calls = append(calls, c.OutCall(first+i, pacID+i))
	}
	return calls
}

// TestEndTogether: GRE of such calls passes no more, and is quoted to nobody; no
// other host gets their IDs; their host can use its own at once, and what is
// cleaned up later is not the new calls'.
func TestEndTogether(t *testing.T) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			host, other, third, peer := b.lan[0], b.lan[1], b.lan[2], b.wan[0]
			c := b.Dial(host, peer)
			old := agreeMany(c, 100, 1000)
			live := agreeMany(b.Dial(other, peer), 100, 2000)
			wantUp(t, old...)
			wantUp(t, live...)
			up, down := old[0].GRE(host), old[0].GRE(peer)
			c.Reset(host)
			for _, k := range old {
				if k.GRE(k.PNS).Passed() || k.GRE(k.PAC).Passed() {
					t.Errorf("GRE of call %d passes after its end", k.Number)
				}
			}
			if name == "masquerade" {
				b.quotesNothing(t, peer, b.alias, up)
				b.quotesNothing(t, host, peer, down)
			}
			known := make(map[uint16]bool)
			for _, k := range old {
				known[k.PNSAlias] = true
			}
			more := agreeMany(b.Dial(third, peer), 100, 3000)
			for _, k := range append(more, live...) {
				if known[k.PNSAlias] {
					t.Errorf("call ID %d is of another host now", k.PNSAlias)
				}
			}
			again := agreeMany(b.Dial(host, peer), 100, 1000)
			for range 3 {
				wantUp(t, again...)
				wantUp(t, live...)
				wantUp(t, more...)
				b.Advance(time.Second)
			}
			wantEqual(t, "the number of calls", len(b.Tracker.Calls()), 3*manyCalls)
			b.checkEmpty(t)
		})
	}
}

// quotesNothing fails the test if an ICMP error about a packet that left passes.
func (b *box) quotesNothing(t *testing.T, from, to *tracktest.Host, left tracktest.Result) {
	t.Helper()
	report := tracktest.ICMPError{Type: 3, Code: 4, Quoted: tracktest.Quote(left.Out, 16)}
	if r := b.Send(from.Side, report.Frame(from, to)); r.Passed() {
		t.Errorf("%s, want a drop: what it quotes is of no call", r)
	}
}

// TestEndTogetherRandomly has connections of several hosts come and go, with many
// calls whose IDs are those of others that have just ended, while time passes a
// little now and then: what lives passes, and nothing else does.
func TestEndTogetherRandomly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]func(*nat.Options){masquerade, byCallID}).Draw(t, "mode")
		b := newBox(t, mode)
		var ended []*tracktest.Call
		live := make(map[int][]*tracktest.Call) // by what is in use: a host's IDs
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			use := rapid.IntRange(0, 5).Draw(t, "host and IDs")
			host, peer, ids := b.lan[use/2], b.wan[0], uint16(use%2)
			switch calls := live[use]; {
			case calls == nil:
				live[use] = agreeMany(b.Dial(host, peer), 100+200*ids, 1000*uint16(use/2)+100*ids)
				for _, k := range live[use] {
					k.Both()
				}
			case rapid.Bool().Draw(t, "reset"):
				calls[0].Conn.Reset(host)
				ended, live[use] = calls, nil
			default:
				calls[0].Conn.Close()
				ended, live[use] = calls, nil
			}
			for _, k := range ended {
				if !usedAgain(k, live) && (k.GRE(k.PNS).Passed() || k.GRE(k.PAC).Passed()) {
					t.Fatalf("GRE of call %d passes after its end", k.Number)
				}
			}
			for use := range 6 {
				for _, k := range live[use] {
					if !k.Both() {
						t.Fatalf("GRE of call %d does not pass", k.Number)
					}
				}
			}
			b.Now = b.Now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 50, 300}).Draw(t, "ms")) * time.Millisecond)
			b.Step()
		}
		b.checkEmpty(t)
	})
}

// usedAgain reports whether a live call has an ID of one that has ended.
func usedAgain(k *tracktest.Call, live map[int][]*tracktest.Call) bool {
	for _, calls := range live {
		for _, l := range calls {
			if l.PNSAlias == k.PNSAlias || l.PACID == k.PACID {
				return true
			}
		}
	}
	return false
}
