package bridge_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// deafPort is a memory port whose Receive does not return before it is let go.
type deafPort struct {
	*bridgetest.Port
	letGo chan struct{}
}

func (p deafPort) Receive(time.Duration) ([]track.Frame, error) {
	<-p.letGo
	return nil, nil
}

// TestCycles: workers without frames count on, one that is stuck does not.
func TestCycles(t *testing.T) {
	deaf := deafPort{bridgetest.NewPort(), make(chan struct{})}
	box := bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{bridgetest.NewPort(), bridgetest.NewPort()}, WAN: []bridge.Port{bridgetest.NewPort(), deaf}, Engine: bridge.NewEngine(track.DefaultOptions(), func(track.Event) {}),
	})
	if c := box.Cycles(); fmt.Sprint(c) != "[[0 0] [0 0]]" {
		t.Errorf("before it runs: %v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- box.Run(ctx) }()
	waitCycles(t, box, track.LAN, 0, 5)
	waitCycles(t, box, track.LAN, 1, 5)
	waitCycles(t, box, track.WAN, 0, 5)
	waitCycles(t, box, track.WAN, 1, 1)
	if c := box.Cycles(); c[track.WAN][1] != 1 {
		t.Errorf("the worker that is stuck has counted %d cycles, want the one it is in", c[track.WAN][1])
	}
	close(deaf.letGo)
	waitCycles(t, box, track.WAN, 1, 5)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func waitCycles(t *testing.T, box *bridge.Box, side track.Side, worker int, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(patience); box.Cycles()[side][worker] < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("cycles %v, want %d of worker %d from the %s side", box.Cycles(), n, worker, side)
		}
	}
}
