package nat_test

import (
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// GRE that overtakes the reply is held by the ID that the WAN knows, and leaves
// with the client's own: of two clients with the same ID each gets its own.
func TestGREOvertakesTheReply(t *testing.T) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			server := b.wan[0]
			var conns []*tracktest.Conn
			var aliases []uint16
			for _, client := range b.lan[:2] {
				c := b.Dial(client, server)
				aliases = append(aliases, c.Say(client, tracktest.OutRequest(7)).CallID())
				want(t, b.GRE(server, c.To(server), aliases[len(aliases)-1]), track.Hold, 0)
				conns = append(conns, c)
			}
			for i, client := range b.lan[:2] {
				reply := tracktest.OutReply(9+uint16(i), aliases[i], pptp.OutCallResultConnected)
				want(t, conns[i].Say(server, reply), track.Expect, track.ReasonControl)
				if len(b.Released) != 1 || !b.Released[0].Passed() {
					t.Fatalf("released %v, want one frame that passes", b.Released)
				}
				var p wire.Packet
				wire.Decode(b.Released[0].Out, &p)
				wantEqual(t, "the call ID that leaves", p.CallID, 7)
				wantEqual(t, "the host it leaves for", p.Dst.Netip(), client.Addr)
				b.Released = nil
			}
			b.checkEmpty(t)
		})
	}
}

// A second reply of a PAC on the LAN, before any GRE, gives the call another ID:
// what the WAN knows the first by rests.
func TestReplyReplacesOneWithoutGRE(t *testing.T) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			pac, pns := b.lan[0], b.wan[0]
			other := b.Dial(b.lan[1], pns).OutCallBy(pns, 6, 10) // has the ID that is to be replaced with
			c := b.Dial(pac, pns)
			call := c.OutCallBy(pns, 7, 9)
			r := c.Say(pac, tracktest.OutReply(10, 7, pptp.OutCallResultConnected))
			want(t, r, track.Expect, track.ReasonControl)
			call.PACID, call.PACAlias = 10, r.CallID()
			if call.PACAlias == track.NoCallID || call.PACAlias == other.PACAlias {
				t.Errorf("the WAN knows the calls by IDs %d and %d", call.PACAlias, other.PACAlias)
			}
			wantUp(t, call, other)
			c.Say(pac, tracktest.OutReply(11, 7, pptp.OutCallResultConnected))
			wantUp(t, call, other)
			b.checkEmpty(t)
		})
	}
}
