package links

import (
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

func propagating(o *Options) { o.Propagate = true }

// TestPropagate: whatever takes one side's link away takes the other side
// down, so that the host there notices, and back.
func TestPropagate(t *testing.T) {
	tests := []struct {
		name         string
		strike, mend func(l *lab, side track.Side)
		gone         bool
	}{
		{"cable", func(l *lab, side track.Side) { l.check(l.far(side).SetDown(bridgetest.HostNIC)) },
			func(l *lab, side track.Side) { l.check(l.far(side).SetUp(bridgetest.HostNIC)) }, false},
		{"set down", func(l *lab, side track.Side) { l.check(l.top.Box.SetDown(l.nic(side))) },
			func(l *lab, side track.Side) { l.check(l.top.Box.SetUp(l.nic(side))) }, false},
		{"removed", func(l *lab, side track.Side) { l.remove(side) }, func(l *lab, side track.Side) { l.add(side) }, true},
	}
	for _, tt := range tests {
		for _, side := range sides {
			t.Run(tt.name+"/"+side.String(), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, propagating)
				l.flows()
				tt.strike(l, side)
				this, other := l.nic(side), l.nic(side.Other())
				l.hosts[side.Other()].waitLink(t, false)
				if s := l.state(other); s.Up || !s.LeftDown {
					t.Errorf("%s is %+v, want it taken down", other, s)
				}
				tt.mend(l, side)
				l.flows()
				if s := l.state(other); !s.Up || s.LeftDown {
					t.Errorf("%s is %+v, want it up", other, s)
				}
				l.stop()
				want := []string{"link-down " + this, "link-down " + other, "link-up " + this, "link-up " + other}
				if tt.gone {
					want = append(want, "nic-gone "+this, "nic-back "+this)
				}
				l.expectAll(want)
			})
		}
	}
}

// waitLink waits until the host's own NIC has a link, or has none.
func (h *host) waitLink(t *testing.T, want bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; pause() {
		link, err := h.ns.Netlink().LinkByName(bridgetest.HostNIC)
		if err != nil {
			t.Fatal(err)
		}
		if (link.Attrs().OperState == netlink.OperUp) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the link of %v is %v", h.ns, link.Attrs().OperState)
		}
	}
}

// state is how a NIC of the box is.
func (l *lab) state(name string) (s nic.State) {
	l.t.Helper()
	l.check(l.top.Box.Do(func() error {
		links, err := nic.NewLinks()
		if err != nil {
			return err
		}
		defer links.Close()
		s, err = links.ByName(name)
		return err
	}))
	return s
}

// expectAll checks that these were the events, in any order.
func (l *lab) expectAll(want []string) {
	l.t.Helper()
	l.mu.Lock()
	got := slices.Sorted(slices.Values(l.events))
	l.mu.Unlock()
	if want := slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		l.t.Errorf("events %q, want %q\n%s", got, want, l.log.String())
	}
}

// TestPropagateBothCables pulls both cables, in every order, and finds both
// sides up when both are in again.
func TestPropagateBothCables(t *testing.T) {
	for _, first := range sides {
		for _, back := range sides {
			t.Run(first.String()+" out, "+back.String()+" in first", func(t *testing.T) {
				t.Parallel()
				l := newLab(t, func(o *Options) { o.Propagate, o.Settle = true, time.Second })
				l.flows()
				second := first.Other()
				l.check(l.far(first).SetDown(bridgetest.HostNIC))
				l.hosts[second].waitLink(t, false)
				l.check(l.far(second).SetDown(bridgetest.HostNIC))
				l.check(l.far(back).SetUp(bridgetest.HostNIC))
				if back == first { // it is found that the other's cable is out as well
					l.waitState(second, func(s nic.State) bool { return s.Up && !s.LeftDown })
					l.waitState(first, func(s nic.State) bool { return !s.Up && s.LeftDown })
				}
				l.check(l.far(back.Other()).SetUp(bridgetest.HostNIC))
				l.flows()
				for _, side := range sides {
					if s := l.state(l.nic(side)); !s.Running || s.LeftDown {
						t.Errorf("%v is %+v", side, s)
					}
				}
			})
		}
	}
}

func (l *lab) waitState(side track.Side, is func(nic.State) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; pause() {
		s := l.state(l.nic(side))
		if is(s) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%v is %+v\n%s", side, s, l.log.String())
		}
	}
}

// TestPropagateStop: a box that stops leaves nothing down.
func TestPropagateStop(t *testing.T) {
	t.Parallel()
	l := newLab(t, propagating)
	l.flows()
	l.check(l.far(track.WAN).SetDown(bridgetest.HostNIC))
	l.hosts[track.LAN].waitLink(t, false)
	l.stop()
	if s := l.state(bridgetest.LANNIC); !s.Up || s.LeftDown {
		t.Errorf("lan is %+v after the stop", s)
	}
	l.hosts[track.LAN].waitLink(t, true)
}

// TestPropagateAfterKill: a box that starts brings up what another left down,
// whether it propagates itself or not, and nothing else.
func TestPropagateAfterKill(t *testing.T) {
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	err = top.Box.Do(func() error {
		links, err := nic.NewLinks()
		if err != nil {
			return err
		}
		defer links.Close()
		lan, err := links.ByName(bridgetest.LANNIC)
		if err != nil {
			return err
		}
		if err := links.TakeDown(lan.Index); err != nil {
			return err
		}
		return top.Box.SetDown(bridgetest.WANNIC) // by an operator
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, top: top, more: make(chan struct{})}
	var k *Keeper
	l.check(top.Box.Do(func() (err error) { k, err = New(l.options()); return err }))
	if lan, wan := l.state(bridgetest.LANNIC), l.state(bridgetest.WANNIC); !lan.Up || lan.LeftDown || wan.Up {
		t.Errorf("lan is %+v, wan is %+v", lan, wan)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}
