package oracle

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Oracle compares grewire with the kernel. It is for one goroutine.
type Oracle struct {
	kernel *Kernel
	played int // sequences so far, to give each its own addresses
}

// New makes an Oracle in a lab. An error that wraps ErrNoHelper says that the
// machine has no kernel to compare with.
func New(lab *bridgetest.Lab) (*Oracle, error) {
	k, err := OpenKernel(lab)
	if err != nil {
		return nil, err
	}
	return &Oracle{kernel: k}, nil
}

// Close closes the Oracle; what the lab owns goes with the lab.
func (o *Oracle) Close() error { return o.kernel.Close() }

// Report is what came of a sequence.
type Report struct {
	Steps       []Step
	Differences []Difference
	Problems    []string // empty, or neither player's behaviour is explained

	kernel, grewire outcome
}

// Difference is something that the kernel and grewire do not agree about.
type Difference struct {
	Step            int    // counted from 1; 0: a line of the tables in the end
	Line            string // of the tables
	Kernel, Grewire string // what each of them did
	Rules           Flaws  // why: the fewest flaws that explain the kernel
}

// String returns the difference in one line.
func (d Difference) String() string {
	what := d.Line
	if d.Step > 0 {
		what = fmt.Sprintf("step %d", d.Step)
	}
	return fmt.Sprintf("%s: kernel %s, grewire %s: %s", what, d.Kernel, d.Grewire, d.Rules.Names())
}

// Compare plays a sequence through both. The error is one of the means, not of
// the players.
func (o *Oracle) Compare(s Sequence) (*Report, error) {
	hosts := Hosts(o.played)
	o.played++
	steps := Render(s, hosts)
	kernel, err := o.kernel.play(hosts, steps)
	if err != nil {
		return nil, err
	}
	return compare(s.Dials, steps, kernel, playGrewire(hosts, steps)), nil
}

func compare(dials []Dial, steps []Step, kernel, grewire outcome) *Report {
	r := &Report{Steps: steps, Problems: slices.Concat(kernel.problems, grewire.problems), kernel: kernel, grewire: grewire}
	if len(grewire.frames) < len(steps) {
		return r // it gave up, and the problems say why
	}
	e := &explainer{dials: dials, steps: steps, plays: make(map[Flaws]outcome)}
	for _, a := range aspects(steps, kernel, grewire, e.play(allFlaws), e.play(0)) {
		r.judge(e, a)
	}
	return r
}

// judge compares one aspect of the outcomes.
func (r *Report) judge(e *explainer, a aspect) {
	kernel, grewire := a.of(r.kernel), a.of(r.grewire)
	modelled, right := a.of(e.play(allFlaws)), a.of(e.play(0))
	if kernel != modelled {
		r.problem("%s: the kernel does not do as its rules say: %s, not %s", a, kernel, modelled)
	}
	if grewire != right {
		r.problem("%s: grewire does not do as it should: %s, not %s", a, grewire, right)
	}
	if kernel != grewire && kernel == modelled && grewire == right {
		d := Difference{Step: a.step, Line: a.line, Kernel: string(kernel), Grewire: string(grewire)}
		d.Rules = e.explain(a)
		r.Differences = append(r.Differences, d)
	}
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// aspect is something that outcomes may differ in: what became of a step, or a
// line of the tables.
type aspect struct {
	step  int
	frame []byte // of the step
	line  string
}

// aspects returns every aspect that one of the outcomes has.
func aspects(steps []Step, outcomes ...outcome) []aspect {
	var all []aspect
	for i := range steps {
		all = append(all, aspect{step: i + 1, frame: steps[i].Frame})
	}
	lines := make(map[string]bool)
	for _, o := range outcomes {
		maps.Copy(lines, o.tables)
	}
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		all = append(all, aspect{line: line})
	}
	return all
}

func (a aspect) String() string {
	if a.step > 0 {
		return fmt.Sprintf("step %d", a.step)
	}
	return a.line
}

// fate is what an aspect is in an outcome.
type fate string

// of returns what the aspect is in an outcome.
func (a aspect) of(o outcome) fate {
	if a.step == 0 {
		if o.tables[a.line] {
			return "lists it"
		}
		return "does not list it"
	}
	switch out := o.frames[a.step-1]; {
	case out == nil:
		return "drops it"
	case bytes.Equal(out, a.frame):
		return "passes it"
	case bytes.HasPrefix(a.frame, out):
		return fate(fmt.Sprintf("passes %d of its %d octets", len(out), len(a.frame)))
	default:
		return fate(fmt.Sprintf("changes it to % x", out))
	}
}

// explainer plays one sequence through models.
type explainer struct {
	dials []Dial
	steps []Step
	plays map[Flaws]outcome
}

func (e *explainer) play(f Flaws) outcome {
	out, known := e.plays[f]
	if !known {
		out = play(e.dials, e.steps, f)
		e.plays[f] = out
	}
	return out
}

// explain returns flaws that make the model do about an aspect what the kernel
// does: a single one if there is one, otherwise a set of which none can be
// spared.
func (e *explainer) explain(a aspect) Flaws {
	kernel := a.of(e.play(allFlaws))
	for _, r := range Rules {
		if a.of(e.play(r.Flaw)) == kernel {
			return r.Flaw
		}
	}
	forward, backward := allFlaws, allFlaws
	for i := range Rules {
		for _, set := range []struct {
			flaws *Flaws
			spare Flaws
		}{{&forward, Rules[i].Flaw}, {&backward, Rules[len(Rules)-1-i].Flaw}} {
			if a.of(e.play(*set.flaws&^set.spare)) == kernel {
				*set.flaws &^= set.spare
			}
		}
	}
	if backward.Len() < forward.Len() {
		return backward
	}
	return forward
}

// String returns the sequence, one line per frame with what became of it, and
// what the comparison found.
func (r *Report) String() string {
	var b strings.Builder
	for i, s := range r.Steps {
		a := aspect{step: i + 1, frame: s.Frame}
		fmt.Fprintf(&b, "%4d %s  %-60s", i+1, s.Side, s.Text)
		if i < len(r.grewire.frames) {
			fmt.Fprintf(&b, " kernel %s, grewire %s", a.of(r.kernel), a.of(r.grewire))
		}
		b.WriteByte('\n')
	}
	for _, d := range r.Differences {
		if d.Rules != PaddingCut {
			fmt.Fprintln(&b, "difference:", d)
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&b, "PROBLEM:", p)
	}
	return b.String()
}
