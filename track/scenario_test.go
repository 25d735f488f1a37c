package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// The files scenario_*_test.go hold one test per numbered scenario: what PPTP
// peers, networks and attackers do, and what the tracker makes of it. Where a
// scenario has more than one defensible outcome, the project's decision is in
// the test's comment.

// want fails the test unless a frame got this verdict for this reason.
func want(t *testing.T, r tracktest.Result, v track.Verdict, reason track.Reason) {
	t.Helper()
	if r.Verdict != v || r.Reason != reason {
		t.Errorf("%s; want %s (%s)", r, v, reason)
	}
}

func wantPass(t *testing.T, r tracktest.Result, reason track.Reason) {
	t.Helper()
	want(t, r, track.Forward, reason)
}

func wantDrop(t *testing.T, r tracktest.Result, reason track.Reason) {
	t.Helper()
	want(t, r, track.Drop, reason)
}

// wantControl fails the test unless a control segment passed without opening
// a call.
func wantControl(t *testing.T, r tracktest.Result) {
	t.Helper()
	wantPass(t, r, track.ReasonControl)
}

// wantUp fails the test unless the call's GRE passes both ways.
func wantUp(t *testing.T, calls ...*tracktest.Call) {
	t.Helper()
	for _, k := range calls {
		want(t, k.GRE(k.PNS), track.Forward, track.ReasonCall)
		want(t, k.GRE(k.PAC), track.Forward, track.ReasonCall)
	}
}

// wantDown fails the test unless the call's GRE drops both ways.
func wantDown(t *testing.T, calls ...*tracktest.Call) {
	t.Helper()
	for _, k := range calls {
		wantDrop(t, k.GRE(k.PNS), track.ReasonNotNegotiated)
		wantDrop(t, k.GRE(k.PAC), track.ReasonNotNegotiated)
		if _, live := k.Conn.World.Find(k.Number); live {
			t.Errorf("call %d is still listed", k.Number)
		}
	}
}

func wantState(t *testing.T, k *tracktest.Call, state track.CallState) {
	t.Helper()
	if got := k.State(); got != state {
		t.Errorf("call %d is %s, want %s", k.Number, got, state)
	}
}

func wantUsed(t *testing.T, w *tracktest.World, name string, n int) {
	t.Helper()
	if got := w.Tracker.Usage()[name].Used; got != n {
		t.Errorf("%s: %d used, want %d", name, got, n)
	}
}

func wantCalls(t *testing.T, w *tracktest.World, n int) {
	t.Helper()
	if calls := w.Tracker.Calls(); len(calls) != n {
		t.Errorf("%d calls, want %d: %+v", len(calls), n, calls)
	}
}

// wantCounted fails the test unless act counted exactly n of an anomaly.
func wantCounted(t *testing.T, w *tracktest.World, a track.Anomaly, n uint64, act func()) {
	t.Helper()
	before := w.Tracker.Anomalies()[a]
	act()
	if got := w.Tracker.Anomalies()[a] - before; got != n {
		t.Errorf("%s: %d counted, want %d", a, got, n)
	}
}

// wantEvents fails the test unless these happened, in this order, since the
// world's events were last asked for.
func wantEvents(t *testing.T, w *tracktest.World, kinds ...track.EventKind) {
	t.Helper()
	got := w.Kinds()
	same := len(got) == len(kinds)
	for i := 0; same && i < len(got); i++ {
		same = got[i] == kinds[i]
	}
	if !same {
		t.Errorf("events %v, want %v", got, kinds)
	}
}

// eventsOf returns the events of one kind since the last look.
func eventsOf(w *tracktest.World, kind track.EventKind) []track.Event {
	var out []track.Event
	for _, e := range w.Events() {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// wantEnded fails the test unless exactly one call ended since the last look,
// for this cause.
func wantEnded(t *testing.T, w *tracktest.World, cause string) {
	t.Helper()
	ended := eventsOf(w, track.EventCallEnded)
	if len(ended) != 1 || ended[0].Cause != cause {
		t.Errorf("calls ended: %+v; want one, by %q", ended, cause)
	}
}

// The results of those who accept.
const (
	okStart = pptp.StartResultOK
	okOut   = pptp.OutCallResultConnected
	okIn    = pptp.InCallResultConnect
)

// keepAlive lets d pass in steps, with an Echo at each.
func keepAlive(c *tracktest.Conn, d, step time.Duration) {
	for passed := time.Duration(0); passed < d; passed += step {
		c.World.Advance(step)
		c.Say(c.Ends[0].Host, tracktest.EchoRequest(1))
		c.Say(c.Ends[1].Host, tracktest.EchoReply(1))
	}
}
