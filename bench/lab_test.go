package bench

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bridge/bridgetest"
)

// place puts a device between two namespaces and sets up calls across it.
func place(t *testing.T, d dut.Device, calls int) *Rig {
	t.Helper()
	bridgetest.New(t) // skips without root
	site, err := dut.Place(d, 1500)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := NewRig(site, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := rig.Dial(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	return rig
}

// box is the device's namespace.
func (r *Rig) box(t *testing.T) *bridgetest.Namespace {
	t.Helper()
	ns, err := r.Site.LAN.Namespace.Lab().Namespace("box")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// TestLabHelperKeepsCalls looks at what the helper keeps of the calls: if calls
// without traffic fell out of its list, the rate would depend on when it is measured.
func TestLabHelperKeepsCalls(t *testing.T) {
	const calls = 5
	rig := place(t, dut.Helper(), calls)
	var flows []*netlink.ConntrackFlow
	err := rig.box(t).Do(func() (err error) {
		flows, err = netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, f := range flows {
		if f.Forward.Protocol == unix.IPPROTO_GRE && time.Duration(f.TimeOut)*time.Second > time.Hour {
			kept++
		}
	}
	if kept != calls {
		t.Errorf("%d of %d calls are there for more than an hour: %v", kept, calls, flows)
	}
}

// TestLabFaultyDevices has a device do with frames to the WAN what it should not: the
// receiver sees each.
func TestLabFaultyDevices(t *testing.T) {
	rig := place(t, dut.Bridge(), 3)
	faulty := newFaulty(t, rig.box(t))
	sent := uint64(0)
	lost, wrong := func(t *Trial) bool { return t.Lost() == 1 && t.Wrong == 0 }, func(t *Trial) bool { return t.Wrong > 0 }
	for _, row := range []struct {
		name  string
		spoil spoil
		found func(*Trial) bool
	}{
		{"nothing", turn(), func(t *Trial) bool { return t.Lost() == 0 && t.Wrong == 0 && t.Received > 0 }},
		{"loss", func([]byte) ([][]byte, bool) { return nil, true }, lost},
		{"twice", func(f []byte) ([][]byte, bool) { return [][]byte{f, f}, true }, wrong},
		{"out of order", outOfOrder(), wrong},
		{"cut", func(f []byte) ([][]byte, bool) { return [][]byte{f[:len(f)-1]}, true }, wrong},
		{"longer", func(f []byte) ([][]byte, bool) { return [][]byte{append(f, 0)}, true }, wrong},
		{"TTL", turn(22), wrong}, {"source", turn(29), wrong}, {"call ID", turn(40), wrong}, {"sequence number", turn(45), wrong},
		{"PPP", turn(49), wrong}, {"call's number", turn(51), wrong}, {"time", turn(54), wrong}, {"pattern", turn(63), wrong},
	} {
		t.Run(row.name, func(t *testing.T) {
			faulty.next.Store(&row.spoil)
			trial, err := rig.Run(t.Context(), Spec{Sender: "packet", Sizes: []int{80}, Traffic: AllCalls, Rate: 10_000, Lasting: 20 * time.Millisecond})
			if err != nil || !row.found(&trial) || faulty.next.Load() != nil {
				t.Errorf("%v, %+v", err, trial)
			}
			// One that sends a frame twice has as many through as were sent before the last.
			sent += trial.Sent
			faulty.wait(t, sent)
		})
	}
}

// spoil is what becomes of a frame, and whether the fault is done with it.
type spoil func(frame []byte) (frames [][]byte, done bool)

// turn turns all bits of some octets.
func turn(octets ...int) spoil {
	return func(frame []byte) ([][]byte, bool) {
		for _, at := range octets {
			frame[at] ^= 0xff
		}
		return [][]byte{frame}, true
	}
}

// outOfOrder holds a frame back until the next one of its call, which is the third.
func outOfOrder() spoil {
	var seen [][]byte
	return func(frame []byte) ([][]byte, bool) {
		if seen = append(seen, slices.Clone(frame)); len(seen) <= 3 {
			return seen[1:][max(0, len(seen)-2):], false
		}
		return [][]byte{frame, seen[0]}, true
	}
}

// faulty carries IPv4 to the WAN and does something else with one frame of it.
type faulty struct {
	next    atomic.Pointer[spoil]
	carried atomic.Uint64 // frames of GRE
}

// wait waits until so many frames of GRE are done with.
func (f *faulty) wait(t *testing.T, frames uint64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); f.carried.Load() < frames; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames are done with", f.carried.Load(), frames)
		}
	}
}

// newFaulty takes the bridge away and its place.
func newFaulty(t *testing.T, box *bridgetest.Namespace) *faulty {
	t.Helper()
	if err := box.Delete("br0"); err != nil {
		t.Fatal(err)
	}
	wan, err := box.Injector(bridgetest.WANNIC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wan.Close() })
	var lan *packet.Conn
	err = box.Do(func() error {
		nic, err := net.InterfaceByName(bridgetest.LANNIC)
		if err == nil {
			lan, err = packet.Listen(nic, packet.Raw, unix.ETH_P_IP, nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{}
	var done sync.WaitGroup
	done.Go(func() { f.carry(lan, wan) })
	t.Cleanup(func() { lan.Close(); done.Wait() })
	return f
}

// carry ends when the socket is closed. It spoils nothing of the control connections.
func (f *faulty) carry(lan *packet.Conn, wan *bridgetest.Injector) {
	const protocol = 14 + 9 // IPv4's field (RFC 791, section 3.1) behind an Ethernet header
	for buffer := make([]byte, 2048); ; {
		n, _, err := lan.ReadFrom(buffer)
		if err != nil {
			return
		}
		frames, done, gre := [][]byte{buffer[:n]}, false, n > protocol && buffer[protocol] == unix.IPPROTO_GRE
		if spoil := f.next.Load(); spoil != nil && gre {
			frames, done = (*spoil)(buffer[:n])
		}
		if done {
			f.next.Store(nil)
		}
		for _, frame := range frames {
			_ = wan.Send(frame) // what does not leave is lost, which the test sees
		}
		if gre {
			f.carried.Add(1)
		}
	}
}

// TestLabDeadDevice has a device end amid a run: it is named once, and the others go on.
func TestLabDeadDevice(t *testing.T) {
	binary := build(t)
	plan := goodPlan()
	plan.Devices, plan.Baseline = []dut.Device{dut.Grewire("box", binary, "", ""), dut.Bridge()}, ""
	plan.Rounds, plan.Trial, plan.Scenarios = 4, 50*time.Millisecond, plan.Scenarios[:1]
	plan.Scenarios[0].Test = Flood
	r := &runner{plan: plan, found: make(map[string]float64), results: &Results{}}
	r.note = func(line string) {
		if strings.HasPrefix(line, "[") && strings.Contains(line, "round 2, ") && strings.Contains(line, "box: ") {
			if err := syscall.Kill(r.rigs[0].Site.PID(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	r.atMTU(t.Context(), 1500)
	if faults := r.results.Faults; len(faults) != 1 || !strings.Contains(faults[0], "device box has ended") {
		t.Errorf("faults %q", faults)
	}
	for device, want := range map[string]int{"box": 2, "bridge": 4} {
		if s, _ := r.results.Summary(plan.Scenarios[0], device, FigureRate); s.Rounds != want {
			t.Errorf("%s: %d rounds, want %d", device, s.Rounds, want)
		}
	}
}

func build(t *testing.T) string {
	t.Helper()
	binary, err := bridgetest.New(t).Build("cmd/grewire")
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
