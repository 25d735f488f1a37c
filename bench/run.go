package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grewire/grewire/bench/dut"
)

// Run measures by a plan. The end of ctx ends it early, with the results so far
// and no error. What keeps one device from being measured is a fault in the
// results; an error says that nothing could be. note is told how it goes on.
func Run(ctx context.Context, p *Plan, m Machine, note func(string)) (*Results, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	r := &runner{plan: p, note: note, found: make(map[string]float64), results: &Results{
		Machine: m, Began: time.Now(), Baseline: p.Baseline, Rounds: p.Rounds, Trial: p.Trial, Search: p.Search,
	}}
	for _, d := range p.Devices {
		r.results.Devices = append(r.results.Devices, About{d.Name, d.About})
	}
	r.total = r.count()
	r.noteLimits()
	for _, mtu := range sortedKeys(p.Scenarios, Scenario.mtu) {
		r.atMTU(ctx, mtu)
	}
	r.results.Ended, r.results.Stopped = time.Now(), ctx.Err() != nil
	if len(r.results.Values) == 0 && ctx.Err() == nil {
		return r.results, errors.Join(append(r.faults, errors.New("nothing was measured"))...)
	}
	return r.results, nil
}

// runner is a run under way.
type runner struct {
	plan    *Plan
	note    func(string)
	results *Results
	faults  []error
	rigs    []*Rig
	found   map[string]float64 // what Throughput has found: by device and circumstances
	done    int
	total   int
}

// count is how many measurements there are.
func (r *runner) count() (n int) {
	for _, s := range r.plan.Scenarios {
		rounds := r.plan.Rounds
		if s.Once {
			rounds = 1
		}
		if r.plan.Attached[0] != "" {
			n += rounds
		}
		for _, d := range r.plan.Devices {
			if s.isFor(d) {
				n += rounds
			}
		}
	}
	return n
}

// noteLimits says what is not measured as a device has not so many calls.
func (r *runner) noteLimits() {
	calls := sortedKeys(r.plan.Scenarios, func(s Scenario) int { return s.Calls })
	for _, d := range r.plan.Devices {
		for _, n := range calls {
			if d.MaxCalls > 0 && n > d.MaxCalls {
				r.doubt(fmt.Sprintf("%s is measured with up to %d calls, not with %d", d.Name, d.MaxCalls, n))
			}
		}
	}
}

func (r *runner) doubt(note string) {
	r.results.Notes = append(r.results.Notes, note)
	r.note(note)
}

// sortedKeys returns the different values of a function of scenarios, in order.
func sortedKeys(scenarios []Scenario, of func(Scenario) int) (keys []int) {
	for _, s := range scenarios {
		keys = append(keys, of(s))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (r *runner) fault(err error) {
	r.faults = append(r.faults, err)
	r.results.Faults = append(r.results.Faults, err.Error())
	r.note("fault: " + err.Error())
}

// atMTU measures the scenarios of one MTU with devices of their own.
func (r *runner) atMTU(ctx context.Context, mtu int) {
	var scenarios []Scenario
	for _, s := range r.plan.Scenarios {
		if s.mtu() == mtu {
			scenarios = append(scenarios, s)
		}
	}
	defer r.takeAway()
	r.place(ctx, mtu)
	for _, calls := range sortedKeys(scenarios, func(s Scenario) int { return s.Calls }) {
		level := slices.DeleteFunc(slices.Clone(scenarios), func(s Scenario) bool { return s.Calls != calls })
		r.dial(ctx, calls, level)
		for round := range r.plan.Rounds {
			if len(r.rigs) == 0 {
				return // every one is a fault
			}
			r.round(ctx, round+1, level)
		}
	}
}

func (r *runner) place(ctx context.Context, mtu int) {
	if lan, wan := r.plan.Attached[0], r.plan.Attached[1]; lan != "" {
		site, err := dut.Attach(lan, wan, mtu)
		if err == nil {
			r.results.Devices = []About{{site.Device.Name, site.Device.About}}
		}
		r.rig(site, err)
		return
	}
	for _, d := range r.plan.Devices {
		if ctx.Err() == nil {
			r.note("placing " + d.Name)
			r.rig(dut.Place(d, mtu))
		}
	}
}

func (r *runner) rig(site *dut.Site, err error) {
	if err != nil {
		r.fault(err)
		return
	}
	rig, err := NewRig(site, r.plan.CallsEach)
	if err != nil {
		r.fault(err)
		return
	}
	r.rigs = append(r.rigs, rig)
}

func (r *runner) takeAway() {
	for _, rig := range r.rigs {
		if err := rig.Close(); err != nil {
			r.fault(fmt.Errorf("clean up: %w", err))
		}
	}
	r.rigs = nil
}

// dial sets up as many calls across every device that is to have so many. One
// that cannot is out.
func (r *runner) dial(ctx context.Context, calls int, level []Scenario) {
	r.rigs = slices.DeleteFunc(r.rigs, func(rig *Rig) bool {
		if ctx.Err() != nil || !slices.ContainsFunc(level, func(s Scenario) bool { return s.isFor(rig.Site.Device) }) {
			return false
		}
		r.note(fmt.Sprintf("%s: setting up %d calls", rig.Site.Device.Name, calls))
		err := rig.Dial(ctx, calls)
		if err == nil || ctx.Err() != nil {
			return false
		}
		r.fault(errors.Join(err, rig.Close()))
		return true
	})
}

// round takes every device through every scenario of a level, device by device
// within the scenario.
func (r *runner) round(ctx context.Context, round int, level []Scenario) {
	r.listen(ctx, round)
	for _, s := range level {
		for _, rig := range slices.Clone(r.rigs) {
			if ctx.Err() != nil {
				return
			}
			if s.isFor(rig.Site.Device) && (round == 1 || !s.Once) {
				r.measure(ctx, round, s, rig)
			}
		}
	}
}

func (r *runner) measure(ctx context.Context, round int, s Scenario, rig *Rig) {
	device := rig.Site.Device.Name
	r.done++
	m := measurement{rig: rig, plan: r.plan, scenario: s, throughput: r.found[device+": "+s.circumstances()]}
	err := m.run(ctx)
	if ctx.Err() != nil {
		return // it was cut short: half a trial is none
	}
	if err != nil {
		r.fault(fmt.Errorf("round %d, %s, %s: %w", round, device, s, err))
		r.leaveOut(rig)
		return
	}
	if s.Test == Throughput {
		r.found[device+": "+s.circumstances()] = m.values[0].value
	}
	for _, v := range m.values {
		r.results.Values = append(r.results.Values, Value{s, device, round, v.figure, v.value})
	}
	r.note(fmt.Sprintf("[%d/%d] round %d, %s, %s: %s", r.done, r.total, round, s, device, m.said))
}

// leaveOut takes a device away that has ended.
func (r *runner) leaveOut(rig *Rig) {
	if rig.Site.Alive() == nil {
		return
	}
	r.rigs = slices.DeleteFunc(r.rigs, func(other *Rig) bool { return other == rig })
	if err := rig.Close(); err != nil {
		r.fault(fmt.Errorf("clean up: %w", err))
	}
}

// How long nothing is sent to see whether the machine has something else to do,
// and how much of one CPU that may take: idle devices need a few percent each.
const (
	listening = 300 * time.Millisecond
	elsewhere = 0.2
)

// listen notes if the machine is not quiet.
func (r *runner) listen(ctx context.Context, round int) {
	before, err := machineUsage()
	if err != nil {
		return // a trial will say so
	}
	select {
	case <-time.After(listening):
	case <-ctx.Done():
		return
	}
	after, err := machineUsage()
	busy := after.minus(before)
	share := float64(busy.User+busy.System) / float64(listening)
	if err == nil && share > elsewhere {
		r.doubt(fmt.Sprintf("the machine is not quiet: before round %d something else used %.0f %% of a CPU", round, 100*share))
	}
}
