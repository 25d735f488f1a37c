package main

import (
	"context"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// natAddr is what the WAN sees of the LAN in the tests of masquerade.
const natAddr = "10.77.0.200"

const masquerade = "[nat]\nmode = \"masquerade\"\naddress = \"" + natAddr + "\"\n"

// TestLabMasquerade takes three real clients, all with the same call ID, to a
// real server behind one address. Both ends of each call ping the other.
func TestLabMasquerade(t *testing.T) {
	t.Parallel()
	testLabMasquerade(t, "")
}

func testLabMasquerade(t *testing.T, keys string) {
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, keys)
	b.configure(masquerade)
	b.start()
	if _, err := bridgetest.StartServer(b.top.Server, bridgetest.ServerOptions{Pings: natPings}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	callID := uint16(0x1234)
	clients := b.dialAll(b.top.Clients, bridgetest.ServerAddr, bridgetest.DialOptions{CallID: &callID, Pings: natPings})
	if n := b.carry(ctx, clients); n != len(clients) {
		t.Errorf("%d of %d calls carry pings both ways\nthe box said: %s", n, len(clients), b.said())
	}
	var calls []track.Call
	b.ask(&calls, "calls")
	b.checkCalls(calls, callID)
	b.checkAliases(calls)
	for _, c := range clients {
		if _, err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
	}
	b.waitNoCalls(ctx)
	b.stop()
}

// checkAliases makes sure that the WAN knows each of the calls by natAddr and an
// ID of its own.
func (b *labBox) checkAliases(calls []track.Call) {
	b.t.Helper()
	ids := map[uint16]bool{}
	for _, c := range calls {
		if c.Alias == nil || c.Alias.Addr.String() != natAddr {
			b.t.Fatalf("call %d has the alias %+v", c.ID, c.Alias)
		}
		ids[c.Alias.CallID] = true
	}
	if len(ids) != len(calls) {
		b.t.Errorf("the calls have the IDs %v on the WAN, want one each", ids)
	}
}
