package bridge_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// beltPort is a port without any cost of its own: Receive gives the batch that
// the test has laid on it, again and again, and Send refuses every fourth
// frame.
type beltPort struct {
	batch []track.Frame
	sent  int
}

func (p *beltPort) Receive(time.Duration) ([]track.Frame, error) { return p.batch, nil }
func (p *beltPort) Wake()                                        {}

func (p *beltPort) Send(frames []*track.Frame) error {
	for i, f := range frames {
		if i%4 == 3 {
			f.Verdict, f.Reason = track.Drop, track.ReasonEgressFull
		} else {
			p.sent++
		}
	}
	return nil
}

// TestNoAllocation: what a worker does with a batch allocates nothing: GRE of a
// call, GRE of none, other traffic, held fragments, frames that the port
// refuses.
func TestNoAllocation(t *testing.T) {
	var ports [2]beltPort
	events := 0
	o := track.DefaultOptions()
	engine := bridge.NewEngine(o, func(track.Event) { events++ })
	box := bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{&ports[track.LAN]}, WAN: []bridge.Port{&ports[track.WAN]}, Engine: engine,
		Clock: func() track.Time { return tracktest.Epoch },
	})
	cycle := func(side track.Side) {
		if err := box.Cycle(side); err != nil {
			t.Fatal(err)
		}
	}
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) {
		ports[r.Side].batch = []track.Frame{{Data: r.Data}}
		cycle(r.Side)
	}
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	call.Both()
	w.Tap = nil
	if calls := engine.Calls(); len(calls) != 1 || calls[0].State != track.CallActive {
		t.Fatalf("calls %+v, want one that is active", calls)
	}
	for _, side := range sides {
		ports[side].batch = steadyBatch(call, side)
		if len(ports[side].batch) > bridge.BatchSize {
			t.Fatal("the batch is too long")
		}
		for range 100 { // until every buffer has its size and every report was made
			cycle(side)
		}
		before, sent, reported := engine.Stats(), ports[side.Other()].sent, events
		const runs = 200
		if allocs := testing.AllocsPerRun(runs, func() { cycle(side) }); allocs != 0 {
			t.Errorf("%s: %v allocations per batch, want 0", side, allocs)
		}
		after := engine.Stats()
		for _, reason := range []string{"call", "not-negotiated", "other", "pause", "egress-full"} {
			if after.Reasons[reason]-before.Reasons[reason] < runs {
				t.Errorf("%s: too few frames of reason %s: the test does not test", side, reason)
			}
		}
		if gone := uint64(ports[side.Other()].sent - sent); gone != after.Forwarded-before.Forwarded || gone < runs {
			t.Errorf("%s: %d frames sent, %d counted", side, gone, after.Forwarded-before.Forwarded)
		}
		if events != reported {
			t.Errorf("%s: %d events in the steady state", side, events-reported)
		}
	}
}

// steadyBatch has some of every kind of frame; the fragments of a datagram come
// with their first one last.
func steadyBatch(call *tracktest.Call, side track.Side) (batch []track.Frame) {
	from, to := call.Conn.Ends[0].Host, call.Conn.Ends[1].Host
	if side == track.WAN {
		from, to = to, from
	}
	add := func(frames ...[]byte) {
		for _, data := range frames {
			batch = append(batch, track.Frame{Data: bytes.Clone(data)})
		}
	}
	for i := range 8 {
		add(call.Packet(from, 100).Frame(from, to))
		add(tracktest.GRE{CallID: uint16(1000 + i)}.Frame(from, to))
		add(numbered(from, to, i), numbered(from, to, i), pause(from))
	}
	packet := tracktest.GRE{CallID: call.To(from), Payload: make([]byte, 1000)}.IP()
	packet.ID = 77
	parts := packet.Fragment(from, to, 800)
	add(parts[1], parts[0])
	return batch
}
