package main

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// measured is how long each figure of each device is measured in all:
//
//	go test ./cmd/grewire -run TestLabFigures -v -args -figures 10s
var measured = flag.Duration("figures", 0, "how long TestLabFigures measures each figure, in several rounds; 0: one short round")

// What TestLabFigures does without -figures, and in how many rounds with it.
const (
	shortFigure  = 600 * time.Millisecond
	figureRounds = 5
)

// device is what joins two hosts: a Linux bridge, or a box with one of its
// backends.
type device struct {
	name    string
	backend string
	box     *labBox // its process is nil with a Linux bridge
}

// newDevices starts all of them, each between hosts of its own, the Linux
// bridge first. The boxes let the probe's GRE pass. They fail closed, so that
// every frame crosses the box itself.
func newDevices(t *testing.T) (all []*device) {
	for _, backend := range []string{"", "ring", "mmsg"} {
		keys := ""
		if backend != "" {
			keys = fmt.Sprintf("backend = %q\n", backend)
		}
		b := newLabBox(t, bridgetest.InlineOption{}, keys)
		d := &device{name: "grewire " + backend, backend: backend, box: b}
		if backend == "" {
			d.name = "Linux bridge"
			if err := b.top.BridgeBox(); err != nil {
				t.Fatal(err)
			}
		} else {
			b.configure("[policy]\ngre = \"any\"\n")
			b.start()
		}
		// Whoever has asked for the other's MAC address does not ask while frames are counted.
		b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "2", "-i", "0.1", bridgetest.ServerAddr)
		all = append(all, d)
	}
	return all
}

// TestLabFigures measures what the box costs beside a Linux bridge between the
// same hosts: both backends and the bridge in turn, round by round, for the
// machine is not the same from one minute to the next.
func TestLabFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	round, rounds := shortFigure, 1
	if *measured > 0 {
		round, rounds = *measured/figureRounds, figureRounds
	}
	f := newFigures(t, newDevices(t))
	for range rounds {
		f.idle(max(round, 2*time.Second))
		f.throughput(round)
		for _, rate := range []int{1000, 10000} {
			f.delays(rate, round)
		}
	}
	for _, d := range f.boxes() {
		d.box.stop()
	}
	for range rounds {
		for _, d := range f.boxes() {
			f.failOpen(d)
		}
	}
	f.print()
	f.checkComplete(rounds)
}

// idle measures all boxes at once: they have nothing to do.
func (f *figures) idle(lasting time.Duration) {
	f.t.Helper()
	var before []time.Duration
	for _, d := range f.boxes() {
		before = append(before, d.cpu())
	}
	<-time.After(lasting)
	for i, d := range f.boxes() {
		f.note("CPU when idle, % of one", d, percent(d.cpu()-before[i], lasting))
	}
}

// throughput has iperf3 send through every device, both ways.
func (f *figures) throughput(lasting time.Duration) {
	f.t.Helper()
	ways := []struct {
		row  string
		args []string
	}{{"iperf3 TCP to the WAN, Gbit/s", nil}, {"iperf3 TCP to the LAN, Gbit/s", []string{"-R"}}}
	for _, way := range ways {
		for _, d := range f.devices {
			args := append([]string{"-t", fmt.Sprint(max(1, int(lasting.Seconds())))}, way.args...)
			r := d.box.iperf(args...).End
			if r.Received.Bytes == 0 {
				f.t.Errorf("%s, %s: nothing received", d.name, way.row)
			}
			f.note(way.row, d, r.Sent.BitsPerSec/1e9)
		}
	}
}

// delays has every device carry the probe's frames, from a sender on the CPU
// that the worker of their direction is on, and from one on another.
func (f *figures) delays(rate int, lasting time.Duration) {
	f.t.Helper()
	cpus := allowedCPUs(f.t)
	places := []struct {
		row string
		cpu int
	}{{"sender on another CPU", cpus[len(cpus)-1]}, {"sender on the worker's CPU", cpus[0]}}
	for _, place := range places {
		for _, d := range f.devices {
			before := d.cpu()
			r, err := probeDelay(d.box.top, 1, rate, place.cpu, lasting)
			if err != nil {
				f.t.Fatalf("%s: %v", d.name, err)
			}
			row := fmt.Sprintf("%d frames/s, %s: ", rate, place.row)
			if r.lost+r.twice+r.late > 0 || r.sent == 0 {
				f.t.Errorf("%s, %s%d sent, %d lost, %d twice, %d late", d.name, row, r.sent, r.lost, r.twice, r.late)
			}
			f.note(row+"sent, share of the rate", d, float64(r.sent)/(float64(rate)*lasting.Seconds()))
			for _, p := range []struct {
				name  string
				share float64
			}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}} {
				f.note(row+p.name+", us", d, float64(r.at(p.share))/1e3)
			}
			if d.box.process != nil {
				f.note(row+"CPU, % of one", d, percent(d.cpu()-before, lasting))
			}
		}
	}
}

// failOpen stops a box that fails open, lets it go on, kills it and starts it
// again, between two streams of 2,000 datagrams a second.
func (f *figures) failOpen(d *device) {
	f.t.Helper()
	b := newBypassLab(f.t, "open", fmt.Sprintf("backend = %q", d.backend))
	b.start()
	b.stream()
	b.during("SIGSTOP", atLoss, func() { b.signal(syscall.SIGSTOP); b.flow(800) })
	b.during("SIGCONT", atHandBack, func() { b.signal(syscall.SIGCONT) })
	b.during("SIGKILL", atLoss, func() { b.process.Kill(); b.flow(800) })
	b.during("restart", atHandBack, func() { b.start() })
	b.until("carrying again", carried)
	results, silences := b.outcome()
	for _, s := range silences {
		f.note(fmt.Sprintf("%s: without traffic from %s, ms", s.what, s.side), d, float64(s.lasted)/1e6)
		f.note(fmt.Sprintf("%s: … of it while threads waited for a CPU", s.what), d, float64(s.stalls)/1e6)
	}
	for side, r := range results {
		f.note("fail-open: datagrams twice", d, float64(r.Duplicates))
		f.note("fail-open: datagrams out of order", d, float64(r.Late))
		if r.Duplicates+r.Late > 0 || len(r.Arrivals) == 0 {
			f.t.Errorf("%s, from %s: %d datagrams sent, %d twice, %d late; longest stall of the machine %v",
				d.name, sideNames[side], r.Sent, r.Duplicates, r.Late, b.stalls.Longest())
		}
	}
	b.stop()
}

// cpu is how long the box's process has been on a CPU; 0 for a Linux bridge.
func (d *device) cpu() time.Duration {
	if d.box.process == nil {
		return 0
	}
	d.box.t.Helper()
	used, err := onCPU(d.box.process.PID())
	if err != nil {
		d.box.t.Fatal(err)
	}
	return used
}

func percent(part, whole time.Duration) float64 { return 100 * float64(part) / float64(whole) }

// allowedCPUs are those that this process may use, in their order.
func allowedCPUs(t *testing.T) (cpus []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}
