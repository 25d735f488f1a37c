package bridge_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// scriptGuard is a Guard that the test moves.
type scriptGuard struct {
	mu      sync.Mutex
	missed  bool
	bypass  bool
	late    func() bool // asked by Beat, if set
	log     []string    // beats in a row count once
	changed chan struct{}
}

func newGuard() *scriptGuard { return &scriptGuard{changed: make(chan struct{})} }

func (g *scriptGuard) note(what string) {
	if len(g.log) == 0 || g.log[len(g.log)-1] != what {
		g.log = append(g.log, what)
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *scriptGuard) Beat() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	missed := g.missed || g.late != nil && g.late()
	g.missed = false
	g.note("beat")
	return !missed
}

func (g *scriptGuard) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note("release")
}

func (g *scriptGuard) Bypass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bypass
}

func (g *scriptGuard) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// until waits for an entry at the log's end.
func (g *scriptGuard) until(t *testing.T, what string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		g.mu.Lock()
		last, changed := g.log[max(0, len(g.log)-1):], g.changed
		g.mu.Unlock()
		if slices.Equal(last, []string{what}) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the guard never got a %s", what)
		}
	}
}

// guarded returns a box with a guard on frames from the LAN; it does not run.
func guarded(t *testing.T) (*boxLab, *scriptGuard) {
	l, g := newLab(t), newGuard()
	l.box = bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{l.ports[track.LAN]}, WAN: []bridge.Port{l.ports[track.WAN]}, Engine: l.engine,
		Clock:  func() track.Time { return track.Time(l.clock.Load()) },
		Guards: [2][]bridge.Guard{track.LAN: {g}},
	})
	return l, g
}

// counted waits until so many frames from the LAN have that reason.
func (l *boxLab) counted(reason string, n uint64) {
	l.t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); ; {
		if l.engine.Stats().Sides["lan"].Reasons[reason] >= n {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			l.t.Fatalf("reasons %v, want %d %s", l.engine.Stats().Reasons, n, reason)
		}
	}
}

// numbersSent are the numbers of the frames that left by the WAN.
func (l *boxLab) numbersSent() (numbers []int) {
	for _, f := range l.ports[track.WAN].Sent() {
		numbers = append(numbers, numberOf(f.Data))
	}
	return numbers
}

func frames(from, n int) (all [][]byte) {
	for i := range n {
		all = append(all, numbered(client, server, from+i))
	}
	return all
}

// waitPort notes how long its worker would wait.
type waitPort struct {
	*bridgetest.Port
	longest atomic.Int64
}

func (p *waitPort) Receive(wait time.Duration) ([]track.Frame, error) {
	p.longest.Store(max(p.longest.Load(), int64(wait)))
	return p.Port.Receive(wait)
}

// TestGuardBeats: an idle worker beats often enough for a guard that takes it
// for missing after 100 ms, even if one beat is missed, and lets go when it ends.
func TestGuardBeats(t *testing.T) {
	l, g := newLab(t), newGuard()
	lan := &waitPort{Port: l.ports[track.LAN].Port}
	l.box = bridge.NewBox(bridge.Options{LAN: []bridge.Port{lan}, WAN: []bridge.Port{l.ports[track.WAN]}, Engine: l.engine, Guards: [2][]bridge.Guard{track.LAN: {g}}})
	l.start()
	for range 5 {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("no beat")
		}
	}
	l.stop()
	g.until(t, "release")
	if longest := time.Duration(lan.longest.Load()); longest >= 50*time.Millisecond {
		t.Errorf("the worker waits up to %v for a frame", longest)
	}
}

// TestGuardMissed: what came while the worker was missing is not sent, however
// much it is; what comes afterwards is.
func TestGuardMissed(t *testing.T) {
	const old = 5*bridge.BatchSize + 3
	l, g := guarded(t)
	g.missed = true
	l.ports[track.LAN].Inject(frames(0, old)...)
	l.start()
	l.counted("bypassed", old)
	g.until(t, "beat")
	// The worker drops on while it settles: send until one has passed.
	next := old
	for ticker := time.NewTicker(time.Millisecond); len(l.ports[track.WAN].Sent()) == 0; next++ {
		l.ports[track.LAN].Inject(frames(next, 1)...)
		<-ticker.C
	}
	l.stop()
	sent := l.numbersSent()
	if !slices.IsSorted(sent) || sent[0] < old {
		t.Errorf("sent %v, want none below %d and all in order", sent, old)
	}
	if s := l.stats(); s.Reasons["bypassed"]+uint64(len(sent)) != uint64(next) {
		t.Errorf("reasons %v and %d sent, want %d in all", s.Reasons, len(sent), next)
	}
}

// TestGuardInHands: a worker that was stopped with a batch in hands, at any
// point of its way, does not send it.
func TestGuardInHands(t *testing.T) {
	for at, name := range map[int]string{2: "after it was received", 3: "before it is sent"} {
		t.Run(name, func(t *testing.T) {
			l, g := guarded(t)
			asked := 0
			g.late = func() bool { asked++; return asked == at }
			l.ports[track.LAN].Inject(frames(0, 10)...)
			if err := l.box.Cycle(track.LAN); err != nil {
				t.Fatal(err)
			}
			if sent := l.numbersSent(); len(sent) != 0 {
				t.Errorf("sent %v", sent)
			}
			if s := l.engine.Stats(); s.Reasons["bypassed"] != 10 || s.Frames != 10 {
				t.Errorf("reasons %v, want 10 bypassed", s.Reasons)
			}
		})
	}
}

// TestGuardBypass: a worker that is to stand aside lets go once it has sent its
// last frame, looks on, and takes over again. Calls that were agreed meanwhile
// are known, and frames held before are not sent.
func TestGuardBypass(t *testing.T) {
	l, g := guarded(t)
	parts := fragments(client, server, 9)
	last := len(parts) - 1
	l.start()
	l.ports[track.LAN].Inject(append(frames(0, 1), parts[:last]...)...) // the fragments wait
	l.sent(track.WAN, 1)
	g.set(func() { g.bypass = true })
	g.until(t, "release")
	before := l.engine.Stats().Sides["lan"].Reasons["bypassed"]
	l.ports[track.LAN].Inject(append(frames(1, 100), parts[last])...)
	l.counted("bypassed", before+100)
	if sent := l.numbersSent(); len(sent) != 1 {
		t.Errorf("sent %v in a bypass", sent)
	}
	g.set(func() { g.bypass = false })
	g.until(t, "beat")
	next := 101
	for ticker := time.NewTicker(time.Millisecond); len(l.ports[track.WAN].Sent()) == 1; next++ {
		l.ports[track.LAN].Inject(frames(next, 1)...)
		<-ticker.C
	}
	l.stop()
	for _, f := range l.ports[track.WAN].Sent()[1:] {
		if len(f.Data) > 60 || numberOf(f.Data) < 101 {
			t.Errorf("a frame of before was sent: %x", f.Data)
		}
	}
	l.stats()
}

// TestGuardWatches: a call that is agreed while frames go past the box is known
// when it is back.
func TestGuardWatches(t *testing.T) {
	l := newLab(t)
	var guards [2]*scriptGuard
	o := bridge.Options{
		LAN: []bridge.Port{l.ports[track.LAN]}, WAN: []bridge.Port{l.ports[track.WAN]}, Engine: l.engine,
		Clock: func() track.Time { return track.Time(l.clock.Load()) },
	}
	for side := range guards {
		guards[side] = newGuard()
		guards[side].bypass = true
		o.Guards[side] = []bridge.Guard{guards[side]}
	}
	l.box = bridge.NewBox(o)
	world := tracktest.New(t) // makes the frames of a call, and judges none
	world.Tap = func(r tracktest.Result) {
		l.ports[r.Side].Inject(r.Data)
		if err := l.box.Cycle(r.Side); err != nil {
			t.Fatal(err)
		}
	}
	conn := world.Dial(world.Client, world.Server)
	call := conn.OutCall(1, 2)
	for side := range guards {
		if n := len(l.ports[side].Sent()); n != 0 {
			t.Fatalf("%d frames sent in a bypass", n)
		}
		guards[side].set(func() { guards[side].bypass = false })
		if err := l.box.Cycle(track.Side(side)); err != nil {
			t.Fatal(err)
		}
	}
	call.GRE(world.Client)
	call.GRE(world.Server)
	if s := l.engine.Stats(); s.Reasons["call"] != 2 || len(l.ports[track.LAN].Sent()) != 1 || len(l.ports[track.WAN].Sent()) != 1 {
		t.Errorf("reasons %v, want the GRE of a call both ways", s.Reasons)
	}
}
