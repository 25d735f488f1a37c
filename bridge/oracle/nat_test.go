package oracle

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track/pptp"
)

var stories = flag.Int("stories", 500, "how many random stories to translate")

// newRouter opens a router for a test, or skips it where there is none.
func newRouter(t *testing.T) *Router {
	t.Helper()
	r, err := OpenRouter(bridgetest.New(t))
	if errors.Is(err, ErrNoHelper) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// translate plays a story through both and compares.
func (s natStory) translate(t *testing.T, r *Router) *natReport {
	t.Helper()
	kernel, err := s.play(r, r.hosts(), r.macs)
	if err == nil {
		err = r.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := newMasquerade(r.macs)
	grewire, err := s.play(m, r.hosts(), r.macs)
	if err != nil {
		t.Fatal(err)
	}
	report := compareNAT(s, kernel, grewire)
	report.problems = append(report.problems, m.notes.texts...)
	return report
}

func numberedStory(seed uint64, n int) natStory {
	return randomNATStory(rand.New(rand.NewPCG(seed, uint64(n))))
}

// shrink takes out deeds as long as the story has no other problems than it had.
func (s natStory) shrink(t *testing.T, r *Router) natStory {
	had := kinds(s.translate(t, r))
	for at := 0; at < len(s.deeds); {
		shorter := s
		shorter.deeds = slices.Delete(slices.Clone(s.deeds), at, at+1)
		has := kinds(shorter.translate(t, r))
		if len(has) > 0 && !slices.ContainsFunc(has, func(k string) bool { return !slices.Contains(had, k) }) {
			s = shorter
		} else {
			at++
		}
	}
	return s
}

// kinds are a report's problems without where they are.
func kinds(r *natReport) (all []string) {
	for _, p := range r.problems {
		all = append(all, kind(p))
	}
	return all
}

// TestKernelNATAsOracle compares grewire's masquerade with the
// kernel's NAT, in what the kernel's can do: every difference must have a name.
func TestKernelNATAsOracle(t *testing.T) {
	r, seed := newRouter(t), chosenSeed(t)
	n := *stories
	if testing.Short() {
		n = min(n, 100)
	}
	rules, deeds, failed := make(map[string]int), 0, 0
	for i := range n {
		s := numberedStory(seed, i)
		report := s.translate(t, r)
		deeds += len(report.grewire)
		for name, times := range report.rules {
			rules[name] += times
		}
		if report.problems == nil {
			continue
		}
		if failed++; failed <= failures {
			t.Errorf("story %d of seed %d: %s\nshrunk to\n%s", i, seed, strings.Join(report.problems, "\n"), s.shrink(t, r).translate(t, r))
		}
	}
	if failed > 0 {
		t.Errorf("%d stories have differences without a name", failed)
	}
	t.Logf("seed %d: %d stories, %d frames; differences by rule:\n%s", seed, n, deeds, countsOf(rules))
}

func countsOf(rules map[string]int) string {
	var b strings.Builder
	for _, rule := range natRules {
		fmt.Fprintf(&b, "%-16s %7d  %s\n", rule.name, rules[rule.name], rule.why)
	}
	return b.String()
}

// TestFalseTranslationIsFound makes sure that a comparison can fail. It needs no
// privilege.
func TestFalseTranslationIsFound(t *testing.T) {
	nics := [2][6]byte{{2, 1}, {2, 2}}
	s := natStory{conns: []natConn{{Dial: Dial{Lan1, Wan1}, port: firstPort, pnsID: 7, pacID: 9}}}
	ask := func(from End, acts ...natAct) {
		for i, act := range acts {
			s.deeds = append(s.deeds, deed{0, (from + End(i)) % 2, act})
		}
	}
	ask(Opener, natSYN, natSYNACK, natACK)
	ask(Opener, says(pptp.StartControlConnectionRequest), says(pptp.StartControlConnectionReply))
	ask(Opener, says(pptp.OutgoingCallRequest), says(pptp.OutgoingCallReply), natGRE, natGRE)
	play := func() []natStep {
		steps, err := s.play(newMasquerade(nics), new(Router).hosts(), nics)
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	if r := compareNAT(s, play(), play()); r.problems != nil {
		t.Fatalf("an ordinary story has problems:\n%s", r)
	}
	last := len(play()) - 1
	octet := func(at int) func([]natStep) {
		return func(steps []natStep) {
			steps[last].out = bytes.Clone(steps[last].out)
			steps[last].out[at]++
		}
	}
	for name, falsify := range map[string]func(steps []natStep){
		"nothing comes out": func(steps []natStep) { steps[last].out, steps[last].reached = nil, false },
		"another ID":        octet(ethernetHeader + 20 + greCallIDAt),
		"another octet":     octet(ethernetHeader + 20 + 8),
		"another host":      octet(ethernetHeader + 19),
		"a wrong checksum":  octet(ethernetHeader + 10),
		"a deed is missing": func(steps []natStep) {
			steps[last] = natStep{conn: steps[last].conn, deed: steps[last].deed, in: steps[last].in}
		},
		"a type of service":  octet(ethernetHeader + 1),
		"a TCP data changed": func(steps []natStep) { steps[5].out = bytes.Clone(steps[5].out); steps[5].out[tcpData+20]++ },
	} {
		for who := range 2 {
			both := [2][]natStep{play(), play()}
			falsify(both[who])
			if r := compareNAT(s, both[0], both[1]); r.problems == nil {
				t.Errorf("%s (%d), and nobody minds:\n%s", name, who, r)
			}
		}
	}
}
