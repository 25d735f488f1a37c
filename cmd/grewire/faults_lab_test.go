package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// faultsFor is how long TestLabFaults breaks things:
//
//	go test ./cmd/grewire -run TestLabFaults -v -timeout 20m -args -faults 10m -faultseed 1
var (
	faultsFor = flag.Duration("faults", 20*time.Second, "how long the fault run breaks things")
	faultSeed = flag.Uint64("faultseed", 0, "seed of the fault run; 0: a new one each time")
)

// faultLab is a box that everything happens to, while real calls and numbered
// datagrams cross it:
//
//	client1 --+                                              +-- server
//	client2 --+-- switch --- lan|box|wan --- wan switch -----+
//	client3 --+
//
// Only what touches the box is ever broken, so that the hosts keep their
// addresses and see no more of it than lost frames.
type faultLab struct {
	workers int // of the box, in each direction
	*labBox
	random   *rand.Rand
	switches [2]*bridgetest.Namespace
	wires    [2]wireState
	box      boxState
	forced   bool           // by "bypass on"
	done     map[string]int // faults, by their name
	journal  []journalEntry
	callers  []*caller
	streams  [2]*bridgetest.Stream
	total    faultTotals
}

// faultTotals are figures of all lives of the box.
type faultTotals struct {
	lives, healed int
	frames        uint64
	collections   int    // of the heap
	alive         uint64 // MiB at one of them, at most
	reasons       map[string]uint64
	events        map[string]int
}

// wireState is how the wire of a side is.
type wireState int

const (
	wireWhole   wireState = iota
	cablePulled           // no carrier: the far end is down
	nicDown
	nicGone
)

// boxState is how the box is.
type boxState int

const (
	boxRuns boxState = iota
	boxStopped
	boxDead
)

const (
	boxPort    = "box"  // of either switch
	uplinkPort = "host" // of the WAN switch
	bridgeNIC  = "br0"
)

var boxNICs = [2]string{track.LAN: bridgetest.LANNIC, track.WAN: bridgetest.WANNIC}

func newFaultLab(t *testing.T, random *rand.Rand) *faultLab {
	t.Helper()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, "")
	propagates, workers := random.IntN(2) == 0, 1+random.IntN(2)
	b.bridge = fmt.Sprintf("fail = \"open\"\nlink_propagation = %v\nworkers = %d\n", propagates, workers)
	t.Log(b.bridge)
	b.state = filepath.Join(b.top.Lab.Dir(), "state")
	l := &faultLab{labBox: b, random: random, workers: workers, done: make(map[string]int)}
	l.total.reasons, l.total.events = make(map[string]uint64), make(map[string]int)
	l.switches[track.LAN] = b.top.Switch
	if err := l.addWANSwitch(); err != nil {
		t.Fatal(err)
	}
	l.configure(goodConfig)
	return l
}

// addWANSwitch puts a switch between the box and the server.
func (l *faultLab) addWANSwitch() error {
	ns, err := l.top.Lab.Namespace("wanswitch")
	if err != nil {
		return err
	}
	l.switches[track.WAN] = ns
	return errors.Join(
		l.top.Box.Delete(bridgetest.WANNIC), // and the server's, with it
		l.top.Lab.Veth(ns, boxPort, l.top.Box, bridgetest.WANNIC),
		l.top.Lab.Veth(l.top.Server, bridgetest.HostNIC, ns, uplinkPort),
		l.top.Server.Address(bridgetest.HostNIC, bridgetest.ServerAddr+"/24"),
		ns.Bridge(bridgeNIC, boxPort, uplinkPort),
	)
}

// TestLabFaults breaks links, NICs, the box and its configuration at random
// while calls and datagrams cross it. Whatever happens, once all is mended
// frames cross again, every call that its ends believe in carries GRE both
// ways, and nothing is left over.
func TestLabFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	seed := *faultSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, for %v", seed, *faultsFor)
	l := newFaultLab(t, rand.New(rand.NewPCG(seed, 0)))
	defer func() {
		if t.Failed() {
			t.Logf("the last faults: %s", l.around(time.Now()))
		}
	}()
	l.startBox()
	l.startTraffic()
	l.breakThings(*faultsFor/2, true)
	// One life through the other half: what it leaves behind would add up.
	grown := l.footprint()
	l.breakThings(*faultsFor/2, false)
	l.heal()
	l.checkCalls()
	l.endTraffic()
	l.checkLeftovers(grown)
	l.report()
}

// breakThings does a fault, or mends one, at random times until the run is
// over. With ends the box is ended and killed, too.
func (l *faultLab) breakThings(lasts time.Duration, ends bool) {
	l.t.Helper()
	const mostPause, healEvery = 500 * time.Millisecond, 12
	over := time.After(lasts)
	for n := 1; ; n++ {
		pause := time.NewTimer(time.Duration(l.random.Int64N(int64(mostPause))))
		select {
		case <-over:
			pause.Stop()
			l.heal()
			return
		case <-pause.C: // the pace of faults, not a wait for something
		}
		if n%healEvery == 0 {
			l.heal()
			continue
		}
		l.step(ends)
	}
}

// step does one of what is possible now. What is broken is mended more often
// than something else is broken.
func (l *faultLab) step(ends bool) {
	l.t.Helper()
	possible := l.breaks(ends)
	if mends := l.mends(); len(mends) > 0 && l.random.IntN(5) < 3 {
		possible = mends
	}
	l.do(possible[l.random.IntN(len(possible))])
}

func (l *faultLab) do(f fault) {
	l.t.Helper()
	l.done[f.name]++
	l.journal = append(l.journal, journalEntry{began: time.Now(), name: f.name})
	defer func(n int) { l.journal[n].ended = time.Now() }(len(l.journal) - 1)
	f.do()
}

// journalEntry says when a fault was done.
type journalEntry struct {
	began, ended time.Time
	name         string
}

// around is what was done shortly before a time, and right after it.
func (l *faultLab) around(at time.Time) string {
	var text strings.Builder
	for _, e := range l.journal {
		if e.ended.After(at.Add(-5*time.Second)) && e.began.Before(at.Add(200*time.Millisecond)) {
			fmt.Fprintf(&text, "%s from %v to %v; ", e.name, e.began.Sub(at).Round(time.Millisecond), e.ended.Sub(at).Round(time.Millisecond))
		}
	}
	return text.String()
}

// misplaced says of every run of datagrams that came twice or late what was
// done around it.
func (l *faultLab) misplaced(r *bridgetest.StreamResult) {
	var last time.Time
	seen, highest := make(map[uint32]time.Time), int64(-1)
	for _, a := range r.Arrivals {
		first, twice := seen[a.Number]
		if late := int64(a.Number) < highest; (twice || late) && a.At.Sub(last) > 100*time.Millisecond {
			l.t.Logf("%v: datagram %d, highest %d, first at %v: %s", a.At.UTC(), a.Number, highest, first.UTC(), l.around(a.At))
		}
		if twice || int64(a.Number) < highest {
			last = a.At
		}
		seen[a.Number], highest = a.At, max(highest, int64(a.Number))
	}
}

// heal mends all that is broken and waits until frames cross both ways.
func (l *faultLab) heal() {
	l.t.Helper()
	for mends := l.mends(); len(mends) > 0; mends = l.mends() {
		l.do(mends[l.random.IntN(len(mends))])
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	for _, s := range l.streams {
		if _, err := s.Wait(ctx, 50); err != nil {
			l.t.Fatalf("nothing crosses though all is whole: %v\n%s\nthe box said: %s", err, l.situation(), l.process.Output())
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		l.t.Errorf("it took %v until frames crossed again\nthe box said: %s", took, l.process.Output())
	}
	l.total.healed++
}

// situation is what the machine and the box say when something is wrong.
func (l *faultLab) situation() string {
	nics, _ := l.top.Box.Run(l.t.Context(), "ip", "-d", "link")
	past, _ := l.top.Box.Run(l.t.Context(), l.binary, "bypass", "status", "-config", l.config)
	stats, _ := l.top.Box.Run(l.t.Context(), l.binary, "stats", "-socket", l.socket)
	return nics + past + stats
}

// startTraffic starts a server, clients that call it again and again, and a
// stream of datagrams each way.
func (l *faultLab) startTraffic() {
	l.t.Helper()
	const pace = time.Millisecond
	if _, err := bridgetest.StartServer(l.top.Server); err != nil {
		l.t.Fatal(err)
	}
	var err error
	if l.streams[0], err = bridgetest.StartStream(l.top.Client, l.top.Server, bridgetest.ServerAddr, 4000, pace); err == nil {
		l.streams[1], err = bridgetest.StartStream(l.top.Server, l.top.Client, bridgetest.ClientAddr(0), 4000, pace)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	for i, ns := range l.top.Clients {
		c := newCaller(l.t, ns, bridgetest.ClientAddr(i), rand.New(rand.NewPCG(l.random.Uint64(), 0)))
		l.callers = append(l.callers, c)
	}
	l.heal()
	l.total.healed = 0
}

// endTraffic hangs up, waits until the box has no calls, and checks the
// streams: nothing may ever come twice or behind a later one.
func (l *faultLab) endTraffic() {
	l.t.Helper()
	for _, c := range l.callers {
		c.stop()
	}
	for side, s := range l.streams {
		r, err := s.Stop()
		if err != nil {
			l.t.Error(err)
		}
		l.t.Logf("from %s: %d datagrams sent, %d lost, %d twice, %d late", sideNames[side], r.Sent, r.Lost(), r.Duplicates, r.Late)
		if r.Duplicates != 0 || r.Late != 0 {
			l.misplaced(&r)
			l.t.Errorf("from %s: %d datagrams came twice, %d late", sideNames[side], r.Duplicates, r.Late)
		}
	}
}

// checkCalls: every call that both ends believe in is listed and carries GRE
// both ways, as pings in it are answered.
func (l *faultLab) checkCalls() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	for _, c := range l.callers {
		c.stay()
	}
	for _, c := range l.callers {
		id, answered, err := c.pings(ctx, 20)
		if err != nil {
			l.t.Errorf("the call of %s: %v\n%s\nthe box said: %s", c.addr, err, l.calls(), l.process.Output())
			continue
		}
		l.t.Logf("%s: %d calls, %d came up, %d kept over faults; now call ID %d, %d pings answered", c.addr, c.dialled.Load(), c.up.Load(), c.kept.Load(), id, answered)
		if !l.lists(c.addr, id) {
			l.t.Errorf("the call %s#%d is not listed:\n%s\nthe box said: %s", c.addr, id, l.calls(), l.process.Output())
		}
	}
}

func (l *faultLab) calls() string {
	out, _ := l.top.Box.Run(l.t.Context(), l.binary, "calls", "-socket", l.socket)
	return out
}

// lists reports whether the box lists an active call with an end. Which end is
// the PNS the box may have guessed.
func (l *faultLab) lists(addr string, id uint16) bool {
	l.t.Helper()
	var calls []track.Call
	l.ask(&calls, "calls")
	return slices.ContainsFunc(calls, func(c track.Call) bool {
		return c.State == track.CallActive && (c.PNS.Addr.String() == addr && c.PNS.CallID == id || c.PAC.Addr.String() == addr && c.PAC.CallID == id)
	})
}

// report prints the figures of the run.
func (l *faultLab) report() {
	var all []string
	sum := 0
	for _, name := range slices.Sorted(maps.Keys(l.done)) {
		all, sum = append(all, fmt.Sprintf("%d %s", l.done[name], name)), sum+l.done[name]
	}
	l.t.Logf("%d faults and mends: %s", sum, strings.Join(all, ", "))
	l.t.Logf("%d lives of the box, mended %d times; %d frames: %v", l.total.lives, l.total.healed, l.total.frames, l.total.reasons)
	l.t.Logf("events: %v; %d MiB of the heap alive at most, in %d collections", l.total.events, l.total.alive, l.total.collections)
}
