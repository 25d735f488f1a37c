package main

import (
	"context"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// TestLabFullQueue: frames for a NIC that sends next to nothing drop with their
// reason, and those of the other direction cross as if nothing were.
func TestLabFullQueue(t *testing.T) {
	b := newLabBox(t, bridgetest.InlineOption{}, "send_buffer = 262144\n")
	b.start()
	// No answer to ARP gets through the full queue.
	b.command(b.top.Server, 10*time.Second, "ip", "neigh", "replace", bridgetest.ClientAddr(0),
		"lladdr", b.top.Client.HardwareAddr(bridgetest.HostNIC).String(), "dev", bridgetest.HostNIC, "nud", "permanent")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	stream, err := bridgetest.StartStream(b.top.Server, b.top.Client, bridgetest.ClientAddr(0), 4000, 500*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_, _ = stream.Stop()
		}
	}()
	b.command(b.top.Box, 10*time.Second, "tc", "qdisc", "replace", "dev", bridgetest.WANNIC, "root", "tbf",
		"rate", "8kbit", "burst", "1540", "limit", "16mb")
	flood, err := b.top.Client.Injector(bridgetest.HostNIC)
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	s := shape{"flood", b.top.Server.HardwareAddr(bridgetest.HostNIC), b.top.Client.HardwareAddr(bridgetest.HostNIC), []uint16{0x88b5}, 1000}
	const enough = 200 // frames dropped
	var stats boxStats
	for sent := 0; stats.Reasons["egress-full"] < enough; {
		for range 100 { // no more than the queues of the namespaces take
			if err := flood.Send(s.frame(sent)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if _, err := stream.Wait(ctx, 20); err != nil {
			t.Fatalf("the other direction stands after %d frames: %v", sent, err)
		}
		b.ask(&stats, "stats")
	}
	result, err := stream.Stop()
	stopped = true
	if err != nil || result.Lost() != 0 || result.Duplicates != 0 || result.Late != 0 {
		t.Errorf("of the other direction's %d datagrams %d are lost, %d came twice, %d late: %v", result.Sent, result.Lost(), result.Duplicates, result.Late, err)
	}
	for reason, n := range stats.Reasons {
		if reason != "other" && reason != "egress-full" && n != 0 {
			t.Errorf("%d frames are counted as %s", n, reason)
		}
	}
	b.stop()
}
