package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// What limits cost, in octets of heap for each entry. Whoever changes them
// changes README's sentence about memory.
const (
	octetsPerConnection = 1280
	octetsPerCall       = 512
	octetsPerFragment   = 1280
	// What translation adds to them.
	octetsPerTranslatedConnection = 512
	octetsPerTranslatedCall       = 1024
	// octetsPerSharedCall is what several workers in a direction add: a key map in
	// shards, each with room for what chance may put there.
	octetsPerSharedCall = 160
	// octetsPerWorker are the batches of one more worker in each direction (64
	// frames of 66 KiB each).
	octetsPerWorker = 9 << 20
	// octetsFixed are the batches of both ports (64 frames of 66 KiB each), the
	// last 1,024 events, which wait for all their readers together, the log lines
	// that wait, and what tables have beside their entries.
	octetsFixed = 16 << 20
	// octetsOfProgram are its own pages, stacks, and the garbage collector's
	// records.
	octetsOfProgram = 16 << 20
)

// memoryBound returns how many octets the box may take at most under a
// configuration: all tables, and as much again, for the garbage collector
// begins when the heap has doubled, and the rings of both ports. Lists that are
// being read come on top of it.
func memoryBound(c *config.Config, mtu int) uint64 {
	workers := c.Bridge.Workers
	rings := 2 * workers * portOptions(&c.Bridge).Memory(mtu).Ring
	return 2*(tablesBound(c)+octetsFixed+uint64(workers-1)*octetsPerWorker) + octetsOfProgram + uint64(rings)
}

func tablesBound(c *config.Config) uint64 {
	l := &c.Limits
	bound := l.Connections*octetsPerConnection + l.Calls*octetsPerCall + l.Fragments*octetsPerFragment + l.HoldBytes
	if c.NAT.Active() {
		bound += l.Connections*octetsPerTranslatedConnection + l.Calls*octetsPerTranslatedCall
	}
	if c.Bridge.Workers > 1 {
		bound += l.Calls * octetsPerSharedCall
	}
	return uint64(bound)
}

// TestMemoryBound holds what tables take against what memoryBound says.
func TestMemoryBound(t *testing.T) {
	for _, n := range []struct{ connections, calls, fragments int }{
		{1, 1, 1}, {64, 64, 64}, {1024, 1024, 16384}, {16384, 65536, 4096}, {1 << 16, 1, 1}, {1, 1 << 18, 1},
	} {
		for _, variant := range []struct {
			mode    config.NATMode
			workers int
		}{{config.NATOff, 1}, {config.NATCallID, 1}, {config.NATOff, 2}, {config.NATCallID, 4}} {
			c := config.Default()
			c.NAT.Mode, c.Bridge.Workers = variant.mode, variant.workers
			c.Limits.Connections, c.Limits.Calls, c.Limits.Fragments, c.Limits.HoldBytes = n.connections, n.calls, n.fragments, 0
			const beside = 512 << 10 // a table without entries has its shards
			heap, bound := heapOf(&c), tablesBound(&c)+beside
			t.Logf("%+v, %+v: %s of heap, bound %s", n, variant, mebibytes(heap), mebibytes(bound))
			if heap > bound || heap < bound/2 && bound > 4*beside {
				t.Errorf("%+v: %d octets of heap, want at most %d, and no less than half of that", n, heap, bound)
			}
		}
	}
}

// heapOf returns what a tracker takes on the heap that follows as many
// fragmented datagrams as it may.
func heapOf(c *config.Config) uint64 {
	hosts := [2]*tracktest.Host{tracktest.NewHost(track.LAN, "192.0.2.10"), tracktest.NewHost(track.WAN, "198.51.100.1")}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	options := trackOptions(c)
	names := translate(&options, c, 0, nil)
	tracker := track.New(options)
	var lanes [2][]*track.Lane
	for range c.Bridge.Workers {
		for side := range lanes {
			lanes[side] = append(lanes[side], tracker.Lane(track.Side(side)))
		}
	}
	for id := range uint32(c.Limits.Fragments) {
		packet := tracktest.IP{ID: id + 1, Proto: wire.ProtocolGRE, Payload: make([]byte, 32)}
		from := id % 2
		lane := lanes[from][int(id/2)%c.Bridge.Workers]
		lane.Process([]track.Frame{{Data: packet.Piece(hosts[from], hosts[1-from], 0, 32, true)}}, 1)
		lane.Events()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(lanes)
	runtime.KeepAlive(names)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// checkMemory holds the most memory that the box has ever taken against its
// bound.
func (l *floodLab) checkMemory() {
	l.t.Helper()
	conf := config.Default()
	peak, bound := l.peak(), memoryBound(&conf, 1500)
	l.t.Logf("the box has taken %s at most; its limits allow %s", mebibytes(peak), mebibytes(bound))
	if peak > bound {
		l.t.Errorf("the box has taken %s, its limits allow %s", mebibytes(peak), mebibytes(bound))
	}
}

// peak returns the most memory that the box has had resident, in octets.
func (l *floodLab) peak() uint64 {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				l.t.Fatal(err)
			}
			return n << 10
		}
	}
	l.t.Fatalf("no VmHWM in %s", status)
	return 0
}
