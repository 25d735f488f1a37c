package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/grewire/grewire/bench/dut"
)

// Whatever a goal is about is measured, of a device that the scenario is for.
func TestGoalsAreMeasured(t *testing.T) {
	plan, goals := Goals(dut.Known("grewire"), time.Second)
	plan.Trial = time.Second
	if err := plan.Check(); err != nil {
		t.Fatal(err)
	}
	measured := func(p Point) bool {
		return slices.ContainsFunc(plan.Scenarios, func(s Scenario) bool {
			return s.String() == p.Scenario.String() && (len(s.Only) == 0 || slices.Contains(s.Only, p.Device))
		})
	}
	for _, g := range goals {
		if !measured(g.Of) || g.By.Device != "" && !measured(g.By) {
			t.Errorf("%s: not measured: %s", g.Name, g.How())
		}
	}
	if len(goals) < 17 {
		t.Errorf("%d goals", len(goals))
	}
}

func TestJudge(t *testing.T) {
	s := Scenario{Test: Throughput, Calls: 1, Traffic: AllCalls, Sizes: Sizes{"64", []int{64}}, Sender: "packet"}
	r := &Results{}
	for device, rates := range map[string][]float64{"box": {30, 10, 20}, "peer": {10, 10, 40}} {
		for i, rate := range rates {
			r.Values = append(r.Values, Value{Scenario: s, Device: device, Round: i + 1, Figure: FigureRate, Value: rate})
		}
	}
	goal := Goal{Figure: FigureRate, Of: Point{s, "box"}, By: Point{s, "peer"}, Bound: 2, Scale: 1}
	none := goal
	none.By.Device = "nobody"
	most := Goal{Figure: FigureRate, Of: Point{s, "box"}, Bound: 19, AtMost: true, Scale: 1}
	for i, want := range []string{"reached", "not measured", "missed"} {
		if got := Judge(r, []Goal{goal, none, most})[i]; got.Class() != want {
			t.Errorf("goal %d: %s (%v), want %s", i, got.Class(), got.Value, want)
		}
	}
}
