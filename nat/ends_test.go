package nat_test

import (
	"fmt"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// endedCall is a call whose end on the LAN is known to the WAN by another ID than
// its own, which another host's call has there.
type endedCall struct {
	*tracktest.Call
	lan, wan   *tracktest.Host
	own, alias uint16 // the LAN's ID, and as the WAN knows it
	number     uint16 // the WAN's ID
	bystander  *tracktest.Call
}

// endedCalls makes one of each way to agree a call.
func endedCalls(t *testing.T, try func(t *testing.T, b *box, k *endedCall)) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID, "forward": both} {
		for _, lanDials := range []bool{true, false} {
			for _, lanIsPNS := range []bool{true, false} {
				for _, incoming := range []bool{false, true} {
					if name == "masquerade" && !lanDials || name == "forward" && lanDials {
						continue
					}
					t.Run(fmt.Sprintf("%s/lan dials=%v/lan is PNS=%v/incoming=%v", name, lanDials, lanIsPNS, incoming), func(t *testing.T) {
						b := newBox(t, mode)
						try(t, b, newEndedCall(t, b, name, lanDials, lanIsPNS, incoming))
					})
				}
			}
		}
	}
}

func newEndedCall(t *testing.T, b *box, mode string, lanDials, lanIsPNS, incoming bool) *endedCall {
	k := &endedCall{lan: b.lan[0], wan: b.wan[0], own: 7, number: 9}
	var c *tracktest.Conn
	switch {
	case mode == "forward":
		k.lan = b.lan[2]
		b.connectForward(k.wan).OutCall(40, 7).Disconnect() // 7 is at rest
		k.bystander = b.Dial(b.lan[1], k.wan).OutCall(7, 30)
		c = b.connectForward(k.wan)
	case lanDials:
		k.bystander = b.Dial(b.lan[1], k.wan).OutCall(7, 30)
		c = b.Dial(k.lan, k.wan)
	default:
		k.bystander = b.Dial(b.lan[1], k.wan).OutCall(7, 30)
		c = b.Dial(k.wan, k.lan)
	}
	pns, pnsID, pacID := k.lan, k.own, k.number
	if !lanIsPNS {
		pns, pnsID, pacID = k.wan, k.number, k.own
	}
	if incoming {
		k.Call = c.InCallBy(pns, pnsID, pacID)
	} else {
		k.Call = c.OutCallBy(pns, pnsID, pacID)
	}
	if k.alias = k.PNSAlias; !lanIsPNS {
		k.alias = k.PACAlias
	}
	if k.alias == k.own {
		t.Fatalf("the WAN knows the call by its own ID, %d", k.own)
	}
	wantUp(t, k.Call, k.bystander)
	return k
}

// Call-Clear-Request and Call-Disconnect-Notify are translated both ways and have
// their effect, by either role and by either end's ID.
func TestClearAndDisconnectByEitherRole(t *testing.T) {
	endedCalls(t, func(t *testing.T, b *box, k *endedCall) {
		for _, said := range []struct {
			from      *tracktest.Host
			id, heard uint16
		}{
			{from: k.lan, id: k.own, heard: k.alias},
			{from: k.lan, id: k.number, heard: k.number},
			{from: k.wan, id: k.number, heard: k.number},
			{from: k.wan, id: k.alias, heard: k.own},
		} {
			r := k.Conn.Say(said.from, tracktest.ClearRequest(said.id))
			wantEqual(t, fmt.Sprintf("Call-Clear-Request for %d from %s, as it arrives", said.id, said.from.Side), r.CallID(), said.heard)
			wantEqual(t, "the call is", k.State(), track.CallClearing)
			wantUp(t, k.Call, k.bystander)
		}
	})
	for n := range 4 {
		endedCalls(t, func(t *testing.T, b *box, k *endedCall) {
			from := []*tracktest.Host{k.lan, k.lan, k.wan, k.wan}[n]
			id, heard := []uint16{k.own, k.number, k.number, k.alias}[n], []uint16{k.alias, k.number, k.number, k.own}[n]
			r := k.Conn.Say(from, tracktest.Disconnect(id))
			wantEqual(t, fmt.Sprintf("Call-Disconnect-Notify for %d from %s, as it arrives", id, from.Side), r.CallID(), heard)
			wantEqual(t, "the call is", k.State(), track.CallEnded)
			if k.GRE(k.lan).Passed() || k.GRE(k.wan).Passed() {
				t.Error("GRE of the call passes")
			}
			wantUp(t, k.bystander)
		})
	}
}

// What the LAN says of a call that has gone names none.
func TestSecondDisconnectNamesNoCall(t *testing.T) {
	endedCalls(t, func(t *testing.T, b *box, k *endedCall) {
		for n, heard := range []uint16{k.alias, track.NoCallID} {
			wantEqual(t, fmt.Sprintf("Call-Disconnect-Notify number %d", n+1), k.Conn.Say(k.lan, tracktest.Disconnect(k.own)).CallID(), heard)
		}
		wantEqual(t, "Call-Clear-Request", k.Conn.Say(k.lan, tracktest.ClearRequest(k.own)).CallID(), track.NoCallID)
		wantUp(t, k.bystander)
	})
}

// A request that is sent again leaves as it left, though the acknowledgment has
// crossed the box: it may have got lost behind it. One that is further back than
// anybody needs does not leave.
func TestRequestBehindItsAcknowledgment(t *testing.T) {
	b, c := named(t)
	client, server := b.lan[0], b.wan[0]
	request := tracktest.Encode(tracktest.OutRequest(7))
	at := c.End(client).Next
	first := c.Write(client, request)
	got := c.End(client).Got
	c.Ack(server)
	c.End(client).Got = got
	again := c.At(client, at, request)
	if !again.Passed() || again.CallID() != first.CallID() || first.CallID() == 7 {
		t.Errorf("the request left with %d, again: %s with %d", first.CallID(), again, again.CallID())
	}
	for range 20 {
		c.Say(client, tracktest.EchoRequest(1))
		c.Ack(server)
	}
	if r := c.At(client, at, request); r.Passed() && r.CallID() != first.CallID() {
		t.Errorf("20 messages later: %s with %d", r, r.CallID())
	}
	// A keep-alive is one octet before the next, as some send it.
	want(t, c.At(client, c.End(client).Next-1, []byte{0}), track.Rewrite, track.ReasonControl)
}
