package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// floodFrames is how long floods are: go test ./cmd/grewire -run LabFlood -v -args -flood 1000000
var floodFrames = flag.Int("flood", 100_000, "how many frames of a kind each side sends in the lab test of floods")

// TestLabFlood floods the box from both sides with everything that asks for
// state, beside a real call between pptp and pptpd whose GRE flows both ways
// all the time. The box runs with the limits that are the default.
func TestLabFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	l := startFlood(t)
	l.wave("SYN", floodSYN)
	l.wave("requests of nobody", floodRequests)
	late := l.dial(1) // the floods have left no more than their share of the tables
	l.floodByOne()
	if _, err := late.Pinged(l.ctx); err != nil {
		t.Fatalf("a call dialled behind the floods: %v\n%s", err, late.Log())
	}
	l.fill()
	l.wants(l.wave("GRE of no call", floodGRE), map[string]uint64{"not-negotiated": uint64(*floodFrames)})
	l.wants(l.wave("scan of call IDs", scanIDs), map[string]uint64{"not-negotiated": 2 * (callIDs - 1), "wrong-side": 1})
	l.checkCall()
	l.checkMemory()
	for _, c := range []*bridgetest.Client{l.live, late} {
		if _, err := c.Hangup(l.ctx); err != nil {
			t.Error(err)
		}
	}
	l.stop()
}

// attackHost is the client, counted from 0, from whose host the LAN is
// attacked; client 0 has the live call.
const attackHost = 2

// floodLab is a box with a live call and an attacker on either side of it.
type floodLab struct {
	*labBox
	ctx       context.Context
	client    status.Client
	attackers [2]*attacker         // by the side they are on
	taps      []*bridgetest.GRETap // of the hosts that have calls, the server's first
	live      *bridgetest.Client
	call      track.Call // the live one, as it was before the floods
	carried   [2]uint64  // GRE of the live call, by the side it comes from
	dropped   uint64     // by the kernel, before the floods
}

func startFlood(t *testing.T) *floodLab {
	t.Helper()
	l := &floodLab{labBox: startLab(t, bridgetest.InlineOption{Clients: attackHost + 1})}
	limit := time.Minute + time.Duration(*floodFrames)*time.Millisecond // far more than they take
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	l.ctx, l.client = ctx, status.Client{Socket: l.socket}
	if _, err := bridgetest.StartServer(l.top.Server); err != nil {
		t.Fatal(err)
	}
	l.tap(l.top.Server)
	l.live = l.dial(0)
	if _, err := l.live.Ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, l.live.Log())
	}
	l.waitFor("call-active")
	l.call = l.callOf(0)
	seed := rand.Uint64()
	l.attackers[track.LAN] = l.attack(track.LAN, l.top.Clients[attackHost], l.top.Server, seed)
	l.attackers[track.WAN] = l.attack(track.WAN, l.top.Server, l.top.Clients[0], seed)
	var err error
	if l.dropped, err = l.top.Lab.Dropped(); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d; the box has taken %s before the floods", seed, mebibytes(l.peak()))
	return l
}

// dial starts a call; the live one pings without end.
func (l *floodLab) dial(client int) *bridgetest.Client {
	l.t.Helper()
	ns, pings := l.top.Clients[client], bridgetest.Pings{Count: 10, Interval: 10 * time.Millisecond}
	if client == 0 {
		pings = bridgetest.Pings{Count: -1, Sizes: []int{0, 56}, Interval: 20 * time.Millisecond}
	}
	l.tap(ns)
	c, err := bridgetest.Dial(ns, bridgetest.ServerAddr, bridgetest.DialOptions{Pings: pings})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func (l *floodLab) tap(ns *bridgetest.Namespace) {
	l.t.Helper()
	tap, err := ns.TapGRE(bridgetest.HostNIC)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { tap.Close() })
	l.taps = append(l.taps, tap)
}

// said is the end of the box's log, which a flood makes long.
func (l *floodLab) said() string {
	const enough = 4000
	log := l.process.Output()
	return log[max(0, len(log)-enough):]
}

// get asks the box for a path of its control socket.
func (l *floodLab) get(path string, into any) {
	l.t.Helper()
	if err := l.client.Get(l.ctx, path, into); err != nil {
		l.t.Fatalf("%v\nthe box said: %s", err, l.said())
	}
}

// callOf returns the call of a client, which must be active and its only one.
func (l *floodLab) callOf(client int) track.Call {
	l.t.Helper()
	var calls []track.Call
	l.get("/calls", &calls)
	calls = slices.DeleteFunc(calls, func(c track.Call) bool { return c.PNS.Addr.String() != bridgetest.ClientAddr(client) })
	if len(calls) != 1 || calls[0].State != track.CallActive {
		l.t.Fatalf("the calls of client %d are %+v, want an active one", client, calls)
	}
	return calls[0]
}

// lost returns how many frames the kernel has dropped on the veth pairs since
// the floods began.
func (l *floodLab) lost() (uint64, error) {
	n, err := l.top.Lab.Dropped()
	return n - l.dropped, err
}

// reasons returns what the box has counted of a side, without what real hosts
// send all the time: GRE of calls, and what is no PPTP.
func (l *floodLab) reasons(side track.Side) (map[string]uint64, error) {
	var s boxStats
	if err := l.client.Get(l.ctx, "/stats", &s); err != nil {
		return nil, err
	}
	reasons := s.Sides[side.String()].Reasons
	delete(reasons, track.ReasonCall.String())
	delete(reasons, track.ReasonOther.String())
	return reasons, nil
}

func total(reasons map[string]uint64) (sum uint64) {
	for _, n := range reasons {
		sum += n
	}
	return sum
}

// wave floods from both sides at once and returns what the box counted of it,
// by side.
func (l *floodLab) wave(name string, shoot func(*attacker) error) [2]map[string]uint64 {
	l.t.Helper()
	return l.flood(name, func() (uint64, error) {
		var group errgroup.Group
		for _, a := range l.attackers {
			group.Go(func() error { return errors.Join(shoot(a), a.drain()) })
		}
		err := group.Wait()
		return l.attackers[track.LAN].sent + l.attackers[track.WAN].sent, err
	})
}

// flood runs a flood that sends so many frames or messages, checks that the
// live call went on meanwhile, and returns what the box counted, by side.
func (l *floodLab) flood(name string, run func() (sent uint64, err error)) (counted [2]map[string]uint64) {
	l.t.Helper()
	for _, a := range l.attackers {
		var err error
		if a.before, err = l.reasons(a.side); err != nil {
			l.t.Fatal(err)
		}
		a.sent, a.seen, a.ofCall = 0, 0, 0
	}
	started := time.Now()
	sent, err := run()
	if err != nil {
		l.t.Fatalf("%s: %v\nthe box said: %s", name, err, l.said())
	}
	took := time.Since(started).Seconds()
	for side, a := range l.attackers {
		if counted[side], err = l.reasons(a.side); err != nil {
			l.t.Fatal(err)
		}
		for reason, n := range a.before {
			counted[side][reason] -= n
		}
		maps.DeleteFunc(counted[side], func(_ string, n uint64) bool { return n == 0 })
	}
	l.t.Logf("%s: %d in %.1f s, %.0f a second, beside %v packets of the call; lan %v; wan %v; the box has taken %s",
		name, sent, took, float64(sent)/took, l.carriedMeanwhile(name), counted[track.LAN], counted[track.WAN], mebibytes(l.peak()))
	return counted
}

// wants checks what the box counted of a flood of GRE on each side.
func (l *floodLab) wants(counted [2]map[string]uint64, want map[string]uint64) {
	l.t.Helper()
	gone, err := l.lost()
	if err != nil {
		l.t.Fatal(err)
	}
	for side, got := range counted {
		delete(got, track.ReasonControl.String()) // the live call's
		missing := uint64(0)
		for reason, n := range want {
			missing += n - min(n, got[reason])
		}
		if total(got)+missing != total(want) || missing > gone {
			l.t.Errorf("%s: the box counts %v, want %v; the kernel has dropped %d frames on their way", track.Side(side), got, want, gone)
		}
	}
}

// floodByOne has one real client ask for calls without end, on a connection
// that it opened with a real server on the LAN.
func (l *floodLab) floodByOne() {
	l.t.Helper()
	client, server, err := l.connect()
	if err != nil {
		l.t.Fatal(err)
	}
	l.flood("requests of one client", func() (uint64, error) {
		var group errgroup.Group
		group.Go(func() error { return askForCalls(client, *floodFrames) })
		group.Go(func() error { return takeRequests(server, *floodFrames) })
		return uint64(*floodFrames), group.Wait()
	})
	most := config.Default().Limits.CallsPerConnection // those that wait to be agreed count, too
	var calls []track.Call
	l.get("/calls", &calls)
	port := client.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	calls = slices.DeleteFunc(calls, func(c track.Call) bool { return c.Control.WANPort != port })
	if len(calls) == 0 || len(calls) > most {
		l.t.Errorf("%d calls of the client wait to be agreed, want 1 to %d", len(calls), most)
	}
	client.Close()
	server.Close()
}

// fill has both attackers agree calls with each other until the tables have no
// room for more, and then reset their connections.
func (l *floodLab) fill() {
	l.t.Helper()
	limits := config.Default().Limits
	dialogs := make([]*dialog, limits.Connections+limits.Connections/16)
	for i := range dialogs {
		dialogs[i] = l.attackers[track.LAN].dialog(l.attackers[track.WAN].stranger())
	}
	l.flood("calls agreed with an accomplice", func() (sent uint64, err error) {
		for some := range slices.Chunk(dialogs, 1024) {
			if err := l.agree(some, limits.Calls/limits.Connections+1); err != nil {
				return 0, err
			}
		}
		l.checkFull()
		err = l.say(dialogs, track.LAN, wire.RST|wire.ACK)
		return l.attackers[track.LAN].sent + l.attackers[track.WAN].sent, err
	})
}

func (l *floodLab) checkFull() {
	l.t.Helper()
	var s boxStats
	l.get("/stats", &s)
	for _, limit := range []string{"connections", "calls"} {
		if use := s.Limits[limit]; use.Used != use.Limit {
			l.t.Errorf("limits.%s: %d of %d are used, want all", limit, use.Used, use.Limit)
		}
	}
}

// The numbers of the taps.
const (
	serverTap = iota
	liveTap
	lateTap
)

// flows returns what a tap has seen.
func (l *floodLab) flows(tap int) map[bridgetest.GREFlow]uint64 {
	l.t.Helper()
	flows, err := l.taps[tap].Flows()
	if err != nil {
		l.t.Fatal(err)
	}
	return flows
}

// received returns how much GRE a tap has seen come, and of which kinds.
func received(flows map[bridgetest.GREFlow]uint64) (sum uint64, kinds []bridgetest.GREFlow) {
	for flow, n := range flows {
		if !flow.Sent {
			sum, kinds = sum+n, append(kinds, flow)
		}
	}
	return sum, kinds
}

// greTo is the GRE of a call that one of its ends receives from the other.
func greTo(to, from track.Party) bridgetest.GREFlow {
	return bridgetest.GREFlow{Src: from.Addr, Dst: to.Addr, Version: 1, CallID: to.CallID}
}

// books are the packets of the live call, by the side that they come from.
type books struct {
	sent, arrived [2]uint64 // at its ends
	counted       [2]uint64 // by the box
}

// look reads the taps of the live call's ends.
func (l *floodLab) look() (b books) {
	l.t.Helper()
	client, server := l.flows(liveTap), l.flows(serverTap)
	for side, flow := range [...]bridgetest.GREFlow{track.LAN: greTo(l.call.PAC, l.call.PNS), track.WAN: greTo(l.call.PNS, l.call.PAC)} {
		here, there := client, server
		if side == int(track.WAN) {
			here, there = server, client
		}
		b.arrived[side] = there[flow]
		flow.Sent = true
		b.sent[side] = here[flow]
	}
	return b
}

// carriedMeanwhile returns how much GRE of the live call has arrived since it
// was last asked. There must be some both ways.
func (l *floodLab) carriedMeanwhile(name string) (carried [2]uint64) {
	l.t.Helper()
	now := l.look().arrived
	for side := range now {
		if carried[side] = now[side] - l.carried[side]; carried[side] == 0 {
			l.t.Errorf("%s: no GRE of the live call came from the %s meanwhile", name, track.Side(side))
		}
	}
	l.carried = now
	return carried
}

// checkCall pauses the live call and checks that the box has lost none of it,
// and let no GRE pass but that of calls.
func (l *floodLab) checkCall() {
	l.t.Helper()
	if err := l.live.Pause(); err != nil {
		l.t.Fatal(err)
	}
	gone, err := l.lost()
	if err != nil {
		l.t.Fatal(err)
	}
	var b books
	l.until(func() error {
		b = l.look()
		call := l.callOf(0)
		b.counted = [2]uint64{call.LANToWAN.Packets, call.WANToLAN.Packets}
		return b.check(gone)
	})
	calls := [...]track.Call{l.callOf(0), l.callOf(1)}
	if gone == 0 && calls[0].Lost != 0 {
		l.t.Errorf("%d packets of the live call are missing by its sequence numbers", calls[0].Lost)
	}
	l.checkKinds(calls[0], calls[1])
	l.until(func() error { return l.checkTotals(gone) })
	l.t.Logf("the live call: %v packets sent and %d forged each way, %v counted by the box, %v arrived; the kernel dropped %d of all frames",
		b.sent, forged, b.counted, b.arrived, gone)
	if err := l.live.Resume(); err != nil {
		l.t.Fatal(err)
	}
}

// checkKinds checks that the taps have received no GRE but that of the calls.
func (l *floodLab) checkKinds(live, late track.Call) {
	l.t.Helper()
	for tap, want := range [...][]bridgetest.GREFlow{
		serverTap: {greTo(live.PAC, live.PNS), greTo(late.PAC, late.PNS)},
		liveTap:   {greTo(live.PNS, live.PAC)},
		lateTap:   {greTo(late.PNS, late.PAC)},
	} {
		_, kinds := received(l.flows(tap))
		for _, got := range kinds {
			if !slices.Contains(want, got) {
				l.t.Errorf("GRE of no call has passed: %+v", got)
			}
		}
	}
}

// forged is how much GRE of the live call scanIDs sends from each side.
const forged = 1

// check tells what became of the packets: those that the kernel has dropped on
// the veth pairs are no loss of the box's.
func (b *books) check(gone uint64) error {
	for side := range b.sent {
		before := int64(b.sent[side] + forged - b.counted[side])
		behind := int64(b.counted[side] - b.arrived[side])
		if min(before, behind) < 0 || max(before, behind) > int64(gone) {
			return fmt.Errorf("from the %s: %d packets sent and %d forged, %d counted by the box, %d arrived; the kernel has dropped %d frames in all",
				track.Side(side), b.sent[side], forged, b.counted[side], b.arrived[side], gone)
		}
	}
	return nil
}

// checkTotals compares the box's counters with each other and with what the
// taps have seen.
func (l *floodLab) checkTotals(gone uint64) error {
	var s boxStats
	l.get("/stats", &s)
	var arrived [2]uint64
	for tap, from := range [...]track.Side{serverTap: track.LAN, liveTap: track.WAN, lateTap: track.WAN} {
		n, _ := received(l.flows(tap))
		arrived[from] += n
	}
	for i, n := range arrived {
		from := track.Side(i)
		side, in, out := s.Sides[from.String()], s.Ports[from.String()], s.Ports[from.Other().String()]
		passed := side.Reasons[track.ReasonCall.String()]
		switch {
		case in.KernelDrops != 0:
			return fmt.Errorf("%s: the box's socket has overflown by %d frames, although the floods wait for the box", from, in.KernelDrops)
		case in.Received != side.Frames || out.Sent != side.Forwarded || side.Forwarded+side.Dropped != side.Frames || total(side.Reasons) != side.Frames:
			return fmt.Errorf("the counters of the %s do not add up: %+v, %+v, sent %d", from, side, in, out.Sent)
		case passed < n || passed-n > gone:
			return fmt.Errorf("%s: the box let %d GRE packets of calls pass, %d arrived", from, passed, n)
		}
	}
	return nil
}

// until tries until there is no error any more, or time is over. Every try
// asks the box.
func (l *floodLab) until(try func() error) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%v\nthe box said: %s", err, l.said())
		}
	}
}
