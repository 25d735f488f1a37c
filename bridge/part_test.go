package bridge_test

import (
	"slices"
	"testing"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// notingPort notes with a guard when something is sent.
type notingPort struct {
	*choosyPort
	guard *scriptGuard
}

func (p *notingPort) Send(frames []*track.Frame) error {
	p.guard.set(func() { p.guard.note("send") })
	return p.choosyPort.Send(frames)
}

// heavy returns a batch full of call requests on a connection that the box knows.
func heavy(t *testing.T, l *boxLab) (all [][]byte) {
	world := tracktest.New(t) // makes the frames, and judges none
	world.Tap = func(r tracktest.Result) {
		l.ports[r.Side].Inject(r.Data)
		if err := l.box.Cycle(r.Side); err != nil {
			t.Fatal(err)
		}
	}
	c := world.Dial(world.Client, world.Server)
	var requests []pptp.Message
	for id := range uint16(8) {
		requests = append(requests, tracktest.OutRequest(id))
	}
	for range bridge.BatchSize {
		s := c.Segment(world.Client, c.End(world.Client).Next, wire.ACK|wire.PSH, tracktest.Encode(requests...))
		c.Sent(world.Client, s, tracktest.Result{Verdict: track.Forward})
		all = append(all, s.Frame(world.Client, world.Server))
		for i := range requests { // the next ask for other calls
			requests[i] = tracktest.OutRequest(uint16(8*len(all) + i))
		}
	}
	return all
}

// TestHeavyBatch: a batch that is much work leaves in parts, in order, and the
// guard hears of the worker before each of them.
func TestHeavyBatch(t *testing.T) {
	l, g := guarded(t)
	l.box = bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{l.ports[track.LAN]}, WAN: []bridge.Port{&notingPort{l.ports[track.WAN], g}}, Engine: l.engine,
		Clock:  func() track.Time { return track.Time(l.clock.Load()) },
		Guards: [2][]bridge.Guard{track.LAN: {g}},
	})
	batch := heavy(t, l)
	before := len(l.ports[track.WAN].Sent())
	g.set(func() { g.log = nil })
	l.ports[track.LAN].Inject(batch...)
	if err := l.box.Cycle(track.LAN); err != nil {
		t.Fatal(err)
	}
	var sent [][]byte
	for _, f := range l.ports[track.WAN].Sent()[before:] {
		sent = append(sent, f.Data)
	}
	if !slices.EqualFunc(sent, batch, slices.Equal) {
		t.Errorf("%d frames were sent of %d, or in another order", len(sent), len(batch))
	}
	if want := []string{"beat", "send", "beat", "send"}; len(g.log) < len(want) || !slices.Equal(g.log[:len(want)], want) {
		t.Errorf("the guard's log is %v, want %v and so on", g.log, want)
	}
}

// TestHeavyBatchGuardLost: if the guard leads frames past the box between two parts of a
// batch, the rest of it is not sent.
func TestHeavyBatchGuardLost(t *testing.T) {
	l, g := guarded(t)
	batch := heavy(t, l)
	before := len(l.ports[track.WAN].Sent())
	asked := 0
	g.late = func() bool { asked++; return asked == 4 } // after the first part has left
	l.ports[track.LAN].Inject(batch...)
	if err := l.box.Cycle(track.LAN); err != nil {
		t.Fatal(err)
	}
	sent := uint64(len(l.ports[track.WAN].Sent()) - before)
	if bypassed := l.engine.Stats().Reasons["bypassed"]; sent == 0 || bypassed == 0 || sent+bypassed != uint64(len(batch)) {
		t.Errorf("%d frames sent, %d dropped as bypassed, of %d", sent, bypassed, len(batch))
	}
}
