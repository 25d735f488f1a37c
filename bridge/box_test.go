package bridge_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

var sides = []track.Side{track.LAN, track.WAN}

// hosts returns who sends the frames that come in by side, and to whom.
func hosts(side track.Side) (from, to *tracktest.Host) {
	if side == track.LAN {
		return client, server
	}
	return server, client
}

// TestBothDirections: frames cross both ways, in their order, unchanged, though
// their memory is overwritten at the next Receive.
func TestBothDirections(t *testing.T) {
	const n = 5*bridge.BatchSize + 7
	l := newLab(t)
	l.start()
	var want [2][][]byte // by the side they leave by
	for i := range n {
		for _, side := range sides {
			from, to := hosts(side)
			f := numbered(from, to, i)
			if i%7 == 3 {
				l.ports[side].Inject(pause(from))
			}
			l.ports[side].Inject(f)
			want[side.Other()] = append(want[side.Other()], f)
		}
	}
	for _, side := range sides {
		if diff := cmp.Diff(want[side], l.sent(side, n)); diff != "" {
			t.Errorf("sent to %s (-want +got):\n%s", side, diff)
		}
	}
	l.stop()
	s := l.stats()
	pauses := uint64(2 * ((n + 3) / 7))
	if s.Forwarded != 2*n || s.Dropped != pauses || s.Reasons["pause"] != pauses || s.Octets != 60*s.Frames {
		t.Errorf("stats %+v, want %d forwarded, %d dropped", s.Totals, 2*n, pauses)
	}
}

// TestHeldFrames: fragments that wait for the first keep their bytes while the
// batch they came with is overwritten, and leave in their order.
func TestHeldFrames(t *testing.T) {
	l := newLab(t)
	l.start()
	for _, side := range sides {
		from, to := hosts(side)
		parts := fragments(from, to, 77)
		last := len(parts) - 1
		marker := numbered(from, to, 1)
		l.ports[side].Inject(append(parts[:last:last], marker)...)
		want := [][]byte{marker, parts[last]}
		want = append(want, parts[:last]...)
		l.sent(side.Other(), 1)
		l.ports[side].Inject(parts[last])
		if diff := cmp.Diff(want, l.sent(side.Other(), len(want))); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", side, diff)
		}
	}
	l.stop()
	if s := l.stats(); s.Dropped != 0 {
		t.Errorf("stats %+v, want none dropped", s.Totals)
	}
}

// hold makes the box hold frames of both sides and returns how many; the batch
// that they came with is over.
func (l *boxLab) hold() (held uint64) {
	l.t.Helper()
	for _, side := range sides {
		from, to := hosts(side)
		parts := fragments(from, to, 5)
		parts = parts[:len(parts)-1]
		before := len(l.ports[side.Other()].Sent())
		l.ports[side].Inject(append(parts, numbered(from, to, 0))...)
		l.sent(side.Other(), before+1)
		held += uint64(len(parts))
	}
	return held
}

// orphaned checks that the box, which has ended, reported and counted the
// frames that it held.
func (l *boxLab) orphaned(held uint64) {
	l.t.Helper()
	l.expect(orphans()...)
	if s := l.stats(); s.Reasons["fragment-orphan"] != held {
		l.t.Errorf("reasons %v, want %d held frames given up", s.Reasons, held)
	}
}

func TestStopWithHeldFrames(t *testing.T) {
	l := newLab(t)
	l.start()
	held := l.hold()
	l.stop()
	l.orphaned(held)
}

// TestReceiveFails: a port that fails for good ends the box, which says which
// one; both workers give up what they hold.
func TestReceiveFails(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			l := newLab(t)
			l.start()
			held := l.hold()
			l.ports[side].FailReceive(errBroken)
			if err := l.ended(); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "receive on the "+side.String()+" side: ") {
				t.Errorf("Run: %v", err)
			}
			l.orphaned(held)
		})
	}
}

// TestSendFails: what a port that fails has not sent is dropped and counted,
// as is what is held.
func TestSendFails(t *testing.T) {
	l := newLab(t)
	l.start()
	held := l.hold()
	l.ports[track.WAN].broken.Store(&errBroken)
	l.ports[track.LAN].Inject(numbered(client, server, 1), pause(client), numbered(client, server, 2))
	if err := l.ended(); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "send on the wan side: ") {
		t.Errorf("Run: %v", err)
	}
	l.orphaned(held)
	if s := l.engine.Stats().Sides["lan"]; s.Reasons["egress-down"] == 0 || s.Reasons["egress-down"]+s.Forwarded+s.Reasons["fragment-orphan"]+s.Reasons["pause"] != s.Frames {
		t.Errorf("stats %+v, want what was not sent dropped for egress-down", s)
	}
}

// TestRefusedMidBatch: a frame that the port refuses is dropped with its
// reason, reported and counted; those around it go.
func TestRefusedMidBatch(t *testing.T) {
	for _, reason := range []track.Reason{track.ReasonEgressFull, track.ReasonEgressMTU, track.ReasonEgressDown} {
		t.Run(reason.String(), func(t *testing.T) {
			l := newLab(t)
			l.ports[track.WAN].refuse = isA(reason, func(f *track.Frame) bool { return numberOf(f.Data) == 3 })
			var want [][]byte
			for i := range 8 { // one batch: they are there before the box runs
				l.ports[track.LAN].Inject(numbered(client, server, i))
				if i != 3 {
					want = append(want, numbered(client, server, i))
				}
			}
			l.start()
			if diff := cmp.Diff(want, l.sent(track.WAN, len(want))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			l.expect(dropped(track.LAN, reason))
			l.stop()
			if s := l.stats(); s.Dropped != 1 || s.Reasons[reason.String()] != 1 || s.Reasons["other"] != uint64(len(want)) {
				t.Errorf("stats %+v, want one dropped for %s", s.Totals, reason)
			}
		})
	}
}

// TestRefusedReports: a flood of refused frames is reported now and then, with
// how many were left out.
func TestRefusedReports(t *testing.T) {
	l := newLab(t)
	l.ports[track.WAN].refuse = isA(track.ReasonEgressFull, func(f *track.Frame) bool { return numberOf(f.Data) != 0 })
	l.start()
	flood := func() {
		for range 100 {
			l.ports[track.LAN].Inject(numbered(client, server, 1))
		}
		before := len(l.ports[track.WAN].Sent())
		l.ports[track.LAN].Inject(numbered(client, server, 0))
		l.sent(track.WAN, before+1)
	}
	flood()
	l.advance(time.Second)
	flood()
	l.stop()
	reports, leftOut := 0, uint64(0)
	l.noMore()
	for e, err := l.events(t.Context()); err == nil; e, err = l.events(t.Context()) {
		if e.Kind != track.EventFrameDropped || e.Frame.Reason != track.ReasonEgressFull {
			t.Fatalf("event %+v", e)
		}
		reports++
		leftOut += e.Frame.Suppressed
	}
	if reports < 2 || reports > 20 || uint64(reports)+leftOut < 100 {
		t.Errorf("%d reports, %d more left out, of 200 frames", reports, leftOut)
	}
	if s := l.stats(); s.Reasons["egress-full"] != 200 {
		t.Errorf("reasons %v, want 200 egress-full", s.Reasons)
	}
}

// TestLink: a link that goes down and comes back is told once each; meanwhile
// frames towards it are dropped, and those the other way come later.
func TestLink(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			l := newLab(t)
			l.start()
			from, to := hosts(side.Other())
			l.ports[side].SetDown(true)
			l.link(linkChange{side, false})
			l.ports[side.Other()].Inject(numbered(from, to, 1))
			l.expect(dropped(side.Other(), track.ReasonEgressDown))
			l.ports[side].Inject(numbered(to, from, 2))
			l.ports[side].SetDown(false)
			l.link(linkChange{side, true})
			l.ports[side.Other()].Inject(numbered(from, to, 3))
			if got := l.sent(side, 1); numberOf(got[0]) != 3 {
				t.Errorf("frame %d crosses first, want 3", numberOf(got[0]))
			}
			l.sent(side.Other(), 1)
			l.stop()
			l.stats()
			if len(l.links) != 0 {
				t.Errorf("one more link change: %+v", <-l.links)
			}
		})
	}
}

// TestClock: time passes by the injected clock alone, for what a worker holds
// and for calls.
func TestClock(t *testing.T) {
	l := newLab(t)
	l.start()
	l.hold()
	l.converse(func(w *tracktest.World) { w.Dial(w.Client, w.Server).OutCall(7, 9) })
	l.expect(happened(track.EventCallConnected, ""))
	if calls := l.engine.Calls(); len(calls) != 1 || len(l.engine.Expectations()) != 2 {
		t.Errorf("calls %+v, expectations %+v", calls, l.engine.Expectations())
	}
	l.advance(track.DefaultOptions().Timeouts.Expectation)
	l.expect(append(orphans(), happened(track.EventCallEnded, "timeout"))...)
	l.stop()
	l.stats()
}

// converse plays what hosts say to each other through the box, a frame at a
// time.
func (l *boxLab) converse(story func(*tracktest.World)) {
	l.t.Helper()
	w := tracktest.New(l.t)
	w.Tap = func(r tracktest.Result) {
		before := len(l.ports[r.Side.Other()].Sent())
		l.ports[r.Side].Inject(r.Data)
		if got := l.sent(r.Side.Other(), before+1); !bytes.Equal(got[before], r.Data) {
			l.t.Errorf("%s was changed", r)
		}
	}
	story(w)
}

// TestAnyMix: whatever comes in and whatever the ports refuse, every frame is
// counted once, and those of one kind keep their order.
func TestAnyMix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t)
	refusals := []track.Reason{track.ReasonEgressFull, track.ReasonEgressMTU}
	for _, side := range sides {
		l.ports[side].refuse = func(f *track.Frame) track.Reason {
			if n := len(f.Data); n > 60 && n%5 < len(refusals) {
				return refusals[n%5]
			}
			return 0
		}
	}
	l.start()
	var octets [2]uint64
	for _, side := range sides {
		from, to := hosts(side)
		for i := range 2000 {
			f := randomFrame(random, from, to, i)
			octets[side] += uint64(len(f.Data))
			l.ports[side].InjectFrame(f)
		}
		before := numbered(from, to, 1<<20)
		octets[side] += uint64(len(before))
		l.ports[side].Inject(before)
	}
	for _, side := range sides {
		l.waitNumber(side, 1<<20)
	}
	l.stop()
	s := l.stats()
	for _, side := range sides {
		if got := s.Sides[side.String()].Octets; got != octets[side] {
			t.Errorf("%s: %d octets counted, want %d", side, got, octets[side])
		}
	}
	for _, reason := range []string{"other", "any-gre", "pause", "truncated", "egress-full", "egress-mtu"} {
		if s.Reasons[reason] == 0 {
			t.Errorf("no frame %s: %v", reason, s.Reasons)
		}
	}
}

func randomFrame(random *rand.Rand, from, to *tracktest.Host, i int) track.Frame {
	switch random.IntN(8) {
	case 0:
		return track.Frame{Data: pause(from)}
	case 1:
		return track.Frame{Data: numbered(from, to, i), Truncated: true}
	case 2:
		return track.Frame{Data: tracktest.GRE{CallID: uint16(i), Payload: make([]byte, 50+random.IntN(50))}.Frame(from, to)}
	case 3:
		parts := fragments(from, to, uint32(1+random.IntN(50)))
		return track.Frame{Data: parts[random.IntN(len(parts))]}
	}
	return track.Frame{Data: numbered(from, to, i)}
}

// waitNumber waits until a side has sent the numbered frame, and checks that
// those before it kept their order.
func (l *boxLab) waitNumber(side track.Side, number int) {
	l.t.Helper()
	last := -1
	for i := 0; last != number; {
		for _, f := range l.sent(side, i+1)[i:] {
			if i++; f[12] != 0x88 || f[13] != 0xb5 {
				continue
			}
			if n := numberOf(f); n <= last {
				l.t.Fatalf("%s sent frame %d behind frame %d", side, n, last)
			}
			last = numberOf(f)
		}
	}
}

// TestRunTwoErrors: a box whose ports both fail says so of one at least, and
// ends.
func TestRunTwoErrors(t *testing.T) {
	l := newLab(t)
	for _, side := range sides {
		l.ports[side].FailReceive(fmt.Errorf("%w: %s", errBroken, side))
	}
	l.start()
	if err := l.ended(); !errors.Is(err, errBroken) {
		t.Errorf("Run: %v", err)
	}
	l.stats()
}
