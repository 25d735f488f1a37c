package bridge_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestSeveralWorkers: what comes in by port i of a side leaves by port i of the
// other, in its order, both ways at once.
func TestSeveralWorkers(t *testing.T) {
	const workers, n = 3, 5*bridge.BatchSize + 7
	var ports [2][]bridge.Port
	var memory [2][]*bridgetest.Port
	for side := range ports {
		for range workers {
			p := bridgetest.NewPort()
			memory[side], ports[side] = append(memory[side], p), append(ports[side], p)
		}
	}
	o := track.DefaultOptions()
	o.Workers = workers
	engine := bridge.NewEngine(o, func(track.Event) {})
	var changes atomic.Int32
	down := make(chan struct{}, 2*workers)
	box := bridge.NewBox(bridge.Options{
		LAN: ports[track.LAN], WAN: ports[track.WAN], Engine: engine, OnLink: func(track.Side, bool) {
			changes.Add(1)
			down <- struct{}{}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := box.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var want [2][workers][][]byte
	for i := range n {
		for _, side := range sides {
			for worker := range workers {
				from, to := hosts(side)
				f := numbered(from, to, workers*i+worker)
				memory[side][worker].Inject(f)
				want[side.Other()][worker] = append(want[side.Other()][worker], f)
			}
		}
	}
	for _, side := range sides {
		for worker := range workers {
			waiting, enough := context.WithTimeout(t.Context(), patience)
			sent, _ := memory[side][worker].WaitSent(waiting, n) // what is missing shows below
			enough()
			var got [][]byte
			for _, f := range sent {
				got = append(got, f.Data)
			}
			if diff := cmp.Diff(want[side][worker], got); diff != "" {
				t.Errorf("sent to %s by port %d (-want +got):\n%s", side, worker, diff)
			}
		}
	}
	for worker := range workers {
		memory[track.LAN][worker].SetDown(true)
	}
	select {
	case <-down:
	case <-time.After(patience):
	}
	cancel()
	running.Wait()
	if n := changes.Load(); n != 1 {
		t.Errorf("a link that went down was said %d times", n)
	}
	if s := engine.Stats(); s.Frames != 2*workers*n || s.Forwarded != s.Frames || s.Sides["lan"].Frames != workers*n {
		t.Errorf("stats %+v, want %d frames", s.Totals, 2*workers*n)
	}
}

// TestOthersMissing: a worker whose guard finds frames gone past again and again,
// because another one is missing, sends none of them, and does end.
func TestOthersMissing(t *testing.T) {
	l, g := guarded(t)
	var missing atomic.Bool
	missing.Store(true)
	g.late = missing.Load
	l.start()
	l.ports[track.LAN].Inject(frames(0, 1000)...)
	l.counted("bypassed", 1000)
	missing.Store(false)
	next := 1000
	for ticker := time.NewTicker(time.Millisecond); len(l.ports[track.WAN].Sent()) == 0; next++ {
		l.ports[track.LAN].Inject(frames(next, 1)...)
		<-ticker.C
	}
	if sent := l.numbersSent(); sent[0] < 1000 {
		t.Errorf("frame %d was sent", sent[0])
	}
	missing.Store(true)
	l.stop()
}

// TestTurns: workers of a direction have CPUs of their own, and both workers of
// a call, as far as there are enough.
func TestTurns(t *testing.T) {
	for _, c := range []struct {
		cpus, workers int
		lan, wan      []int
	}{
		{2, 1, []int{0}, []int{1}}, {8, 1, []int{0}, []int{1}}, {1, 1, []int{0}, []int{0}},
		{2, 2, []int{0, 1}, []int{1, 0}}, {4, 2, []int{0, 1}, []int{3, 2}}, {16, 4, []int{0, 1, 2, 3}, []int{7, 6, 5, 4}},
		{4, 4, []int{0, 1, 2, 3}, []int{3, 2, 1, 0}},
	} {
		for i := range c.workers {
			lan, wan := bridge.Turn(track.LAN, i, c.workers)%c.cpus, bridge.Turn(track.WAN, i, c.workers)%c.cpus
			if lan != c.lan[i] || wan != c.wan[i] {
				t.Errorf("%d CPUs, worker %d of %d: %d and %d, want %d and %d", c.cpus, i, c.workers, lan, wan, c.lan[i], c.wan[i])
			}
		}
	}
}

// TestNoAllocationOfSeveral: two workers in a direction with a key map in shards
// and guards allocate nothing for a batch.
func TestNoAllocationOfSeveral(t *testing.T) {
	var ports [2][2]beltPort
	o := track.DefaultOptions()
	o.Workers = 2
	engine := bridge.NewEngine(o, func(track.Event) {})
	guards := [2][]bridge.Guard{{free{}, free{}}, {free{}, free{}}}
	box := bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{&ports[0][0], &ports[0][1]}, WAN: []bridge.Port{&ports[1][0], &ports[1][1]}, Engine: engine,
		Clock: func() track.Time { return tracktest.Epoch }, Guards: guards,
	})
	cycle := func(side track.Side, worker int) {
		if err := box.CycleOf(side, worker); err != nil {
			t.Fatal(err)
		}
	}
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) {
		ports[r.Side][1].batch = []track.Frame{{Data: r.Data}}
		cycle(r.Side, 1)
	}
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	call.Both()
	w.Tap = nil
	for _, side := range sides {
		for worker := range 2 {
			ports[side][worker].batch = steadyBatch(call, side)
			for range 100 {
				cycle(side, worker)
			}
			before := engine.Stats().Reasons["call"]
			const runs = 200
			if allocs := testing.AllocsPerRun(runs, func() { cycle(side, worker) }); allocs != 0 {
				t.Errorf("%s, worker %d: %v allocations per batch, want 0", side, worker, allocs)
			}
			if engine.Stats().Reasons["call"]-before < runs {
				t.Errorf("%s, worker %d: too few frames of the call", side, worker)
			}
		}
	}
}

// free is a Guard of frames that never go past.
type free struct{}

func (free) Beat() bool   { return true }
func (free) Bypass() bool { return false }
func (free) Release()     {}
