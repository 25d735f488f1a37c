package bridgetest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }

func namespace(t *testing.T, lab *bridgetest.Lab, name string) *bridgetest.Namespace {
	t.Helper()
	ns, err := lab.Namespace(name)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestNamespace(t *testing.T) {
	lab := bridgetest.New(t)
	ns := namespace(t, lab, "a")
	if again := namespace(t, lab, "a"); again != ns {
		t.Error("the same name gives another namespace")
	}
	out, err := ns.Run(testContext(t), "ip", "-o", "link")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out, "\n"); lines != 1 || !strings.Contains(out, "lo: <LOOPBACK,UP") {
		t.Errorf("ip link says\n%s\nwant only lo, up", out)
	}
	if err := ns.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.default.disable_ipv6": "1"} {
		if got, err := ns.Run(testContext(t), "cat", "/proc/sys/"+strings.ReplaceAll(key, ".", "/")); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s is %q (%v), want %s", key, got, err, want)
		}
	}
}

func TestDo(t *testing.T) {
	ns := namespace(t, bridgetest.New(t), "a")
	var inside []net.Interface
	err := ns.Do(func() (err error) {
		inside, err = net.Interfaces()
		return err
	})
	if err != nil || len(inside) != 1 {
		t.Errorf("interfaces inside: %v, %v; want only lo", inside, err)
	}
	want := errors.New("as returned")
	if err := ns.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do = %v, want the function's error", err)
	}
}

func TestVeth(t *testing.T) {
	lab := bridgetest.New(t)
	a, b := namespace(t, lab, "a"), namespace(t, lab, "b")
	if err := lab.Veth(a, "eth0", b, "eth1", bridgetest.VethOption{MTU: 1400, OffloadsOff: true}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.Address("eth0", "10.0.0.1/24"), b.Address("eth1", "10.0.0.2/24")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := testContext(t)
	if _, err := a.Run(ctx, "ping", "-c", "1", "-W", "5", "-M", "do", "-s", "1372", "10.0.0.2"); err != nil {
		t.Error(err)
	}
	if out, err := a.Run(ctx, "ping", "-c", "1", "-W", "5", "-M", "do", "-s", "1373", "10.0.0.2"); err == nil {
		t.Errorf("a packet over the MTU passed:\n%s", out)
	}
	features, err := b.Run(ctx, "ethtool", "-k", "eth1")
	for _, feature := range []string{"tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload"} {
		if err != nil || !strings.Contains(features, feature+": off") {
			t.Errorf("%s is not off (%v)", feature, err)
		}
	}
	if err := lab.Veth(a, "eth0", b, "eth2"); err == nil {
		t.Error("a second NIC of the same name was made")
	}
	if err := a.Address("eth9", "10.0.0.1/24"); err == nil {
		t.Error("a NIC that is not there got an address")
	}
}

func TestCaptureHasEveryFrame(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{})
	path := filepath.Join(t.TempDir(), "ping.pcap")
	capture, err := top.Server.Capture(bridgetest.HostNIC, path)
	if err != nil {
		t.Fatal(err)
	}
	const pings = 50
	if _, err := top.Client.Run(testContext(t), "ping", "-q", "-c", strconv.Itoa(pings), "-i", "0.002", bridgetest.ServerAddr); err != nil {
		t.Fatal(err)
	}
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := capture.Stop(); err != nil {
		t.Errorf("the second Stop = %v", err)
	}
	if got := len(readCapture(t, path)); got < 2*pings {
		t.Errorf("%d frames captured, want at least %d", got, 2*pings)
	}
	if _, err := top.Server.Capture("eth9", path); err == nil {
		t.Error("Capture on a NIC that is not there succeeded")
	}
}

func TestProcess(t *testing.T) {
	ns := namespace(t, bridgetest.New(t), "a")
	ctx := testContext(t)
	p, err := ns.Start("sh", "-c", "echo ready; trap 'echo bye; exit 3' TERM; while :; do read line; done <>/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(ctx, "ready"); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.WaitOutput(ctx, "never"); err == nil {
		t.Error("WaitOutput of a dead process succeeded")
	}
	p, err = ns.Start("sh", "-c", "echo once; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(ctx); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("Wait = %v, want the exit status and the output", err)
	}
	if p, err := ns.Start("no-such-program"); err == nil {
		if err := p.Wait(ctx); err == nil {
			t.Error("a program that is not there ended well")
		}
	}
}

// daemon is a process that has left its group and session; it writes its ID.
const daemon = `setsid sh -c 'echo pid $$; exec sleep 1000' & exec sleep 1000`

func startDaemon(ctx context.Context, ns *bridgetest.Namespace) (pid int, err error) {
	p, err := ns.Start("sh", "-c", daemon)
	if err != nil {
		return 0, err
	}
	if err := p.WaitOutput(ctx, "\n"); err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(p.Output(), "pid %d", &pid)
	return pid, err
}

// running reports whether a process has not ended. Whose parent is gone may
// stay a zombie for a while.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestCloseLeavesNothing(t *testing.T) {
	lab := bridgetest.New(t)
	ns := namespace(t, lab, "a")
	pid, err := startDaemon(testContext(t), ns)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := lab.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if running(pid) {
		t.Errorf("process %d outlived its lab", pid)
	}
	for _, path := range []string{lab.Dir(), "/run/netns/" + ns.Name()} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if _, err := lab.Namespace("b"); err == nil {
		t.Error("a closed lab made a namespace")
	}
	if _, err := ns.Start("true"); err == nil {
		t.Error("a closed lab started a process")
	}
}

// dieEnv makes this test binary open a lab and die without closing it.
const dieEnv = "GREWIRE_TEST_DIE"

func TestSweep(t *testing.T) {
	if os.Getenv(dieEnv) != "" {
		dieWithLab(t)
	}
	bridgetest.New(t) // skips when this is not root
	cmd := exec.CommandContext(testContext(t), os.Args[0], "-test.run=^TestSweep$")
	cmd.Env = append(os.Environ(), dieEnv+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var name, dir string
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &name, &dir, &pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it killed itself
	bridgetest.New(t)
	if running(pid) {
		t.Errorf("process %d outlived the sweep", pid)
	}
	for _, path := range []string{dir, "/run/netns/" + name} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func dieWithLab(t *testing.T) {
	lab, err := bridgetest.Open("die")
	if err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, lab, "a")
	pid, err := startDaemon(testContext(t), ns)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(ns.Name(), lab.Dir(), pid)
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}
