package bench

import (
	"context"
	"errors"
	"time"

	"github.com/grewire/grewire/bench/load"
)

// Traffic says which of the calls have frames.
type Traffic string

// The kinds of traffic.
const (
	AllCalls  Traffic = "all"   // all in turn
	FirstCall Traffic = "first" // the oldest
	LastCall  Traffic = "last"  // the newest, which a list is searched for longest
)

// Traffics lists the kinds of traffic.
func Traffics() []Traffic { return []Traffic{AllCalls, FirstCall, LastCall} }

// Spec is what a trial sends.
type Spec struct {
	Sender   load.Sender
	Sizes    []int // octets, check sequence included; several take turns
	Traffic  Traffic
	BothWays bool
	Rate     float64 // frames a second in each direction; 0: as fast as possible
	Lasting  time.Duration
	Burst    uint64 // back to back: so many frames as fast as possible; 0: not
	Timed    bool
}

// Trial is what became of the frames of one, of both directions together.
type Trial struct {
	Sent, Received, Wrong uint64
	Offered, Rate         float64 // frames a second sent, and carried, see rate
	Counts                load.Counts
	Delays                load.Histogram // of timed frames
	// CPU time per frame received: of the whole machine, with what making and
	// judging the frames takes, and of the device's process.
	Machine, Process PerFrame
}

// PerFrame is CPU time per frame in ns.
type PerFrame struct {
	User   float64 `json:"user_ns"`
	System float64 `json:"system_ns"`
}

func perFrame(u usage, frames uint64) PerFrame {
	n := float64(max(1, frames))
	return PerFrame{float64(u.User) / n, float64(u.System) / n}
}

// Lost is how many frames did not come.
func (t *Trial) Lost() uint64 { return t.Sent - min(t.Sent, t.Received) }

// Loss is the share of frames that did not come (RFC 2544, section 26.3).
func (t *Trial) Loss() float64 { return float64(t.Lost()) / float64(max(1, t.Sent)) }

// Run runs a trial.
func (r *Rig) Run(ctx context.Context, s Spec) (t Trial, err error) {
	if err := errors.Join(r.Site.Alive(), r.prepare(s)); err != nil {
		return t, err
	}
	machine, process, err := r.usage()
	if err != nil {
		return t, err
	}
	ways := []int{toWAN}
	if s.BothWays {
		ways = append(ways, toLAN)
	}
	results := make(chan wayResult)
	for _, way := range ways {
		go func() { results <- r.runWay(ctx, way, s) }()
	}
	for range ways {
		result := <-results
		err = errors.Join(err, result.err)
		t.add(&result)
	}
	if err = errors.Join(err, r.Site.Alive()); err != nil {
		return t, err
	}
	machine2, process2, err := r.usage()
	if err != nil {
		return t, err
	}
	t.Machine = perFrame(machine2.minus(machine), t.Received)
	t.Process = perFrame(process2.minus(process), t.Received)
	return t, nil
}

func (r *Rig) prepare(s Spec) error {
	if err := r.Site.SetNAPI(s.Sender == load.XDP); err != nil {
		return err
	}
	for _, p := range r.paths {
		if err := p.SetSizes(s.Sizes); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) usage() (machine, process usage, err error) {
	machine, err = machineUsage()
	if err == nil {
		process, err = processUsage(r.Site.PID())
	}
	return machine, process, err
}

// wayResult is what became of the frames of one direction.
type wayResult struct {
	sent   load.Sent
	counts load.Counts
	rate   float64
	delays load.Histogram
	err    error
}

func (r *Rig) runWay(ctx context.Context, way int, s Spec) (w wayResult) {
	p := r.paths[way]
	if w.err = p.Begin(); w.err != nil {
		return w
	}
	l := load.Load{Sender: s.Sender, Rate: s.Rate, Lasting: s.Lasting, Limit: s.Burst, Timed: s.Timed, CPU: r.senderCPU(way)}
	l.First, l.Count = r.flowsOf(s.Traffic)
	w.sent, w.err = p.Send(ctx, l)
	if w.err != nil {
		return w
	}
	if w.counts, w.err = settle(p, w.sent.Frames); w.err == nil {
		w.delays, w.err = p.Delays()
	}
	w.judgeTimes(s.Timed)
	w.judgeNumbers()
	w.rate = rate(w.counts, w.sent.Lasting)
	return w
}

// judgeTimes takes frames for wrong whose time was lost on the way, or that have one
// though none was written into them: the receiver in the kernel does not compare it.
func (w *wayResult) judgeTimes(timed bool) {
	with := w.delays.Count()
	if timed {
		w.counts.BadPayload += w.counts.Received - min(w.counts.Received, with)
		return
	}
	w.counts.BadPayload += with
	w.delays = nil
}

// judgeNumbers takes for wrong what only who knows how many were sent can tell: frames
// beyond them, and sequence numbers passed over that nobody has sent, which is what a
// number makes that was changed in the first frame of a call.
func (w *wayResult) judgeNumbers() {
	c, sent := &w.counts, w.sent.Frames
	lost := sent - min(sent, c.Received)
	c.BadHeader += c.Gaps - min(c.Gaps, lost+c.Late)
	c.Stray += c.Received - min(c.Received, sent+c.Late)
}

func (r *Rig) flowsOf(t Traffic) (first, count int) {
	switch t {
	case FirstCall:
		return 0, 1
	case LastCall:
		return len(r.calls) - 1, 1
	}
	return 0, len(r.calls)
}

// rate is how many frames a second came while they were sent, or until the last one
// came if that was later: what was in a queue at the end of the sending was not
// carried in that time.
func rate(c load.Counts, lasting time.Duration) float64 {
	lasting = max(lasting, time.Duration(c.Last-c.First))
	if lasting <= 0 {
		return 0
	}
	return float64(c.Received) / lasting.Seconds()
}

func (t *Trial) add(w *wayResult) {
	t.Sent += w.sent.Frames
	t.Received += w.counts.Received
	t.Wrong += w.counts.Wrong()
	t.Offered += w.sent.Rate()
	t.Rate += w.rate
	t.Counts.Add(w.counts)
	if t.Delays == nil {
		t.Delays = w.delays
	} else {
		t.Delays.Add(w.delays)
	}
}
