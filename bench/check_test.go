package bench

import (
	"math"
	"testing"
	"time"

	"github.com/grewire/grewire/bench/dut"
)

// goodPlan is one that Check has nothing to say about.
func goodPlan() *Plan {
	return &Plan{
		Devices: []dut.Device{dut.Bridge(), dut.Helper()}, Baseline: dut.NameHelper, Rounds: 1, Trial: time.Second, CallsEach: 1, Search: Search{Tolerance: 0.02},
		Scenarios: []Scenario{
			{Test: Throughput, Calls: 1, Traffic: AllCalls, Sizes: Sizes{"64", []int{64}}, Sender: "packet"},
			{Test: Throughput, Calls: 1, Traffic: LastCall, Sizes: Sizes{"64", []int{64}}, Sender: "xdp"},
			{Test: Loss, Calls: 1, Traffic: LastCall, Sizes: Sizes{"64", []int{64}}, Sender: "xdp", Share: 0.996},
			{Test: Loss, Calls: 1, Traffic: LastCall, Sizes: Sizes{"64", []int{64}}, Sender: "xdp", Share: 1.004},
			{Test: Latency, Calls: 1, Traffic: FirstCall, Sizes: Sizes{"64", []int{64}}, Sender: "xdp", Rate: 0.5},
			{Test: Latency, Calls: 1, Traffic: FirstCall, Sizes: Sizes{"64", []int{64}}, Sender: "xdp", Rate: 0.25},
		},
	}
}

func TestPlanCheck(t *testing.T) {
	if err := goodPlan().Check(); err != nil {
		t.Error(err)
	}
	attached := goodPlan()
	attached.Devices, attached.Baseline, attached.Attached = nil, "", [2]string{"a", "b"}
	if err := attached.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(p *Plan, s *Scenario){
		"no such test":                  func(_ *Plan, s *Scenario) { s.Test = "speed" },
		"no calls":                      func(_ *Plan, s *Scenario) { s.Calls = 0 },
		"too many calls":                func(_ *Plan, s *Scenario) { s.Calls = 1 << 16 },
		"no such traffic":               func(_ *Plan, s *Scenario) { s.Traffic = "rush hour" },
		"no such sender":                func(_ *Plan, s *Scenario) { s.Sender = "carrier pigeon" },
		"no load":                       func(_ *Plan, s *Scenario) { s.Test = Latency },
		"no number as a rate":           func(_ *Plan, s *Scenario) { s.Rate = math.NaN() },
		"rate of nobody":                func(_ *Plan, s *Scenario) { s.Rate = 1e12 },
		"no number as a share":          func(_ *Plan, s *Scenario) { s.Share = math.NaN() },
		"endless share":                 func(_ *Plan, s *Scenario) { s.Share = math.Inf(1) },
		"share of what is not measured": func(p *Plan, _ *Scenario) { p.Scenarios = p.Scenarios[2:] },
		"jumbo frames by XDP":           func(_ *Plan, s *Scenario) { s.Sender, s.Sizes.Octets = "xdp", []int{9000} },
		"scenario twice":                func(p *Plan, s *Scenario) { p.Scenarios = append(p.Scenarios, *s) },
		"no scenario":                   func(p *Plan, _ *Scenario) { p.Scenarios = nil },
		"no rounds":                     func(p *Plan, _ *Scenario) { p.Rounds = 0 },
		"no time":                       func(p *Plan, _ *Scenario) { p.Trial = -1 },
		"no calls each":                 func(p *Plan, _ *Scenario) { p.CallsEach = 0 },
		"no device":                     func(p *Plan, _ *Scenario) { p.Devices = nil },
		"device twice":                  func(p *Plan, _ *Scenario) { p.Devices = append(p.Devices, p.Devices[0]) },
		"baseline of nobody":            func(p *Plan, _ *Scenario) { p.Baseline = "hub" },
		"one NIC twice":                 func(p *Plan, _ *Scenario) { p.Attached = [2]string{"a", "a"} },
		"tolerance of nothing":          func(p *Plan, _ *Scenario) { p.Search.Tolerance = 0 },
		"tolerance of all":              func(p *Plan, _ *Scenario) { p.Search.Tolerance = 1 },
		"no number to find":             func(p *Plan, _ *Scenario) { p.Search.Tolerance = math.NaN() },
		"less than no loss":             func(p *Plan, _ *Scenario) { p.Search.Loss = -0.1 },
		"never again":                   func(p *Plan, _ *Scenario) { p.Search.Again = -1 },
	} {
		p := goodPlan()
		spoil(p, &p.Scenarios[0])
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
