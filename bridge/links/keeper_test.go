package links

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

// follow runs the Keeper alone.
func (l *fakeLab) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	l.running.Go(func() {
		if err := l.keeper.Run(ctx); err != nil {
			l.t.Errorf("Run: %v", err)
		}
	})
	l.cancel = cancel
	l.t.Cleanup(l.end)
}

func (l *fakeLab) end() {
	if l.cancel == nil {
		return
	}
	l.cancel()
	l.cancel = nil
	l.running.Wait()
	if err := l.keeper.Close(); err != nil {
		l.t.Error(err)
	}
	if got := claimed(l.system); got != "map[lan:0 wan:0]" || !l.system.closed {
		l.t.Errorf("closed: claims %v, system closed %v", got, l.system.closed)
	}
}

// TestKeeperRefusals: what keeps a box from starting leaves nothing open.
func TestKeeperRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(l *fakeLab, o *Options)
	}{
		{"no watch", func(l *fakeLab, _ *Options) { l.system.noWatch = errRefused }},
		{"claimed by another", func(l *fakeLab, _ *Options) { l.system.noClaim = errRefused }},
		{"no socket", func(_ *fakeLab, o *Options) { o.Open = func(string) ([]Port, error) { return nil, errRefused } }},
		{"no socket on the second", func(_ *fakeLab, o *Options) {
			open := o.Open
			o.Open = func(name string) ([]Port, error) {
				if name == "wan" {
					return nil, errRefused
				}
				return open(name)
			}
		}},
		{"OnClaim", func(_ *fakeLab, o *Options) { o.OnClaim = func() error { return errRefused } }},
		{"OnOpen", func(_ *fakeLab, o *Options) { o.OnOpen = func(track.Side, int) error { return errRefused } }},
		{"left down, and cannot be brought up", func(l *fakeLab, _ *Options) {
			l.system.nics["lan"] = nic.State{Index: 1, Name: "lan", LeftDown: true}
			l.system.noChange = errRefused
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newFakeLab(t)
			o := l.options()
			tt.change(l, &o)
			if _, err := New(o); !errors.Is(err, errRefused) {
				t.Errorf("got %v", err)
			}
			for name, n := range l.system.claims {
				if n != 0 {
					t.Errorf("%s is still claimed", name)
				}
			}
			l.ports.Range(func(name, port any) bool {
				if port.(*memory).closings() != 1 {
					t.Errorf("the port of %s is closed %d times", name, port.(*memory).closings())
				}
				return true
			})
			if !l.system.closed {
				t.Error("the system is not closed")
			}
		})
	}
}

// secondTaken is a system whose WAN NIC is another box's.
type secondTaken struct{ *fakeSystem }

func (s secondTaken) Claim(name string) (func() error, error) {
	if name == "wan" {
		return nil, errRefused
	}
	return s.fakeSystem.Claim(name)
}

// TestKeeperOfAnotherBox: a box that is refused, since another one has a NIC,
// leaves both as they are: nothing is opened, and what that one took down stays
// down.
func TestKeeperOfAnotherBox(t *testing.T) {
	l := newFakeLab(t)
	l.system.nics["lan"] = nic.State{Index: 1, Name: "lan", LeftDown: true}
	o := l.options()
	o.System = secondTaken{l.system}
	o.OnClaim = func() error { t.Error("OnClaim is called"); return nil }
	o.Open = func(name string) ([]Port, error) { t.Errorf("%s is opened", name); return nil, errRefused }
	if _, err := New(o); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
	if s := l.system.nics["lan"]; s.Up || l.system.claims["lan"] != 0 {
		t.Errorf("lan is %+v, claimed %d times", s, l.system.claims["lan"])
	}
}

// TestKeeperLRO: LRO is turned off at the start and on NICs made anew, and
// restored at the end where it was on.
func TestKeeperLRO(t *testing.T) {
	on := func() map[string]nic.Feature { return map[string]nic.Feature{"rx-lro": {On: true, Wanted: true}} }
	off := func() map[string]nic.Feature { return map[string]nic.Feature{"rx-lro": {}} }
	lro := func(l *fakeLab, name string) bool { return l.system.features[name]["rx-lro"].On }
	l := newFakeLab(t)
	l.system.features["lan"], l.system.features["wan"] = on(), off()
	l.run(l.options())
	l.wait("LRO off", func() bool { return !lro(l, "lan") && !lro(l, "wan") })
	l.system.remove("wan", true)
	l.expect("link-down wan", "nic-gone wan")
	l.system.set(func() { l.system.features["wan"] = on() })
	l.system.change(stateOf("wan", 3))
	l.wait("LRO off on the new NIC", func() bool { return !lro(l, "wan") })
	l.wait("the new NIC open", l.attached(track.WAN))
	l.end()
	if !lro(l, "lan") || !lro(l, "wan") {
		t.Errorf("LRO at the end: lan %v, wan %v, want it as it was", lro(l, "lan"), lro(l, "wan"))
	}
}

// TestKeeperLROStaysOff: what was off before is off after, and a NIC that was
// replaced is not touched for its predecessor's sake.
func TestKeeperLROStaysOff(t *testing.T) {
	l := newFakeLab(t)
	l.system.features["lan"] = map[string]nic.Feature{"rx-lro": {}}
	l.system.features["wan"] = map[string]nic.Feature{"rx-lro": {On: true}}
	l.run(l.options())
	l.system.remove("wan", true)
	l.system.set(func() { l.system.features["wan"] = map[string]nic.Feature{"rx-lro": {}} })
	l.system.change(stateOf("wan", 3))
	l.expect("link-down wan", "nic-gone wan", "nic-back wan", "link-up wan")
	l.wait("the new NIC open", l.attached(track.WAN))
	l.end()
	if l.system.features["lan"]["rx-lro"].On || l.system.features["wan"]["rx-lro"].On {
		t.Errorf("LRO was turned on: %v", l.system.features)
	}
}

// TestKeeperMissedMessages: after the kernel had no room for messages, all
// that happened is found out.
func TestKeeperMissedMessages(t *testing.T) {
	l := newFakeLab(t)
	l.run(l.options())
	old := l.port("wan")
	l.system.remove("wan", false)
	l.system.set(func() {
		l.system.nics["wan"] = nic.State{Index: 7, Name: "wan", Up: true, Running: true, MTU: 1400}
		lan := l.system.nics["lan"]
		lan.Running = false
		l.system.nics["lan"] = lan
		close(l.system.watch.changes)
	})
	l.expect("link-down lan", "link-down wan", "nic-gone wan", "nic-back wan", "link-up wan")
	l.wait("the new NIC open", l.attached(track.WAN))
	if l.port("wan") == old {
		t.Error("the old port is still there")
	}
	l.system.change(stateOf("lan", 1)) // the new watch works
	l.expect("link-down lan", "link-down wan", "nic-gone wan", "nic-back wan", "link-up wan", "link-up lan")
}

// TestKeeperWatchFails: a watch that cannot be begun anew is tried again.
func TestKeeperWatchFails(t *testing.T) {
	l := newFakeLab(t)
	l.run(l.options())
	l.system.set(func() {
		l.system.noWatch = errRefused
		close(l.system.watch.changes)
	})
	l.wait("a second try", func() bool { return l.system.watches >= 3 })
	l.system.set(func() { l.system.noWatch = nil })
	l.wait("a new watch", func() bool { return l.system.watch.changes != nil && l.system.watches >= 4 })
	l.system.remove("lan", false)
	l.system.set(func() { close(l.system.watch.changes) })
	l.expect("link-down lan", "nic-gone lan")
}

// TestKeeperSocketFails: a socket that fails on a NIC that is there is opened
// again, and the failure is said.
func TestKeeperSocketFails(t *testing.T) {
	l := newFakeLab(t)
	l.run(l.options())
	old := l.port("lan")
	old.FailReceive(errRefused)
	_, _ = l.keeper.Ports(track.LAN)[0].Receive(patience)
	l.wait("opened again", l.attached(track.LAN))
	if l.port("lan") == old || !strings.Contains(l.log.String(), errRefused.Error()) {
		t.Errorf("the same port %v\n%s", l.port("lan") == old, l.log.String())
	}
	if len(l.events) != 0 {
		t.Errorf("events %q", l.events)
	}
}

// TestKeeperSeveralWorkers: the ports of a NIC are opened together, and if one of
// them fails all are opened again.
func TestKeeperSeveralWorkers(t *testing.T) {
	l := newFakeLab(t)
	l.workers = 3
	o := l.options()
	o.Workers = l.workers
	l.run(o)
	ports := l.keeper.Ports(track.WAN)
	if len(ports) != 3 {
		t.Fatalf("%d ports", len(ports))
	}
	old := l.port("wan")
	old.FailReceive(errRefused)
	_, _ = ports[2].Receive(patience)
	l.wait("opened again", func() bool { return l.port("wan") != old && l.attached(track.WAN)() })
	for i, port := range ports {
		if _, err := port.Receive(0); err != nil { // closes the one before
			t.Errorf("port %d: %v", i, err)
		}
	}
	if old.closings() != 1 {
		t.Errorf("the port that failed was closed %d times", old.closings())
	}
	lan := l.port("lan")
	l.system.remove("wan", true)
	l.expect("link-down wan", "nic-gone wan")
	for i, port := range ports {
		if port.Attached() {
			t.Errorf("port %d is attached to a NIC that is gone", i)
		}
	}
	l.system.change(stateOf("wan", 9))
	l.wait("open", l.attached(track.WAN))
	if l.port("lan") != lan {
		t.Error("the other side was opened again")
	}
	l.port("wan").Inject(testFrame(1))
	if frames, err := ports[2].Receive(patience); err != nil || len(frames) != 1 || SumStats(ports).Received != 1 {
		t.Errorf("%d frames, %v, %d received in all", len(frames), err, SumStats(ports).Received)
	}
}

// TestKeeperMTU: a port is asked for its MTU as soon as that has changed.
func TestKeeperMTU(t *testing.T) {
	l := newFakeLab(t)
	l.run(l.options())
	asked := l.port("wan").mtuAsked()
	changed := stateOf("wan", 2)
	changed.MTU = 1400
	l.system.change(changed)
	l.expect("mtu-changed wan 1400")
	l.wait("the port is asked", func() bool { return l.port("wan").mtuAsked() == asked+1 })
	l.wait("that they differ is said", func() bool { return strings.Contains(l.log.String(), "its MTU is 1400, that of lan is 1500") })
}

// TestKeeperAttachesFirst: OnOpen, which leads frames past the box, is called
// when their copies are to be had from the port.
func TestKeeperAttachesFirst(t *testing.T) {
	l := newFakeLab(t)
	o := l.options()
	var reopened atomic.Bool
	o.OnOpen = func(side track.Side, index int) error {
		if index == 9 {
			if !l.attached(side)() {
				t.Error("OnOpen is called before the port is attached")
			}
			reopened.Store(true)
		}
		return nil
	}
	l.run(o)
	l.system.remove("wan", true)
	l.expect("link-down wan", "nic-gone wan")
	l.system.change(stateOf("wan", 9))
	l.wait("open", reopened.Load)
}

// TestKeeperLaterRefusals: what keeps a NIC that was made anew out is said
// once and tried again until it is mended. OnOpen does not keep it out.
func TestKeeperLaterRefusals(t *testing.T) {
	l := newFakeLab(t)
	o := l.options()
	calls := 0
	o.OnOpen = func(side track.Side, index int) error {
		if calls++; calls > 2 {
			return errors.New("no program there")
		}
		return nil
	}
	l.run(o)
	l.system.remove("wan", true)
	l.expect("link-down wan", "nic-gone wan")
	l.system.set(func() { l.system.unfit["wan"] = "br0" })
	l.system.change(stateOf("wan", 9))
	said := func(what string) func() bool { return func() bool { return strings.Contains(l.log.String(), what) } }
	l.wait("the bridge is said", said("it belongs to br0"))
	l.system.set(func() { delete(l.system.unfit, "wan"); l.system.noClaim = errRefused })
	l.wait("the claim is said", said(errRefused.Error()))
	l.system.set(func() { l.system.noClaim = nil })
	l.wait("open", l.attached(track.WAN))
	l.wait("OnOpen's error is said", said("no program there"))
	for _, once := range []string{"it belongs to br0", errRefused.Error(), "no program there"} {
		if n := strings.Count(l.log.String(), once); n != 1 {
			t.Errorf("%q is said %d times:\n%s", once, n, l.log.String())
		}
	}
}

// TestKeeperOtherNICs: what happens to others is none of the box's business,
// even if one takes the name that a NIC of the box had.
func TestKeeperOtherNICs(t *testing.T) {
	l := newFakeLab(t)
	l.run(l.options())
	renamed := stateOf("old", 2)
	l.system.set(func() { delete(l.system.nics, "wan") })
	l.system.change(renamed)
	l.system.change(nic.State{Index: 12, Name: "wan"})
	l.system.change(nic.State{Index: 13, Name: "eth7", MTU: 9000})
	renamed.Running = false
	l.system.change(renamed)
	l.expect("link-down wan")
	l.system.remove("old", true)
	l.expect("link-down wan", "nic-gone wan")
	l.system.change(stateOf("wan", 12)) // now it is the box's
	l.expect("link-down wan", "nic-gone wan", "nic-back wan", "link-up wan")
	l.wait("open", l.attached(track.WAN))
}

// TestKeeperPropagationFails: a NIC that cannot be taken down is said once and
// tried again.
func TestKeeperPropagationFails(t *testing.T) {
	l := newFakeLab(t)
	o := l.options()
	o.Propagate, o.Settle = true, time.Millisecond
	l.system.noChange = errRefused
	l.run(o)
	down := stateOf("wan", 2)
	down.Running = false
	l.system.change(down)
	l.expect("link-down wan")
	l.wait("the refusal is said", func() bool { return strings.Contains(l.log.String(), errRefused.Error()) })
	l.system.set(func() { l.system.noChange = nil })
	l.wait("lan is taken down", func() bool { return l.system.nics["lan"].LeftDown })
	l.end()
	if l.system.nics["lan"].LeftDown || strings.Count(l.log.String(), errRefused.Error()) != 1 {
		t.Errorf("lan is %+v at the end\n%s", l.system.nics["lan"], l.log.String())
	}
}
