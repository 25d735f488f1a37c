package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grewire/grewire/bench/load"
)

// measurement is one test of one device.
type measurement struct {
	rig        *Rig
	plan       *Plan
	scenario   Scenario
	throughput float64 // frames a second of both directions together; 0: not known

	values []figureValue // the test's main figure first
	said   string
}

type figureValue struct {
	figure Figure
	value  float64
}

func (m *measurement) note(f Figure, value float64) {
	m.values = append(m.values, figureValue{f, value})
}

// wrongError says that a device forwards what was not sent.
type wrongError struct{ trial Trial }

func (e *wrongError) Error() string {
	c := e.trial.Counts
	return fmt.Sprintf("of %d frames received %d are wrong: %d late or twice, %d of a wrong size, %d with a changed header, %d with another call's addresses or ID, %d with a changed payload, %d stray",
		e.trial.Received, e.trial.Wrong, c.Late, c.BadSize, c.BadHeader, c.BadAddress, c.BadPayload, c.Stray)
}

var errNoThroughput = errors.New("its load is a share of a throughput that was not measured: put a throughput test with the same calls, sizes and sender before it")

var (
	errNothingCame = errors.New("none of its frames came")
	errNotByXDP    = errors.New("none of the XDP sender's frames came: does the NIC take redirected frames (ndo_xdp_xmit)? The packet sender needs nothing of it")
)

func (m *measurement) run(ctx context.Context) error {
	spec := m.scenario.spec(m.plan)
	if m.scenario.Share > 0 {
		if m.throughput == 0 {
			return errNoThroughput
		}
		spec.Rate = m.scenario.Share * m.throughput / float64(ways(spec))
	}
	switch m.scenario.Test {
	case Throughput:
		return m.runThroughput(ctx, spec)
	case Burst:
		return m.runBurst(ctx, spec)
	}
	spec.Timed = m.scenario.Test == Latency
	t, err := m.trial(ctx, spec)
	if err != nil {
		return err
	}
	switch m.scenario.Test {
	case Latency:
		if t.Received == 0 {
			return errNothingCame
		}
		m.noteDelays(&t)
	case Loss:
		m.note(FigureLoss, t.Loss())
		m.said = fmt.Sprintf("%.4f %% lost at %.0f frames/s", 100*t.Loss(), t.Offered)
	case Flood:
		m.noteRate(&t)
		m.note(FigureLoss, t.Loss())
	}
	m.noteCost(&t, m.scenario.Test == Flood)
	return nil
}

func ways(s Spec) int {
	if s.BothWays {
		return 2
	}
	return 1
}

// trial runs a trial; one with wrong frames is an error. So is one that shows nothing
// but that its NIC drops what the XDP sender sends.
func (m *measurement) trial(ctx context.Context, s Spec) (Trial, error) {
	t, err := m.rig.Run(ctx, s)
	switch {
	case err != nil:
	case t.Wrong > 0:
		err = &wrongError{t}
	case s.Sender == load.XDP && t.Received == 0 && t.Sent > 0:
		err = errNotByXDP
	}
	return t, err
}

func (m *measurement) runThroughput(ctx context.Context, spec Spec) error {
	found, err := m.plan.Search.Throughput(ctx, func(rate float64) (Trial, error) {
		s := spec
		s.Rate = rate / float64(ways(spec))
		return m.trial(ctx, s)
	})
	if err != nil {
		return err
	}
	m.noteRate(&found.Trial)
	m.note(FigureLimited, b2f(found.Limited))
	m.noteCost(&found.Trial, found.Limited)
	m.said += fmt.Sprintf(" in %d trials", found.Trials)
	if found.Limited {
		m.said += ", all that the sender sends"
	}
	return nil
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// preambleAndGap are on the wire around every frame (IEEE 802.3, clause 4.4.2).
const preambleAndGap = 8 + 12

func (m *measurement) noteRate(t *Trial) {
	m.note(FigureRate, t.Rate)
	m.note(FigureBits, t.Rate*8*(m.scenario.Sizes.Mean()+preambleAndGap))
	m.said = fmt.Sprintf("%.0f frames/s", t.Rate)
}

func (m *measurement) noteDelays(t *Trial) {
	for _, p := range Percentiles {
		m.note(p.Figure, t.Delays.At(p.Share).Seconds())
	}
	m.note(FigureLoss, t.Loss())
	m.said = fmt.Sprintf("p50 %v, p99 %v, max %v, %d of %d lost", round(t.Delays.At(0.5)), round(t.Delays.At(0.99)), round(t.Delays.At(1)), t.Lost(), t.Sent)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Nanosecond) }

// noteCost notes CPU time. A sender that keeps a pace is as busy when nothing is
// due: of the whole machine it says something only if nobody waited.
func (m *measurement) noteCost(t *Trial, flatOut bool) {
	const ns = 1e-9
	m.note(FigureOffered, t.Offered)
	if flatOut {
		m.note(FigureMachineUser, t.Machine.User*ns)
		m.note(FigureMachineSystem, t.Machine.System*ns)
	}
	if m.rig.Site.PID() != 0 {
		m.note(FigureProcessUser, t.Process.User*ns)
		m.note(FigureProcessSystem, t.Process.System*ns)
	}
}

// runBurst searches the longest burst. One that lasts as long as a trial is the
// longest that is tried.
func (m *measurement) runBurst(ctx context.Context, spec Spec) error {
	spec.Rate = 0
	all, err := m.trial(ctx, spec)
	longest := all.Sent / uint64(ways(spec))
	if err == nil && all.Lost() > 0 {
		longest, err = Longest(ctx, longest, func(n uint64) (bool, error) {
			spec.Burst = n
			t, err := m.trial(ctx, spec)
			return t.Lost() == 0, err
		})
	}
	m.note(FigureBurst, float64(longest))
	m.note(FigureLimited, b2f(all.Lost() == 0))
	m.said = fmt.Sprintf("%d frames back to back", longest)
	return err
}
