package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/grewire/grewire/bench"
	"github.com/grewire/grewire/bridge/bridgetest"
)

// runBench runs "grewire bench" to its end and returns the results.
func runBench(t *testing.T, command func(name string, args ...string) *exec.Cmd, args ...string) (r bench.Results) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"-json": filepath.Join(dir, "r.json"), "-csv": filepath.Join(dir, "r.csv"), "-html": filepath.Join(dir, "r.html")}
	for name, path := range files {
		args = append(args, name, path)
	}
	cmd := command("bench", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	text, err := os.ReadFile(files["-json"])
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// buildGrewire returns the program, with a context that bounds its run.
func buildGrewire(t *testing.T, lab *bridgetest.Lab) (context.Context, string) {
	t.Helper()
	binary, err := lab.Build("cmd/grewire")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx, binary
}

// TestLabBench measures all devices in short, with every test, both senders and
// many calls.
func TestLabBench(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	ctx, binary := buildGrewire(t, bridgetest.New(t))
	here := func(name string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, binary, append([]string{name}, args...)...)
	}
	r := runBench(t, here, "forward", "-devices", "helper,helper-rps,bridge,grewire-ring,grewire-mmsg,grewire-masquerade", "-rounds", "1", "-trial", "50ms",
		"-tests", "throughput,loss,latency,flood", "-calls", "30", "-senders", "packet,xdp", "-sizes", "64", "-rates", "2000", "-tolerance", "0.2", "-loss", "0.5")
	for _, s := range r.Scenarios() {
		if n := len(r.Measured(s)); n != 6 {
			t.Errorf("%s: %d devices measured, want 6", s, n)
		}
	}
	if n := len(r.Scenarios()); n != 4*2 {
		t.Errorf("%d scenarios, want 8", n)
	}
	r = runBench(t, here, "forward", "-devices", "bridge,grewire-ring", "-rounds", "1", "-trial", "50ms", "-tests", "flood,burst", "-both-ways", "-sizes", "imix,9000")
	for _, v := range r.Values {
		if v.Figure == bench.FigureRate && v.Value < 1000 {
			t.Errorf("%s, %s: %.0f frames/s", v.Device, v.Scenario, v.Value)
		}
	}
}

// TestLabBenchInterrupted interrupts a long run as soon as something is measured.
func TestLabBenchInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	lab := bridgetest.New(t)
	ctx, binary := buildGrewire(t, lab)
	ns, err := lab.Namespace("tester")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "r.json")
	run, err := ns.Start(binary, "bench", "forward", "-devices", "bridge", "-rounds", "1000", "-trial", "100ms", "-tests", "flood", "-json", path)
	if err == nil {
		err = run.WaitOutput(ctx, "round 2,")
	}
	if err == nil {
		err = run.Signal(syscall.SIGINT)
	}
	if err == nil {
		err = run.Wait(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	var r bench.Results
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || !r.Stopped || len(r.Values) == 0 {
		t.Errorf("%v; stopped: %v, %d values", err, r.Stopped, len(r.Values))
	}
}

// TestLabBenchAttached measures a Linux bridge that stands for a device cabled to
// two NICs, and has both NICs back afterwards.
func TestLabBenchAttached(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	lab := bridgetest.New(t)
	ctx, binary := buildGrewire(t, lab)
	var tester, device *bridgetest.Namespace
	for name, ns := range map[string]**bridgetest.Namespace{"tester": &tester, "device": &device} {
		var err error
		if *ns, err = lab.Namespace(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]string{{"port1", "lan"}, {"port2", "wan"}} {
		if err := lab.Veth(tester, pair[0], device, pair[1], bridgetest.VethOption{OffloadsOff: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := device.Bridge("br0", "lan", "wan"); err != nil {
		t.Fatal(err)
	}
	inside := func(name string, args ...string) *exec.Cmd {
		return tester.Command(ctx, binary, append([]string{name}, args...)...)
	}
	r := runBench(t, inside, "forward", "-tx", "port1", "-rx", "port2", "-rounds", "2", "-trial", "100ms", "-tests", "throughput,latency", "-calls", "20", "-rates", "5000")
	if n := len(r.Values); n == 0 || r.Rounds != 2 || len(r.Devices) != 1 {
		t.Errorf("%d values in %d rounds of %d devices", n, r.Rounds, len(r.Devices))
	}
	for _, nic := range []string{"port1", "port2"} {
		if tester.HardwareAddr(nic) == nil {
			t.Errorf("%s did not come back", nic)
		}
	}
	if i := slices.IndexFunc(r.Values, func(v bench.Value) bool { return v.Figure == bench.FigureRate && v.Value > 1000 }); i < 0 {
		t.Error("no rate was found")
	}
}
