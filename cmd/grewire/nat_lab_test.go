package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// natAddr is what the WAN sees of the LAN in the tests of masquerade.
const natAddr = "10.77.0.200"

const masquerade = "[nat]\nmode = \"masquerade\"\naddress = \"" + natAddr + "\"\n"

// TestLabMasquerade takes three real clients, all with the same call ID, to a
// real server behind one address.
func TestLabMasquerade(t *testing.T) { testLabMasquerade(t, "") }

func testLabMasquerade(t *testing.T, keys string) {
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, keys)
	b.configure(masquerade)
	b.start()
	if _, err := bridgetest.StartServer(b.top.Server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	callID := uint16(0x1234)
	var clients []*bridgetest.Client
	for _, ns := range b.top.Clients {
		c, err := bridgetest.Dial(ns, bridgetest.ServerAddr, bridgetest.DialOptions{
			CallID: &callID, Pings: bridgetest.Pings{Count: 10, Sizes: []int{0, 56, 1372}, Interval: 20 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for i, c := range clients {
		report, err := c.Pinged(ctx)
		if err != nil {
			t.Fatalf("client %d: %v\n%s\nthe box said: %s", i, err, c.Log(), b.process.Output())
		}
		if report.Sent != 10 || report.Answered != 10 {
			t.Errorf("client %d: %d pings, %d answered, want 10 of each", i, report.Sent, report.Answered)
		}
	}
	var calls []track.Call
	b.ask(&calls, "calls")
	b.checkCalls(calls, callID)
	aliases := map[uint16]bool{}
	for _, c := range calls {
		if c.Alias == nil || c.Alias.Addr.String() != natAddr {
			t.Fatalf("call %d has the alias %+v", c.ID, c.Alias)
		}
		aliases[c.Alias.CallID] = true
	}
	if len(aliases) != len(calls) {
		t.Errorf("the calls have the aliases %v, want one each", aliases)
	}
	for _, c := range clients {
		if _, err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
	}
	b.waitNoCalls(ctx)
	var stats boxStats
	b.ask(&stats, "stats")
	fmt.Println(stats.Reasons)
	b.stop()
}
