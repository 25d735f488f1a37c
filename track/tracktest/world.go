package tracktest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
)

// TB is what a World needs of a test: testing.TB and rapid.T have it.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Epoch is when every World begins.
const Epoch = track.Time(1_750_000_000e9)

// World is a box between a LAN and a WAN, with one tracker, and its clock.
type World struct {
	Tracker *track.Tracker
	Options track.Options
	Now     track.Time

	// Client is a host on the LAN, Server one on the WAN: the two that most
	// stories are about.
	Client, Server *Host

	// Released are the frames that were held and got their final verdict
	// since, in order; tests may empty it.
	Released []Result
	// Tap, if set, sees every final verdict.
	Tap func(Result)

	// Translate does what the Changes of frames that came in by a side say: it is
	// set together with Options.Translation.
	Translate func(frames []*track.Frame, in track.Side)

	// Astray stops the checks that what hosts send gets to whom they mean: they may
	// be wrong about who that is.
	Astray bool

	// Away lets frames cross without the tracker, as past a box that is out of
	// the path.
	Away bool

	tb       TB
	lanes    [flow.Sides]*track.Lane
	events   []track.Event
	number   uint64
	inside   map[uint64]sent // frames without final verdict
	lastPort uint16
	excess   map[string]int // by limit: what was in use when it was lowered, or may be
	joined   bool           // others may change the options at any time
}

// sent is a frame as it was handed to the tracker.
type sent struct {
	data []byte
	side track.Side
}

// Result is what became of a frame.
type Result struct {
	Number  uint64
	Side    track.Side // where it came in
	Verdict track.Verdict
	Reason  track.Reason
	Call    uint64
	Data    []byte // what was sent
	Out     []byte // what left by the other side, nil if nothing did
}

// Passed reports whether the frame has left by the other side.
func (r Result) Passed() bool { return r.Verdict.Passes() }

// String returns the result in the words of the commands.
func (r Result) String() string {
	return fmt.Sprintf("frame %d from %s: %s (%s), call %d", r.Number, r.Side, r.Verdict, r.Reason, r.Call)
}

// New returns a World of small tables. change may change its options.
func New(tb TB, change ...func(*track.Options)) *World {
	o := track.DefaultOptions()
	o.Limits = track.Limits{
		Connections: 32, Calls: 128, CallsPerConnection: 96, CallsPerHost: 128,
		Expectations: 256, Fragments: 32, HoldBytes: 256 << 10,
	}
	o.Seed = 1
	for _, c := range change {
		c(&o)
	}
	return join(tb, track.New(o), o)
}

// Join returns another World on w's tracker, with Lanes of its own, for use by
// another goroutine. Neither knows when the other changes the options, so that what
// they are when the first joins is what bounds the tables for both.
func (w *World) Join() *World {
	if !w.joined {
		w.joined = true
		for name, use := range w.Tracker.Usage() {
			w.excess[name] = use.Limit
		}
	}
	joined := join(w.tb, w.Tracker, w.Options)
	joined.Translate, joined.joined, joined.excess = w.Translate, true, maps.Clone(w.excess)
	return joined
}

func join(tb TB, t *track.Tracker, o track.Options) *World {
	return &World{
		Tracker: t, Options: o, Now: Epoch, tb: tb,
		Client: NewHost(track.LAN, "192.0.2.10"), Server: NewHost(track.WAN, "198.51.100.1"),
		lanes:  [flow.Sides]*track.Lane{track.LAN: t.Lane(track.LAN), track.WAN: t.Lane(track.WAN)},
		inside: make(map[uint64]sent), lastPort: 40000, excess: make(map[string]int),
	}
}

// Lane returns the Lane of a side, for those who measure.
func (w *World) Lane(side track.Side) *track.Lane { return w.lanes[side] }

// Send lets one frame come in by side. If it is held the Result's Verdict is
// Hold, and its final one will be in Released.
func (w *World) Send(side track.Side, data []byte) Result {
	w.tb.Helper()
	return w.Batch(side, []track.Frame{{Data: data}})[0]
}

// SendAll is Send for several frames, one batch each.
func (w *World) SendAll(side track.Side, frames [][]byte) []Result {
	w.tb.Helper()
	var results []Result
	for _, data := range frames {
		results = append(results, w.Send(side, data))
	}
	return results
}

// Batch lets frames come in by side in one batch and returns a Result for
// each. It sets their Number.
func (w *World) Batch(side track.Side, frames []track.Frame) []Result {
	w.tb.Helper()
	results := make([]Result, len(frames))
	if w.Away {
		for i := range results {
			results[i] = Result{Side: side, Verdict: track.Forward, Reason: track.ReasonControl, Data: frames[i].Data}
		}
		return results
	}
	for i := range frames {
		w.number++
		frames[i].Number = w.number
		w.inside[w.number] = sent{bytes.Clone(frames[i].Data), side}
		if w.Translate != nil {
			frames[i].Data = bytes.Clone(frames[i].Data) // the test may send it again
		}
		results[i] = Result{Number: w.number, Side: side, Verdict: track.Hold, Data: w.inside[w.number].data}
	}
	first := w.number + 1 - uint64(len(frames))
	for _, r := range w.process(side, frames) {
		if r.Number >= first {
			results[r.Number-first] = r
		} else {
			w.Released = append(w.Released, r)
		}
	}
	return results
}

// process runs a batch through the side's Lane and checks what comes out.
func (w *World) process(side track.Side, frames []track.Frame) []Result {
	w.tb.Helper()
	var results []Result
	for first := true; first || len(frames) > 0; first = false {
		decided, taken := w.lanes[side].ProcessPart(frames, w.Now)
		results = append(results, w.settle(side, decided)...)
		w.events = append(w.events, w.lanes[side].Events()...)
		frames = frames[taken:]
	}
	w.checkLimits()
	return results
}

// settle takes the final verdicts.
func (w *World) settle(side track.Side, frames []*track.Frame) []Result {
	w.tb.Helper()
	if w.Translate != nil {
		w.Translate(frames, side)
	}
	var results []Result
	for _, f := range frames {
		in, ok := w.inside[f.Number]
		if !ok {
			w.tb.Fatalf("frame %d has a second final verdict: %s (%s)", f.Number, f.Verdict, f.Reason)
		}
		delete(w.inside, f.Number)
		r := Result{Number: f.Number, Side: in.side, Verdict: f.Verdict, Reason: f.Reason, Call: f.Call, Data: in.data}
		if r.Passed() {
			r.Out = bytes.Clone(f.Data)
		}
		w.check(side, r, f)
		if w.Tap != nil {
			w.Tap(r)
		}
		results = append(results, r)
	}
	return results
}

// check looks for what no final verdict may be.
func (w *World) check(side track.Side, r Result, f *track.Frame) {
	w.tb.Helper()
	switch {
	case r.Side != side:
		w.tb.Errorf("%s left the Lane of %s", r, side)
	case r.Verdict == 0 || r.Verdict == track.Hold:
		w.tb.Errorf("%s is no final verdict", r)
	case r.Reason == 0 || r.Reason >= track.NumReasons || r.Passed() != (r.Reason < track.ReasonMalformed):
		w.tb.Errorf("%s: verdict and reason do not fit", r)
	case r.Passed() && f.Rewritten && w.Translate != nil:
		if fault := RewriteFault(side, f, r.Data); fault != "" {
			w.tb.Errorf("%s: %s\n%.80x\n%.80x", r, fault, r.Data, f.Data)
		}
	case r.Passed() && !bytes.Equal(f.Data, r.Data):
		w.tb.Errorf("%s, but its bytes were changed", r)
	case f.Rewritten && r.Passed() || r.Verdict == track.Rewrite:
		w.tb.Errorf("%s is rewritten; nobody translates here", r)
	}
}

// checkLimits looks for tables beyond their limit.
func (w *World) checkLimits() {
	w.tb.Helper()
	for name, use := range w.Tracker.Usage() {
		if !w.joined {
			w.excess[name] = min(w.excess[name], use.Used)
		}
		if use.Used < 0 || use.Used > max(use.Limit, w.excess[name]) {
			w.tb.Errorf("%s: %d used, the limit is %d", name, use.Used, use.Limit)
		}
	}
}

// maxSteps bounds how many Ticks one Advance makes.
const maxSteps = 10

// Advance lets time pass, in steps of a second or more, and gives the tracker
// a Tick at each.
func (w *World) Advance(d time.Duration) {
	w.tb.Helper()
	steps := min(max(int(d/time.Second), 1), maxSteps)
	end := w.Now.Add(d)
	for i := range steps {
		w.Now += (end - w.Now) / track.Time(steps-i)
		w.Step()
	}
}

// Step does the timed work that is due now.
func (w *World) Step() {
	w.tb.Helper()
	for side := range w.lanes {
		w.Released = append(w.Released, w.process(track.Side(side), nil)...)
	}
	w.events = append(w.events, w.Tracker.Tick(w.Now)...)
	w.checkLimits()
}

// Flush ends the input: frames that are held get their final verdict.
func (w *World) Flush() {
	w.tb.Helper()
	for side, lane := range w.lanes {
		w.Released = append(w.Released, w.settle(track.Side(side), lane.Flush(w.Now))...)
		w.events = append(w.events, lane.Events()...)
	}
}

// forever is longer than every timeout.
const forever = 365 * 24 * time.Hour

// CheckEmpty lets so much time pass that everything must be over, and reports
// what is left in the tables.
func (w *World) CheckEmpty() {
	w.tb.Helper()
	w.Advance(forever)
	w.Advance(2 * time.Second)
	for number := range w.inside {
		w.tb.Errorf("frame %d never got a final verdict", number)
	}
	for name, use := range w.Tracker.Usage() {
		if use.Used != 0 {
			w.tb.Errorf("%s: %d left over", name, use.Used)
		}
	}
	if n := len(w.Tracker.Calls()); n != 0 {
		w.tb.Errorf("%d calls left over", n)
	}
}

// Held is how many frames have no final verdict yet.
func (w *World) Held() int { return len(w.inside) }

// Events returns what happened since the last call.
func (w *World) Events() []track.Event {
	events := w.events
	w.events = nil
	return events
}

// Kinds returns the kinds of the events since the last call of Events or
// Kinds, but frame-dropped.
func (w *World) Kinds() []track.EventKind {
	var kinds []track.EventKind
	for _, e := range w.Events() {
		if e.Kind != track.EventFrameDropped {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// Find returns the live call with the given number.
func (w *World) Find(number uint64) (track.Call, bool) {
	calls := w.Tracker.Calls()
	if i := slices.IndexFunc(calls, func(c track.Call) bool { return c.ID == number }); i >= 0 {
		return calls[i], true
	}
	return track.Call{}, false
}
