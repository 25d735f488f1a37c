package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// TestLabCallIDMode takes three real clients with the same call ID and their own
// addresses to a real server: each has an ID of its own there.
func TestLabCallIDMode(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, "")
	b.configure("[nat]\nmode = \"call-id\"\n")
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
	ids := map[uint16]bool{}
	for _, c := range calls {
		id := c.PNS.CallID
		if c.Alias != nil {
			if id = c.Alias.CallID; c.Alias.Addr != c.PNS.Addr {
				t.Errorf("the WAN knows %s by %s", c.PNS.Addr, c.Alias.Addr)
			}
		}
		ids[id] = true
	}
	if len(ids) != len(calls) {
		t.Errorf("the calls have the IDs %v on the WAN, want one each", ids)
	}
	b.stop()
}

// TestLabForwardAndMasquerade has two servers on the LAN behind one address, and
// calls of the LAN behind the same: of clients on the WAN some come to each
// server, while a client on the LAN calls out. What the LAN itself dials at the
// address is refused by name.
func TestLabForwardAndMasquerade(t *testing.T) {
	t.Parallel()
	const outside = 5 // clients on the WAN; behind them, a server
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3, Servers: outside + 1}, "")
	b.configure(masquerade + forwardTo(0) + forwardTo(1))
	b.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var servers []*bridgetest.Server
	for _, ns := range []*bridgetest.Namespace{b.top.Clients[0], b.top.Clients[1], b.top.Servers[outside]} {
		s, err := bridgetest.StartServer(ns, bridgetest.ServerOptions{Pings: natPings})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	callID := uint16(0x1234)
	dial := bridgetest.DialOptions{CallID: &callID, Pings: natPings}
	clients := append(b.dialAll(b.top.Servers[:outside], natAddr, dial), b.dialAll(b.top.Clients[2:], bridgetest.ServerAddrAt(outside), dial)...)
	if n := b.carry(ctx, clients); n != len(clients) {
		t.Errorf("%d of %d calls carry pings both ways\nthe box said: %s", n, len(clients), b.said())
	}
	b.checkSpread(servers, outside)
	var calls []track.Call
	if b.ask(&calls, "calls"); len(calls) != len(clients) {
		t.Errorf("the box lists %d calls, want %d", len(calls), len(clients))
	}
	// As if by a router: the box has no ARP for the LAN.
	b.command(b.top.Clients[2], 10*time.Second, "ip", "neigh", "replace", natAddr, "lladdr", "02:00:00:00:00:01", "dev", bridgetest.HostNIC)
	if out, err := b.top.Clients[2].Run(ctx, "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+natAddr+"/1723"); err == nil {
		t.Errorf("the LAN reaches its own server by the WAN's address: %s", out)
	}
	b.waitFor("frame-dropped from lan: hairpin")
	b.stop()
}

func forwardTo(client int) string {
	return fmt.Sprintf("[[nat.forward]]\naddress = %q\nto = %q\n", natAddr, bridgetest.ClientAddr(client))
}

// checkSpread makes sure that the first two servers share the clients on the WAN.
func (b *labBox) checkSpread(servers []*bridgetest.Server, clients int) {
	b.t.Helper()
	var has [2]int
	for i := range has {
		reports, err := servers[i].Reports()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range reports {
			if r.Event == "up" {
				has[i]++
			}
		}
	}
	b.t.Logf("the servers have %v calls", has)
	if has[0] == 0 || has[1] == 0 || has[0]+has[1] != clients {
		b.t.Errorf("the servers have %v of the %d calls", has, clients)
	}
}

// TestLabMasqueradeRestart starts the box anew under masqueraded calls with the
// same ID, once after SIGTERM and once after SIGKILL, and has it reload: they go
// on behind the same names.
func TestLabMasqueradeRestart(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, "")
	b.state = b.top.Lab.Dir() + "/state"
	b.configure(masquerade)
	b.start()
	if _, err := bridgetest.StartServer(b.top.Server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	callID := uint16(0x1234)
	clients := b.dialAll(b.top.Clients, bridgetest.ServerAddr, bridgetest.DialOptions{
		CallID: &callID, Pings: bridgetest.Pings{Count: -1, Interval: 20 * time.Millisecond}, EchoInterval: echoOften,
	})
	for _, c := range clients {
		if _, err := c.Ready(ctx); err != nil {
			t.Fatalf("%v\nthe box said: %s", err, b.said())
		}
	}
	before := b.allMoving(ctx, len(clients), nil)
	b.checkAliases(before)
	b.configure(masquerade + "[timeouts]\ngre_stream = '1h'\n")
	b.command(b.top.Box, 10*time.Second, b.binary, "reload", "-socket", b.socket)
	b.allMoving(ctx, len(clients), before)
	b.waitWritten(ctx)
	for _, end := range []func(){b.stop, func() { b.process.Kill() }} {
		end()
		b.start()
		b.waitFor("state-restored 3 connections, 3 calls")
		b.allMoving(ctx, len(clients), before)
	}
	for range clients {
		b.waitFor("(restored)")
	}
	// An ID that only the WAN knows, and a host that has another: one that uses its
	// own ID again would replace its own call.
	owner := before[slices.IndexFunc(before, func(c track.Call) bool { return c.Alias.CallID != callID })]
	taken, from := owner.Alias.CallID, 0
	if owner.PNS.Addr.String() == bridgetest.ClientAddr(0) {
		from = 1
	}
	late := b.dialAll(b.top.Clients[from:from+1], bridgetest.ServerAddr, bridgetest.DialOptions{CallID: &taken, Pings: natPings})
	report, err := late[0].Pinged(ctx)
	if err != nil || report.Answered != natPings.Count {
		t.Errorf("a call after the restarts: %+v, %v", report, err)
	}
	var after []track.Call
	b.ask(&after, "calls")
	b.checkAliases(after)
	for i, c := range clients {
		report, err := c.Hangup(ctx)
		if err != nil || report.Answered == 0 || report.BadFrames != 0 {
			t.Errorf("client %d says %+v, %v", i, report, err)
		}
		t.Logf("%d pings, %d answered, over a reload, a stop and a kill", report.Sent, report.Answered)
	}
	b.stop()
}

// allMoving waits until the box lists so many calls and each carries packets both
// ways, more of them than when it was asked first. Those before keep their names.
func (b *labBox) allMoving(ctx context.Context, n int, before []track.Call) []track.Call {
	b.t.Helper()
	var first []track.Call
	for {
		var calls []track.Call
		if b.ask(&calls, "calls"); len(calls) != n {
			b.t.Fatalf("the box lists %d calls, want %d\nit said: %s", len(calls), n, b.said())
		}
		if first == nil {
			first = calls
		}
		if moving(first, calls) {
			b.sameNames(before, calls)
			return calls
		}
		if ctx.Err() != nil {
			b.t.Fatalf("not all calls carry packets both ways: %+v\nthe box said: %s", calls, b.said())
		}
	}
}

func moving(first, now []track.Call) bool {
	for i := range now {
		if now[i].LANToWAN.Packets < first[i].LANToWAN.Packets+5 || now[i].WANToLAN.Packets < first[i].WANToLAN.Packets+5 {
			return false
		}
	}
	return true
}

func (b *labBox) sameNames(before, now []track.Call) {
	b.t.Helper()
	for i := range before {
		if x, y := before[i], now[i]; x.ID != y.ID || x.PNS != y.PNS || x.PAC != y.PAC || *x.Alias != *y.Alias || x.Control != y.Control {
			b.t.Errorf("call %+v\nis not %+v", y, x)
		}
	}
}
