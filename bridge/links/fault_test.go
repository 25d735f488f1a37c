package links

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

var sides = []track.Side{track.LAN, track.WAN}

// TestFaults lets one thing happen to either side while frames cross both
// ways: they cross again by themselves, with the events that there are, once
// each.
func TestFaults(t *testing.T) {
	down := func(nic string) []string { return []string{"link-down " + nic} }
	anew := func(nic string) []string { return []string{"link-down " + nic, "nic-gone " + nic} }
	tests := []struct {
		name         string
		strike, mend func(l *lab, side track.Side)
		struck       func(nic string) []string
		mended       string // "EVENT NIC", of several
	}{
		{
			"NIC down and up",
			func(l *lab, side track.Side) { l.check(l.top.Box.SetDown(l.nic(side))) },
			func(l *lab, side track.Side) { l.check(l.top.Box.SetUp(l.nic(side))) },
			down, "link-up",
		},
		{
			"cable out and in",
			func(l *lab, side track.Side) { l.check(l.far(side).SetDown(bridgetest.HostNIC)) },
			func(l *lab, side track.Side) { l.check(l.far(side).SetUp(bridgetest.HostNIC)) },
			down, "link-up",
		},
		{
			"NIC removed and made anew",
			func(l *lab, side track.Side) { l.remove(side) },
			func(l *lab, side track.Side) { l.add(side) },
			anew, "nic-back,link-up",
		},
	}
	for _, tt := range tests {
		for _, side := range sides {
			t.Run(tt.name+"/"+side.String(), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, nil)
				l.flows()
				tt.strike(l, side)
				want := tt.struck(l.nic(side))
				l.expect(want...)
				before := l.engine.Stats().Reasons["egress-down"]
				l.waitDrops("egress-down", before+20)
				tt.mend(l, side)
				for event := range strings.SplitSeq(tt.mended, ",") {
					want = append(want, event+" "+l.nic(side))
				}
				l.expect(want...)
				l.flows()
				l.stop()
				l.expect(want...) // and nothing more
			})
		}
	}
}

// waitDrops waits until so many frames were dropped for a reason.
func (l *lab) waitDrops(reason string, n uint64) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); l.engine.Stats().Reasons[reason] < n; pause() {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d frames dropped for %s, want %d", l.engine.Stats().Reasons[reason], reason, n)
		}
	}
}

// TestFlap: no flap is too short for its events, and none for the traffic.
func TestFlap(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	var want []string
	for range 5 {
		l.check(l.top.Box.SetDown(l.nic(track.WAN)))
		l.check(l.top.Box.SetUp(l.nic(track.WAN)))
		want = append(want, "link-down wan", "link-up wan")
	}
	l.expect(want...)
	l.flows()
	for range 3 {
		l.remove(track.WAN)
		l.add(track.WAN)
		want = append(want, "link-down wan", "nic-gone wan", "nic-back wan", "link-up wan")
	}
	l.expect(want...)
	l.flows()
	l.stop()
	l.expect(want...)
}

// TestMTU: a change is followed at once, in both directions of change: frames
// that have become too long drop for that, those that are not any more pass.
func TestMTU(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			nic, sender := l.nic(side), l.hosts[side.Other()]
			sender.length.Store(1450)
			l.flows()
			l.setMTU(side, 1400)
			l.expect("mtu-changed " + nic + " 1400")
			l.waitDrops("egress-mtu", 20)
			if err := sender.reaches(); err != nil { // the other direction
				t.Error(err)
			}
			sender.length.Store(1414)
			l.flows()
			sender.length.Store(1514)
			l.waitDrops("egress-mtu", l.engine.Stats().Reasons["egress-mtu"]+20)
			l.setMTU(side, 1500)
			l.expect("mtu-changed "+nic+" 1400", "mtu-changed "+nic+" 1500")
			l.flows()
			l.stop()
			l.expect("mtu-changed "+nic+" 1400", "mtu-changed "+nic+" 1500")
			if said := strings.Count(l.log.String(), "its MTU is"); said != 1 {
				t.Errorf("that the MTUs differ is said %d times:\n%s", said, l.log.String())
			}
		})
	}
}

// TestReopenings: the NICs are opened again, with OnOpen told of each, and
// leave neither goroutines nor descriptors behind.
func TestReopenings(t *testing.T) {
	const rounds = 3
	l := newLab(t, nil)
	l.flows()
	goroutines, files := 0, 0
	var opened []string
	for _, side := range sides {
		opened = append(opened, fmt.Sprintf("%v %d", side, l.index(side)))
	}
	for round := range rounds {
		for _, side := range sides {
			l.remove(side)
			l.add(side)
			l.flows()
			opened = append(opened, fmt.Sprintf("%v %d", side, l.index(side)))
		}
		if round == 0 {
			goroutines, files = runtime.NumGoroutine(), countFiles(t)
		}
	}
	l.mu.Lock()
	if got := fmt.Sprint(l.opened); got != fmt.Sprint(opened) {
		t.Errorf("OnOpen was told of %v, want %v", got, opened)
	}
	l.mu.Unlock()
	files += 2 * (rounds - 1) // each round leaves the two sockets of the test's own hosts
	for deadline := time.Now().Add(patience); countFiles(t) != files || runtime.NumGoroutine() > goroutines; pause() {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors and %d goroutines, %d and %d before %d rounds",
				countFiles(t), runtime.NumGoroutine(), files, goroutines, rounds-1)
		}
	}
}

func (l *lab) index(side track.Side) int {
	l.t.Helper()
	link, err := l.top.Box.Netlink().LinkByName(l.nic(side))
	l.check(err)
	return link.Attrs().Index
}

// TestUnfit: a NIC that was made anew and is not fit for the box stays out,
// with the reason said once, until it is.
func TestUnfit(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.flows()
	l.remove(track.WAN)
	l.expect("link-down wan", "nic-gone wan")
	l.check(l.top.Lab.Veth(l.far(track.WAN), bridgetest.HostNIC, l.top.Box, "new"))
	l.check(l.top.Box.Address("new", "192.0.2.1/24"))
	for _, args := range [][]string{{"down"}, {"name", "wan"}, {"up"}} {
		if out, err := l.top.Box.Run(t.Context(), "ip", append([]string{"link", "set", "dev", map[bool]string{true: "wan", false: "new"}[args[0] == "up"]}, args...)...); err != nil {
			t.Fatal(out, err)
		}
	}
	l.hosts[track.WAN].open(t)
	l.expect("link-down wan", "nic-gone wan", "nic-back wan", "link-up wan")
	for deadline := time.Now().Add(patience); !strings.Contains(l.log.String(), "192.0.2.1/24"); pause() {
		if time.Now().After(deadline) {
			t.Fatalf("the address is not said:\n%s", l.log.String())
		}
	}
	if l.keeper.Ports(track.WAN)[0].Attached() {
		t.Error("a NIC with an address was opened")
	}
	l.waitDrops("egress-down", l.engine.Stats().Reasons["egress-down"]+3000) // longer than it takes to try again
	if out, err := l.top.Box.Run(t.Context(), "ip", "address", "flush", "dev", "wan"); err != nil {
		t.Fatal(out, err)
	}
	l.flows()
	if n := strings.Count(l.log.String(), "192.0.2.1/24"); n != 1 {
		t.Errorf("the address is said %d times:\n%s", n, l.log.String())
	}
}
