package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// TestIDOfAnotherConnectionIsTaken: under translation, too, a call of a second
// connection of the same ends has to wait for an ID of the first's, the LAN's or the
// WAN's, while the end that has assigned it lives.
func TestIDOfAnotherConnectionIsTaken(t *testing.T) {
	for _, ids := range [][2]uint16{{7, 10}, {8, 9}} {
		for _, mode := range []func(*nat.Options){masquerade, both} {
			b := newBox(t, mode)
			lan, wan := b.lan[0], b.wan[0]
			old := b.Dial(lan, wan).OutCall(7, 9)
			wantUp(t, old)
			c := b.Dial(lan, wan)
			alias := c.Say(lan, tracktest.OutRequest(ids[0])).CallID()
			want(t, c.Say(wan, tracktest.OutReply(ids[1], alias, pptp.OutCallResultConnected)), track.Rewrite, track.ReasonControl)
			wantUp(t, old)
			for range 7 { // only the owner of the other ID is heard of
				b.Advance(10 * time.Second)
				if ids[0] == 7 {
					old.GRE(wan)
				} else {
					old.GRE(lan)
				}
			}
			b.Advance(10 * time.Second)
			for _, r := range []tracktest.Result{b.GRE(lan, wan, ids[1]), b.GRE(wan, c.To(wan), alias)} {
				if !r.Passed() || r.Reason != track.ReasonCall {
					t.Errorf("IDs %v: %s, want it to pass", ids, r)
				}
			}
			b.Advance(76 * time.Second)
			wantUp(t, b.Dial(lan, wan).OutCall(ids[0], ids[1])) // opens at once
			b.checkEmpty(t)
		}
	}
}

// TestWaitingCallIsAnsweredAnew: a PAC on the LAN that grants a call once more which
// waits for its ID gives it one that the WAN knows by another name, and the call comes
// up.
func TestWaitingCallIsAnsweredAnew(t *testing.T) {
	for _, mode := range []func(*nat.Options){masquerade, byCallID} {
		b := newBox(t, mode)
		pac, pns := b.lan[0], b.wan[0]
		old := b.Dial(pac, pns).OutCallBy(pns, 7, 9)
		c := b.Dial(pac, pns)
		c.Say(pns, tracktest.OutRequest(8))
		first := c.Say(pac, tracktest.OutReply(9, 8, pptp.OutCallResultConnected))
		wantEqual(t, "the ID of the call that has it", first.CallID(), old.PACAlias)
		r := c.Say(pac, tracktest.OutReply(10, 8, pptp.OutCallResultConnected))
		want(t, r, track.Expect, track.ReasonControl)
		if alias := r.CallID(); alias == track.NoCallID || alias == old.PACAlias {
			t.Errorf("the WAN knows the calls by IDs %d and %d", old.PACAlias, alias)
		}
		for _, r := range []tracktest.Result{b.GRE(pac, pns, 8), b.GRE(pns, c.To(pns), r.CallID())} {
			if !r.Passed() || r.Reason != track.ReasonCall {
				t.Errorf("%s, want it to pass", r)
			}
		}
		wantUp(t, old)
		b.checkEmpty(t)
	}
}
