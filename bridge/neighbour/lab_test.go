package neighbour

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/track"
)

const (
	patience = 20 * time.Second
	boxAddr  = "10.77.0.100" // on the network of the hosts
)

// quick is the timing of a test that cannot wait as long as RFC 5227.
func quick() Timing {
	t := DefaultTiming()
	t.ProbeWait, t.ProbeMin, t.ProbeMax = 50*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	t.AnnounceWait, t.AnnounceInterval, t.RetryMin = 100*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	t.DefendInterval = 200 * time.Millisecond
	return t
}

// lab is a box with all that a box has on its NICs, between a client, which is
// a server too, and a host of the WAN.
type lab struct {
	t      *testing.T
	top    *bridgetest.Topology
	box    *Box
	events chan track.Event
	stop   func()
}

func newLab(t *testing.T) *lab {
	t.Helper()
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, top: top, events: make(chan track.Event, 1000)}
}

func (l *lab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// start runs a box with one address, forwarded to the client.
func (l *lab) start() {
	l.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	clock := bridge.NewClock()
	publish := func(e track.Event) { l.events <- e }
	engine := bridge.NewEngine(track.DefaultOptions(), func(track.Event) {})
	var host *bypass.Bypass
	var keeper *links.Keeper
	l.check(l.top.Box.Do(func() (err error) {
		l.box, err = New(Options{
			LAN: bridgetest.LANNIC, WAN: bridgetest.WANNIC, Forwards: []Forward{{addr(boxAddr), addr(bridgetest.ClientAddr(0))}},
			Clock: clock, OnEvent: publish, Log: log, Timing: quick(), Seed: 1,
		})
		if err != nil {
			return err
		}
		nics := [2]string{track.LAN: bridgetest.LANNIC, track.WAN: bridgetest.WANNIC}
		if host, err = bypass.Open(bypass.Options{NICs: nics}, false); err != nil {
			return err
		}
		keeper, err = links.New(links.Options{
			LAN: bridgetest.LANNIC, WAN: bridgetest.WANNIC, Log: log,
			Open: func(name string) ([]links.Port, error) {
				port, err := afpacket.Open(name, afpacket.Options{})
				return []links.Port{port}, err
			},
			OnOpen: func(side track.Side, index int) error {
				if err := host.Attach(side); err != nil {
					return err
				}
				return l.box.Open(side, index)
			},
			OnEvent: func(e track.Event) { l.box.Follow(e); publish(e) },
		})
		return err
	}))
	frames := bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{keeper.Ports(track.LAN)[0]}, WAN: []bridge.Port{keeper.Ports(track.WAN)[0]}, Engine: engine, Clock: clock,
		Guards: [2][]bridge.Guard{host.Guards(track.LAN), host.Guards(track.WAN)},
	})
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{frames.Run, keeper.Run, l.box.Run} {
		group.Go(func() error { return run(ctx) })
	}
	l.stop = func() {
		cancel()
		for _, err := range []error{group.Wait(), host.Stop(), host.Close(), keeper.Close(), l.box.Close()} {
			if err != nil {
				l.t.Error(err)
			}
		}
	}
	l.t.Cleanup(func() { l.stop() })
}

// announced waits until the box has said all that it says by itself: from then
// on, who finds it has asked.
func (l *lab) announced() {
	l.t.Helper()
	l.eventually("all is announced", func() bool {
		l.box.mu.Lock()
		defer l.box.mu.Unlock()
		o := l.box.table.owns[addr(boxAddr)]
		return o.sent == probeCount+announceCount
	})
}

// conflict waits for an address-conflict.
func (l *lab) conflict() track.Event {
	l.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case e := <-l.events:
			if e.Kind == track.EventAddressConflict {
				return e
			}
		case <-deadline:
			l.t.Fatal("no address-conflict")
		}
	}
}

// resolve has the kernel of a host look for an address, and returns where it
// found it: "" if nobody answered.
func (l *lab) resolve(ns *bridgetest.Namespace, nic, address string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	_, _ = ns.Run(ctx, "ip", "neigh", "flush", "dev", nic)
	_, _ = ns.Run(ctx, "ping", "-c", "1", "-W", "1", "-I", nic, address) // nobody answers ICMP; it makes the kernel ask
	out, err := ns.Run(ctx, "ip", "neigh", "show", "dev", nic, "to", address)
	l.check(err)
	fields := strings.Fields(out)
	if i := slices.Index(fields, "lladdr"); i >= 0 {
		return fields[i+1]
	}
	return ""
}

// eventually waits until it is so.
func (l *lab) eventually(what string, so func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !so(); runtime.Gosched() {
		if time.Now().After(deadline) {
			l.t.Fatalf("never: %s", what)
		}
	}
}

func (l *lab) nic(side track.Side) string {
	name := [...]string{track.LAN: bridgetest.LANNIC, track.WAN: bridgetest.WANNIC}[side]
	return l.top.Box.HardwareAddr(name).String()
}

// found is where the box has found the server.
func (l *lab) found() string {
	mac, ok := l.box.MAC(0, addr(bridgetest.ClientAddr(0)))
	if !ok {
		return ""
	}
	return MAC(mac).String()
}

// TestKernelsAsk: the kernel of a WAN host finds the box, that of a LAN host
// does not, and what passes between hosts is none of the box's business. The
// host's copies are dropped all the while, and only the box's frames leave.
func TestKernelsAsk(t *testing.T) {
	l := newLab(t)
	l.start()
	l.announced()
	if got := l.resolve(l.top.Server, bridgetest.HostNIC, boxAddr); got != l.nic(track.WAN) {
		t.Errorf("the WAN finds %q, want the WAN NIC's %s", got, l.nic(track.WAN))
	}
	if got := l.resolve(l.top.Client, bridgetest.HostNIC, boxAddr); got != "" {
		t.Errorf("the LAN finds %q", got)
	}
	if got, want := l.resolve(l.top.Client, bridgetest.HostNIC, bridgetest.ServerAddr), l.top.Server.HardwareAddr(bridgetest.HostNIC).String(); got != want {
		t.Errorf("the LAN finds the host of the WAN at %q, want %s", got, want)
	}
	l.eventually("the server is found", func() bool { return l.found() == l.top.Client.HardwareAddr(bridgetest.HostNIC).String() })
}

// TestVLANs: with one tag and with two, whatever their kind, a question gets its
// answer with the same tags, and the box looks for the server there.
func TestVLANs(t *testing.T) {
	l := newLab(t)
	l.start()
	captures := make(map[track.Side]*bridgetest.Capture)
	path := func(side track.Side) string { return filepath.Join(l.top.Lab.Dir(), side.String()) }
	for side, ns := range map[track.Side]*bridgetest.Namespace{track.LAN: l.top.Client, track.WAN: l.top.Server} {
		c, err := ns.Capture(bridgetest.HostNIC, path(side))
		l.check(err)
		captures[side] = c
	}
	wan, lan := MAC(l.top.Server.HardwareAddr(bridgetest.HostNIC)), MAC(l.top.Client.HardwareAddr(bridgetest.HostNIC))
	for zone, tags := range map[string]string{
		"100": "\x81\x00\xe0\x64", "101": "\x88\xa8\x00\x65", "7.8": "\x88\xa8\x00\x07\x81\x00\x00\x08",
		"7.9": "\x81\x00\x00\x07\x81\x00\x00\x09", "7.10": "\x91\x00\x00\x07\x81\x00\x00\x0a",
	} {
		l.inject(l.top.Server, asks(wan, addr(bridgetest.ServerAddr), boxAddr, tags))
		l.eventually("an answer in zone "+zone, func() bool {
			return l.captured(path(track.WAN), func(m *message) bool {
				return m.senderMAC.String() == l.nic(track.WAN) && m.to == wan && m.tags == tags && m.sender == addr(boxAddr)
			})
		})
		l.eventually("a question in zone "+zone, func() bool {
			return l.captured(path(track.LAN), func(m *message) bool {
				return m.senderMAC.String() == l.nic(track.LAN) && m.tags == tags && m.isProbe() && m.target == addr(bridgetest.ClientAddr(0))
			})
		})
		l.inject(l.top.Client, reply(lan, addr(bridgetest.ClientAddr(0)), MAC(l.top.Box.HardwareAddr(bridgetest.LANNIC)), nobody, tags))
		l.eventually("the server in zone "+zone, func() bool {
			mac, ok := l.box.MAC(zoneOf(t, zone), addr(bridgetest.ClientAddr(0)))
			return ok && mac == lan
		})
	}
	for side, c := range captures {
		l.check(c.Stop())
		if side == track.LAN && l.captured(path(side), func(m *message) bool { return m.sender == addr(boxAddr) }) {
			t.Error("the LAN hears of the box's address")
		}
	}
}

// inject sends a frame from a host.
func (l *lab) inject(ns *bridgetest.Namespace, frame []byte) {
	l.t.Helper()
	i, err := ns.Injector(bridgetest.HostNIC)
	l.check(err)
	defer i.Close()
	l.check(i.Send(frame))
}

// captured reports whether there is such a message in a capture so far.
func (l *lab) captured(path string, is func(*message) bool) (found bool) {
	l.messages(path, func(m *message) { found = found || is(m) })
	return found
}

// TestProbesAndAnnounces reads what a host of the WAN hears: three probes and
// two announcements when the box starts, when its NIC gets its link back, and
// when it is made anew.
func TestProbesAndAnnounces(t *testing.T) {
	l := newLab(t)
	for round, again := range []func(){
		l.start,
		func() {
			l.check(l.top.Box.SetDown(bridgetest.WANNIC))
			l.check(l.top.Box.SetUp(bridgetest.WANNIC))
		},
		func() {
			l.check(l.top.Box.Delete(bridgetest.WANNIC))
			l.check(l.top.Lab.Veth(l.top.Server, bridgetest.HostNIC, l.top.Box, bridgetest.WANNIC))
			l.check(l.top.Server.Address(bridgetest.HostNIC, bridgetest.ServerAddr+"/24"))
		},
	} {
		path := filepath.Join(l.top.Lab.Dir(), fmt.Sprint(round))
		var c *bridgetest.Capture
		listen := func() {
			var err error
			c, err = l.top.Server.Capture(bridgetest.HostNIC, path)
			l.check(err)
		}
		if round < 2 {
			listen()
			again()
		} else { // there is no NIC to listen on before
			again()
			listen()
		}
		var heard []string
		l.eventually("two announcements are heard", func() bool {
			heard = l.heard(path)
			return len(heard) > 1 && slices.Equal(heard[len(heard)-2:], []string{"announces", "announces"})
		})
		l.check(c.Stop())
		if want := []string{"probes", "probes", "probes", "announces", "announces"}; round < 2 && !slices.Equal(heard, want) {
			t.Errorf("round %d: %q", round, heard)
		}
		l.announced()
		if got := l.resolve(l.top.Server, bridgetest.HostNIC, boxAddr); got != l.nic(track.WAN) {
			t.Errorf("round %d: the WAN finds %q, want %s", round, got, l.nic(track.WAN))
		}
	}
}

// heard is what the box said so far on the WAN side.
func (l *lab) heard(path string) (heard []string) {
	l.t.Helper()
	l.messages(path, func(m *message) {
		switch {
		case m.senderMAC.String() != l.nic(track.WAN):
		case m.isProbe() && m.target == addr(boxAddr):
			heard = append(heard, "probes")
		case m.sender == addr(boxAddr) && m.target == addr(boxAddr):
			heard = append(heard, "announces")
		default:
			l.t.Errorf("the WAN hears %+v", m)
		}
	})
	return heard
}

// messages goes through a capture that may not be at its end yet.
func (l *lab) messages(path string, each func(*message)) {
	l.t.Helper()
	file, err := os.Open(path)
	l.check(err)
	defer file.Close()
	r, err := capture.NewReader(file)
	if err != nil {
		return // not begun yet
	}
	defer r.Close()
	for {
		p, err := r.Next()
		if err != nil {
			return // what is not whole yet comes with the next look
		}
		if m, ok := parse(p.Data); ok {
			each(&m)
		}
	}
}

// TestConflicts: a host that has the address when the box starts, and one that
// takes it later, are reported, and the address is served on.
func TestConflicts(t *testing.T) {
	l := newLab(t)
	rival := l.top.Server.HardwareAddr(bridgetest.HostNIC)
	l.check(l.top.Server.Address(bridgetest.HostNIC, boxAddr+"/32"))
	l.check(l.top.Box.Do(func() error {
		used, err := InUse(bridgetest.WANNIC, []netip.Addr{addr("10.77.0.99"), addr(boxAddr)}, time.Second)
		if len(used) != 1 || used[addr(boxAddr)].String() != rival.String() {
			t.Errorf("in use: %v", used)
		}
		return err
	}))
	l.start()
	l.isConflict(l.conflict(), rival, bridgetest.WANNIC)
	l.remove(l.top.Server)
	if got := l.resolve(l.top.Server, bridgetest.HostNIC, boxAddr); got != l.nic(track.WAN) {
		t.Errorf("the WAN finds %q, want %s", got, l.nic(track.WAN))
	}
	// The client has the address now, and asks in its name.
	l.check(l.top.Client.Address(bridgetest.HostNIC, boxAddr+"/32"))
	_, _ = l.top.Client.Run(t.Context(), "ping", "-c", "1", "-W", "1", "-I", boxAddr, "10.77.0.200")
	l.isConflict(l.conflict(), l.top.Client.HardwareAddr(bridgetest.HostNIC), bridgetest.LANNIC)
	l.remove(l.top.Client)
	if got := l.resolve(l.top.Server, bridgetest.HostNIC, boxAddr); got != l.nic(track.WAN) {
		t.Errorf("after that, the WAN finds %q, want %s", got, l.nic(track.WAN))
	}
}

func (l *lab) remove(ns *bridgetest.Namespace) {
	l.t.Helper()
	_, err := ns.Run(l.t.Context(), "ip", "addr", "del", boxAddr+"/32", "dev", bridgetest.HostNIC)
	l.check(err)
}

func (l *lab) isConflict(e track.Event, rival net.HardwareAddr, nic string) {
	l.t.Helper()
	if e.Address != addr(boxAddr) || e.MAC != rival.String() || e.NIC != nic {
		l.t.Errorf("conflict with %s over %v on %s, want %s on %s", e.MAC, e.Address, e.NIC, rival, nic)
	}
}

// TestServerMoves: a server that gets another MAC address is found again.
func TestServerMoves(t *testing.T) {
	l := newLab(t)
	l.start()
	l.eventually("the server is found", func() bool { return l.found() != "" })
	_, err := l.top.Client.Run(t.Context(), "ip", "link", "set", "dev", bridgetest.HostNIC, "address", "02:00:00:00:77:77")
	l.check(err)
	l.eventually("the server is found again", func() bool {
		l.box.Resolve(0, addr(bridgetest.ClientAddr(0)))
		return l.found() == "02:00:00:00:77:77"
	})
	l.check(l.top.Box.Delete(bridgetest.LANNIC))
	l.check(l.top.Lab.Veth(l.top.Client, bridgetest.HostNIC, l.top.Box, bridgetest.LANNIC))
	l.check(l.top.Client.Address(bridgetest.HostNIC, bridgetest.ClientAddr(0)+"/24"))
	want := l.top.Client.HardwareAddr(bridgetest.HostNIC).String()
	l.eventually("the server is found behind another NIC", func() bool { return l.found() == want })
}
