package bridge

import (
	"sync"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
)

// Engine is the box without its ports: what happens to a frame between the
// port it came in by and the one it leaves by. The running box and replay use
// the same Engine.
type Engine struct {
	tracker    *track.Tracker
	translator *nat.Translator // nil if nothing is translated
	onEvent    func(track.Event)

	mu    sync.Mutex
	lanes []*Lane
}

// NewEngine returns an Engine that works by o, whose Translation is a
// nat.Translator or nil. onEvent is called for
// everything that happens, from the goroutines that call Process, Flush,
// ReportDrops and Tick; it must not block.
func NewEngine(o track.Options, onEvent func(track.Event)) *Engine {
	e := &Engine{tracker: track.New(o), onEvent: onEvent}
	e.translator, _ = o.Translation.(*nat.Translator)
	return e
}

// Lane is a worker's way through the Engine, for the frames that come in by
// one side. It is for one goroutine.
type Lane struct {
	engine   *Engine
	side     track.Side
	lane     *track.Lane
	counters counters
}

// Lane returns a new Lane for frames that come in by the given side.
func (e *Engine) Lane(in track.Side) *Lane {
	l := &Lane{engine: e, side: in, lane: e.tracker.Lane(in)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lanes = append(e.lanes, l)
	return l
}

// Process takes a batch of frames through tracking and translation and returns
// those that have their final verdict, in the order in which they are to
// leave, as track.Lane.Process does. The result is valid until the next
// Process or Flush.
func (l *Lane) Process(frames []track.Frame, now track.Time) []*track.Frame {
	return l.finish(l.lane.Process(frames, now))
}

// ProcessPart is Process for as many of the frames as a worker should be busy with
// before it sends what is decided, as track.Lane.ProcessPart does. It returns how
// many it took.
func (l *Lane) ProcessPart(frames []track.Frame, now track.Time) (decided []*track.Frame, taken int) {
	decided, taken = l.lane.ProcessPart(frames, now)
	return l.finish(decided), taken
}

// finish translates what is decided, and publishes what happened by it.
func (l *Lane) finish(decided []*track.Frame) []*track.Frame {
	if t := l.engine.translator; t != nil {
		t.Apply(decided, l.side)
	}
	l.engine.publish(l.lane.Events())
	return decided
}

// Flush gives up the frames that are held and returns them, dropped.
func (l *Lane) Flush(now track.Time) []*track.Frame {
	decided := l.lane.Flush(now)
	l.engine.publish(l.lane.Events())
	return decided
}

// ReportDrops makes events of those among frames, all of which were to leave,
// that were dropped on the way out; a few a second for each reason, as Process
// does for those that it drops.
func (l *Lane) ReportDrops(frames []*track.Frame) {
	for _, f := range frames {
		if f.Verdict == track.Drop {
			l.lane.ReportDrop(f)
		}
	}
	l.engine.publish(l.lane.Events())
}

// Count adds frames to the counters. It comes last, when those that were to
// leave have left, or have been dropped on the way out.
func (l *Lane) Count(frames []*track.Frame) { l.counters.count(frames) }

// Tick ends what has timed out, see track.Tracker.Tick.
func (e *Engine) Tick(now track.Time) {
	if e.translator != nil {
		e.translator.Tick(now)
	}
	e.publish(e.tracker.Tick(now))
}

// Pass lets time pass to until as Ticks at every interval would that find nothing to
// do, and returns when the last of them was, see track.Tracker.Pass. It is for a
// clock that can be moved on at once: that of replay.
func (e *Engine) Pass(until track.Time, interval time.Duration) track.Time {
	if e.translator != nil {
		until = min(until, e.translator.Due()-1)
	}
	return e.tracker.Pass(until, interval)
}

// Finish makes the last events happen that Tick would have come to, see
// track.Tracker.Finish.
func (e *Engine) Finish() { e.publish(e.tracker.Finish()) }

// SetOptions makes the Engine work by o from now on, see
// track.Tracker.SetOptions.
func (e *Engine) SetOptions(o track.Options, now track.Time) error {
	events, err := e.tracker.SetOptions(o, now)
	e.publish(events)
	return err
}

func (e *Engine) publish(events []track.Event) {
	for i := range events {
		e.onEvent(events[i])
	}
}

// Calls returns the calls that have not ended.
func (e *Engine) Calls() []track.Call { return e.tracker.Calls() }

// Expectations returns the GRE that is allowed but was not seen yet.
func (e *Engine) Expectations() []track.Expectation { return e.tracker.Expectations() }

// Stats returns the counters of all Lanes.
func (e *Engine) Stats() Stats {
	s := Stats{Sides: map[string]Totals{"lan": {}, "wan": {}}, Anomalies: map[string]uint64{}, Limits: e.tracker.Usage()}
	if e.translator != nil {
		used, limit := e.translator.CallIDs()
		s.Limits["call_ids"] = track.Use{Used: used, Limit: limit}
	}
	for a, n := range e.tracker.Anomalies() {
		if n > 0 {
			s.Anomalies[track.Anomaly(a).String()] = n
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.lanes {
		side := s.Sides[l.side.String()]
		side.add(&l.counters)
		s.Sides[l.side.String()] = side
		s.Totals.add(&l.counters)
	}
	return s
}
