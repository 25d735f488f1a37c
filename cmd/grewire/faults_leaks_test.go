package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/config"
)

// footprint is what a process takes of the machine.
type footprint struct {
	files, threads, namespaces int
	resident, peak             uint64 // octets
}

func (l *faultLab) footprint() (f footprint) {
	l.t.Helper()
	pid := l.process.PID()
	f.files, f.threads = descriptors(l.t, pid), int(l.fromStatus("Threads", 1))
	f.resident, f.peak = l.fromStatus("VmRSS", 1<<10), l.fromStatus("VmHWM", 1<<10)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", pid))
	if err != nil {
		l.t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, path := range links {
		if ns, err := os.Readlink(path); err == nil { // a thread may have ended
			found[ns] = true
		}
	}
	f.namespaces = len(found)
	return f
}

// fromStatus reads a number from proc_pid_status(5).
func (l *faultLab) fromStatus(key string, unit uint64) uint64 {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	match := regexp.MustCompile(key + `:\s+(\d+)`).FindSubmatch(status)
	if match == nil {
		l.t.Fatalf("no %s in %s", key, status)
	}
	n, err := strconv.ParseUint(string(match[1]), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return n * unit
}

// endLife checks the counters of a life of the box that is about to end, and
// its memory, and adds them up.
func (l *faultLab) endLife() {
	l.t.Helper()
	stats, err := l.settledStats()
	if err != nil {
		l.t.Error(err)
	}
	l.total.frames += stats.Frames
	for reason, n := range stats.Reasons {
		l.total.reasons[reason] += n
	}
	for _, event := range regexp.MustCompile(`"event":"([a-z-]+)","detail"`).FindAllStringSubmatch(l.process.Output(), -1) {
		l.total.events[event[1]]++
	}
	l.checkHeap()
	for _, bad := range []string{"panic", "fatal error", "WARNING: DATA RACE"} {
		if strings.Contains(l.process.Output(), bad) {
			l.t.Errorf("the box said: %s", l.process.Output())
		}
	}
}

// lived is what a line of GODEBUG=gctrace=1 says to be alive after a collection.
var lived = regexp.MustCompile(`(?m)^gc \d+ @.*->(\d+) MB, `)

// checkHeap holds the memory of the box, and what was alive on its heap at any
// collection, against what its limits allow. A collection takes what is made or
// dropped while it lasts for alive: the batches of NICs that are opened again,
// 4 MiB each time, are counted twice.
func (l *faultLab) checkHeap() {
	l.t.Helper()
	conf := config.Default()
	conf.Bridge.Workers = l.workers
	if peak, bound := l.fromStatus("VmHWM", 1<<10), memoryBound(&conf, 1500); peak > bound {
		l.t.Errorf("the box has taken %s, its limits allow %s", mebibytes(peak), mebibytes(bound))
	}
	for _, match := range lived.FindAllStringSubmatch(l.process.Output(), -1) {
		n, err := strconv.ParseUint(match[1], 10, 64)
		l.must(err)
		l.total.collections, l.total.alive = l.total.collections+1, max(l.total.alive, n)
		if bound := tablesBound(&conf) + 2*octetsFixed + 2*uint64(l.workers-1)*octetsPerWorker; n<<20 > bound {
			l.t.Errorf("%d MiB of the heap are alive, the limits allow %s", n, mebibytes(bound))
		}
	}
}

// settledStats asks for the counters until they add up: while frames flow they
// are read between two of them.
func (l *faultLab) settledStats() (stats boxStats, err error) {
	l.t.Helper()
	for range 10 {
		stats = boxStats{}
		l.ask(&stats, "stats")
		if err = addUp(&stats); err == nil {
			return stats, nil
		}
	}
	return stats, err
}

// addUp checks that every frame has one verdict and one reason, on each side.
func addUp(s *boxStats) error {
	sides := s.Sides[sideNames[0]].Frames + s.Sides[sideNames[1]].Frames
	if sides != s.Frames {
		return fmt.Errorf("%d frames of both sides, %d in all", sides, s.Frames)
	}
	for _, side := range sideNames {
		t, sum := s.Sides[side], uint64(0)
		for _, n := range t.Reasons {
			sum += n
		}
		if sum != t.Frames || t.Forwarded+t.Rewritten+t.Dropped != t.Frames {
			return fmt.Errorf("from %s: %d frames, but %d forwarded, %d rewritten, %d dropped; reasons %v", side, t.Frames, t.Forwarded, t.Rewritten, t.Dropped, t.Reasons)
		}
	}
	return nil
}

// checkLeftovers compares the box, which has nothing to do any more, with a
// fresh one, and looks at what stays when that has gone.
func (l *faultLab) checkLeftovers(before footprint) {
	l.t.Helper()
	l.checkPorts()
	l.t.Logf("calls whose end the box has not seen, which end by their timeouts:\n%s", l.calls())
	l.endLife()
	old := l.footprint()
	oldStacks := l.stacks()
	l.startBox()
	l.ping()
	fresh := l.footprint()
	freshStacks := l.stacks()
	l.t.Logf("after half of the faults %+v, after all %+v, fresh %+v", before, old, fresh)
	const moreThreads = 8 // they never end, and are as many as once were busy
	if old.files != fresh.files || old.threads > fresh.threads+moreThreads || old.namespaces != 1 || fresh.namespaces != 1 {
		l.t.Errorf("the box has %+v, a fresh one %+v", old, fresh)
	}
	if !slices.Equal(oldStacks, freshStacks) {
		l.t.Errorf("goroutines of the box: %q\nof a fresh one: %q", oldStacks, freshStacks)
	}
	l.startBox()
	l.ping()
	l.checkPrograms(1)
	l.stop()
	l.command(l.top.Box, 20*time.Second, l.binary, "bypass", "off", "-config", l.config)
	l.checkPrograms(0)
	l.checkNICs()
}

// checkPorts: what the ports have received and sent is what the box has
// counted.
func (l *faultLab) checkPorts() {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		stats, err := l.settledStats()
		lan, wan := stats.Ports["lan"], stats.Ports["wan"]
		fromLAN, fromWAN := stats.Sides["lan"], stats.Sides["wan"]
		if err == nil && lan.Received == fromLAN.Frames && wan.Received == fromWAN.Frames &&
			lan.Sent == fromWAN.Forwarded+fromWAN.Rewritten && wan.Sent == fromLAN.Forwarded+fromLAN.Rewritten {
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("ports and counters differ: %+v %+v; %+v %+v; %v", lan, wan, fromLAN, fromWAN, err)
			return
		}
	}
}

// created is by whom a goroutine was started.
var created = regexp.MustCompile(`(?m)^created by (\S+)`)

// stacks ends the box by SIGQUIT, which has it print all its goroutines, and
// returns where they come from.
func (l *faultLab) stacks() (all []string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	l.must(l.process.Signal(unix.SIGQUIT))
	if err := l.process.Wait(ctx); ctx.Err() != nil {
		l.t.Fatal(err)
	}
	l.box = boxDead
	for _, match := range created.FindAllStringSubmatch(l.process.Output(), -1) {
		if !strings.HasPrefix(match[1], "runtime.") { // the garbage collector's are as many as it needs
			all = append(all, match[1])
		}
	}
	if len(all) == 0 {
		l.t.Fatalf("no stacks: %s", l.process.Output())
	}
	slices.Sort(all)
	return all
}

// checkPrograms checks how many kernel programs each hook of a NIC has.
func (l *faultLab) checkPrograms(want int) {
	l.t.Helper()
	err := l.top.Box.Do(func() error {
		for _, name := range boxNICs {
			nic, err := l.top.Box.Netlink().LinkByName(name)
			if err != nil {
				return err
			}
			for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				found, err := link.QueryPrograms(link.QueryOptions{Target: nic.Attrs().Index, Attach: hook})
				if err != nil {
					return err
				}
				if len(found.Programs) != want {
					return fmt.Errorf("%s has %d programs at %v, want %d", name, len(found.Programs), hook, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
}

// checkNICs: without a box the NICs are as they were made.
func (l *faultLab) checkNICs() {
	l.t.Helper()
	for _, name := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		nic, err := l.top.Box.Netlink().LinkByName(name)
		if err != nil {
			l.t.Fatal(err)
		}
		if a := nic.Attrs(); a.Promisc != 0 || a.RawFlags&unix.IFF_PROMISC != 0 || a.RawFlags&unix.IFF_UP == 0 || len(a.AltNames) != 0 {
			l.t.Errorf("%s is left with promiscuity %d, flags %#x, alternative names %v", name, a.Promisc, a.RawFlags, a.AltNames)
		}
	}
}
