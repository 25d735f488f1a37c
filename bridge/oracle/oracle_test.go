package oracle

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

var (
	sequences = flag.Int("sequences", 500, "how many random sequences to compare")
	seed      = flag.Uint64("seed", 0, "seed of the random sequences; 0: of the time")
	only      = flag.Int("only", -1, "compare only the sequence with this number, and show it")
)

// newOracle opens an oracle for a test, or skips it where there is none.
func newOracle(t *testing.T) *Oracle {
	t.Helper()
	o, err := New(bridgetest.New(t))
	if errors.Is(err, ErrNoHelper) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func mustCompare(t *testing.T, o *Oracle, s Sequence) *Report {
	t.Helper()
	r, err := o.Compare(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// chosenSeed returns the seed of this run and tells it.
func chosenSeed(t *testing.T) uint64 {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	return s
}

func random(seed uint64, n int) Sequence { return Random(rand.New(rand.NewPCG(seed, uint64(n)))) }

// count is how many sequences this run compares.
func count() int {
	if testing.Short() {
		return min(*sequences, 100)
	}
	return *sequences
}

// failures is how many failing sequences are shrunk and shown.
const failures = 3

// TestScenario110_KernelAsOracle compares random sequences with the kernel:
// every difference must have a name.
func TestScenario110_KernelAsOracle(t *testing.T) {
	o, seed := newOracle(t), chosenSeed(t)
	sum := newSummary()
	failed := 0
	for n := range count() {
		if *only >= 0 && n != *only {
			continue
		}
		s := random(seed, n)
		r := mustCompare(t, o, s)
		sum.add(r)
		if *only >= 0 {
			t.Logf("\n%s", r)
		}
		if r.Problems == nil {
			continue
		}
		if failed++; failed <= failures {
			small := Shrink(s, func(s Sequence) bool { return sameProblem(mustCompare(t, o, s), r) })
			t.Errorf("sequence %d of seed %d (show it with -seed %d -sequences %d -only %d): %s\nshrunk to\n%s",
				n, seed, seed, n+1, n, strings.Join(r.Problems, "\n"), mustCompare(t, o, small))
		}
	}
	if failed > 0 {
		t.Errorf("%d sequences have differences without a name", failed)
	}
	t.Logf("seed %d: %s", seed, sum)
}

// sameProblem reports whether a shrunk sequence still shows the first problem
// of another: who is wrong, not where.
func sameProblem(small, whole *Report) bool {
	return slices.ContainsFunc(small.Problems, func(p string) bool { return kind(p) == kind(whole.Problems[0]) })
}

func kind(problem string) string {
	_, what, _ := strings.Cut(problem, ": ")
	return what
}

// summary counts what comparisons found.
type summary struct {
	sequences, frames, differing int
	rules                        map[Flaws]int // differences by rule
	sequencesBy                  map[Flaws]int // sequences with such a difference
	sets                         map[int]int   // differences by the number of rules it takes
}

func newSummary() *summary {
	return &summary{rules: make(map[Flaws]int), sequencesBy: make(map[Flaws]int), sets: make(map[int]int)}
}

func (s *summary) add(r *Report) {
	s.sequences++
	s.frames += len(r.Steps)
	var all Flaws
	for _, d := range r.Differences {
		for _, rule := range Rules {
			if d.Rules&rule.Flaw != 0 {
				s.rules[rule.Flaw]++
			}
		}
		s.sets[d.Rules.Len()]++
		all |= d.Rules
	}
	for _, rule := range Rules {
		if all&rule.Flaw != 0 {
			s.sequencesBy[rule.Flaw]++
		}
	}
	if all&^PaddingCut != 0 {
		s.differing++
	}
}

func (s *summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sequences, %d frames; %d sequences with named differences other than padding\n", s.sequences, s.frames, s.differing)
	fmt.Fprintf(&b, "differences by the number of rules needed to explain them: %v\n", s.sets)
	for _, r := range Rules {
		fmt.Fprintf(&b, "%-22s %7d differences in %5d sequences\n", r.Name, s.rules[r.Flaw], s.sequencesBy[r.Flaw])
	}
	return b.String()
}

// TestGrewireIsTheFlawlessModel compares random sequences with the model of a
// kernel that is right. It needs no privilege.
func TestGrewireIsTheFlawlessModel(t *testing.T) {
	seed := chosenSeed(t)
	for n := range count() {
		s := random(seed, n)
		r := flawless(s)
		if r.Problems == nil && r.Differences == nil {
			continue
		}
		small := Shrink(s, func(s Sequence) bool { return flawless(s).Problems != nil })
		t.Fatalf("sequence %d of seed %d: %s\nshrunk to\n%s", n, seed, strings.Join(r.Problems, "\n"), flawless(small))
	}
}

// flawless compares grewire with a kernel that is the flawless model. The
// report's problems are only about grewire.
func flawless(s Sequence) *Report {
	hosts := Hosts(0)
	steps := Render(s, hosts)
	r := compare(s.Dials, steps, play(s.Dials, steps, allFlaws), playGrewire(hosts, steps))
	r.Differences = nil
	return r
}

// TestFalseOutcomesAreFound makes sure that a comparison can fail.
func TestFalseOutcomesAreFound(t *testing.T) {
	s, hosts := examples[0].sequence(), Hosts(0)
	steps := Render(s, hosts)
	good := func() (kernel, grewire outcome) { return play(s.Dials, steps, allFlaws), playGrewire(hosts, steps) }
	kernel, grewire := good()
	if r := compare(s.Dials, steps, kernel, grewire); r.Problems != nil {
		t.Fatalf("an ordinary sequence has problems:\n%s", r)
	}
	last := len(steps) - 1
	for name, falsify := range map[string]func(kernel, grewire *outcome){
		"the kernel drops":       func(k, _ *outcome) { k.frames[0] = nil },
		"the kernel passes":      func(k, _ *outcome) { k.frames[last] = steps[last].Frame },
		"the kernel changes":     func(k, _ *outcome) { k.frames[0] = bytes.Repeat([]byte{7}, 60) },
		"the kernel lists":       func(k, _ *outcome) { k.tables["call lan1 id 9, wan1 id 9"] = true },
		"grewire drops":          func(_, g *outcome) { g.frames[last] = nil },
		"grewire lists nothing":  func(_, g *outcome) { clear(g.tables) },
		"grewire has complaints": func(_, g *outcome) { g.problems = []string{"something"} },
	} {
		kernel, grewire := good()
		falsify(&kernel, &grewire)
		if r := compare(s.Dials, steps, kernel, grewire); r.Problems == nil {
			t.Errorf("%s, and nobody minds:\n%s", name, r)
		}
	}
}

func TestRandomRepeatsItself(t *testing.T) {
	if a, b := random(7, 3), random(7, 3); !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives other sequences")
	}
	if a, b := random(7, 3), random(7, 4); reflect.DeepEqual(a, b) {
		t.Error("sequences are all the same")
	}
}

func TestShrink(t *testing.T) {
	s := random(1, 1)
	says := func(s Sequence) int {
		return len(slices.DeleteFunc(slices.Clone(s.Ops), func(op Op) bool { _, is := op.(Say); return !is }))
	}
	small := Shrink(s, func(s Sequence) bool { return says(s) >= 2 })
	if len(small.Ops) != 2 || says(small) != 2 {
		t.Errorf("shrunk to %d ops, want the 2 that matter", len(small.Ops))
	}
}

func TestParseTuple(t *testing.T) {
	hosts := Hosts(5)
	a, b := hosts[Lan1].Addr, hosts[Wan2].Addr
	entry := fmt.Sprintf("ipv4     2 gre      47 179 timeout=30, stream_timeout=180 src=%s dst=%s srckey=0x1234 dstkey=0x0 "+
		"src=%s dst=%s srckey=0x0 dstkey=0x1234 [ASSURED] mark=0 zone=0 use=3\n", a, b, b, a)
	want := tuple{Lan1, Wan2, 0x1234, 0}
	if got, ok, err := parseTuple(entry, hosts); got != want || !ok || err != nil {
		t.Errorf("parseTuple = %v, %v, %v; want %v", got, ok, err, want)
	}
	for name, line := range map[string]string{
		"TCP":       fmt.Sprintf("ipv4 2 tcp 6 9 ESTABLISHED src=%s dst=%s sport=1 dport=1723", a, b),
		"strangers": strings.ReplaceAll(entry, a.String(), "192.0.2.1"),
	} {
		if got, ok, err := parseTuple(line, hosts); ok || err != nil {
			t.Errorf("%s: parseTuple = %v, %v, %v; want no tuple", name, got, ok, err)
		}
	}
	for name, line := range map[string]string{
		"address": strings.ReplaceAll(entry, a.String(), "10.0.0"),
		"key":     strings.ReplaceAll(entry, "0x1234", "0x12345"),
	} {
		if got, _, err := parseTuple(line, hosts); err == nil {
			t.Errorf("bad %s: parseTuple = %v and no error", name, got)
		}
	}
}
