package bench

import (
	"time"

	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bench/load"
)

// Names of grewire's variants in the goals.
const (
	plain      = "grewire-ring"
	masquerade = "grewire-masquerade"
)

// Goals returns the plan that compares grewire with the PPTP helper that it
// replaces, and what it is to reach. soak is how long no frame may be lost at
// 80 % of its rate; 0 leaves that out. Goals about devices that are not among
// those given stay unmeasured.
func Goals(devices []dut.Device, soak time.Duration) (*Plan, []Goal) {
	p := &Plan{
		Devices: devices, Rounds: 3, Trial: 500 * time.Millisecond, CallsEach: 1,
		Search: Search{Tolerance: 0.03, Again: 1}, Baseline: dut.NameHelper,
	}
	g := goalScenarios()
	p.Scenarios = append(g.all(), curves(g)...)
	goals := g.goals()
	if soak > 0 {
		s := g.oneXDP
		s.Test, s.Share, s.Lasting, s.Once, s.Only = Loss, 0.8, soak, true, []string{plain}
		p.Scenarios = append(p.Scenarios, s)
		goals = append(goals, Goal{
			Name: "loss in " + soak.String() + " at 80 % of the rate", Figure: FigureLoss, Of: Point{s, plain}, AtMost: true, Scale: 100, Unit: " %",
		})
	}
	return p, goals
}

// goalSet are the scenarios that goals are about.
type goalSet struct {
	onePacket, oneXDP, allOf1000, lastOf1000, lastOf4000, allOf50000, large, flood, slow, half Scenario

	// The packet sender's own rate is what bounds some ratios: these show the device's.
	allOf1000XDP, lastOf1000XDP, lastOf4000XDP Scenario
}

func goalScenarios() goalSet {
	small := Sizes{"64", []int{64}}
	of := func(sender load.Sender, calls int, t Traffic) Scenario {
		return Scenario{Test: Throughput, Calls: calls, Traffic: t, Sizes: small, Sender: sender}
	}
	g := goalSet{
		onePacket: of(load.Packet, 1, AllCalls), oneXDP: of(load.XDP, 1, AllCalls),
		allOf1000: of(load.Packet, 1000, AllCalls), lastOf1000: of(load.Packet, 1000, LastCall),
		lastOf4000: of(load.Packet, 4000, LastCall), allOf50000: of(load.XDP, 50_000, AllCalls),
		allOf1000XDP: of(load.XDP, 1000, AllCalls), lastOf1000XDP: of(load.XDP, 1000, LastCall),
		lastOf4000XDP: of(load.XDP, 4000, LastCall),
		large:         of(load.Packet, 100, AllCalls),
	}
	g.large.Sizes = Sizes{"1400", []int{1400}}
	// /proc counts a process's time in hundredths of a second: a long trial for it.
	g.flood = g.oneXDP
	g.flood.Test, g.flood.Lasting, g.flood.Only = Flood, 10*time.Second, []string{plain}
	g.slow, g.half = g.onePacket, g.onePacket
	g.slow.Test, g.slow.Rate = Latency, 10_000
	// Whatever else the machine does for some milliseconds is more than a hundredth
	// of a short trial.
	g.half.Test, g.half.Share, g.half.Lasting = Latency, 0.5, 2*time.Second
	both := []string{dut.NameHelper, dut.NameBridge, plain}
	for _, s := range []*Scenario{&g.allOf1000, &g.lastOf1000, &g.lastOf4000, &g.large, &g.half} {
		s.Only = both
	}
	for _, s := range []*Scenario{&g.allOf1000XDP, &g.lastOf1000XDP, &g.lastOf4000XDP} {
		s.Only = []string{dut.NameHelper, plain}
	}
	g.allOf50000.Only = []string{plain, masquerade}
	return g
}

func (g *goalSet) all() []Scenario {
	return []Scenario{
		g.onePacket, g.oneXDP, g.flood, g.slow, g.half, g.large, g.allOf1000, g.allOf1000XDP, g.lastOf1000, g.lastOf1000XDP,
		g.lastOf4000, g.lastOf4000XDP, g.allOf50000,
	}
}

// curves are what else is worth a plot: rate against size, loss against load. No
// goal is about them: once is enough.
func curves(g goalSet) (all []Scenario) {
	both := []string{dut.NameHelper, dut.NameBridge, plain}
	for _, size := range []string{"256", "512", "1024", "1518", "imix"} {
		s := g.onePacket
		s.Sizes, _ = ParseSizes(size) // all of them are sizes
		s.Only, s.Once = both, true
		all = append(all, s)
	}
	for _, share := range []float64{0.5, 0.8, 1, 1.1, 1.25, 1.5} {
		s := g.oneXDP
		s.Test, s.Share, s.Only, s.Once = Loss, share, both, true
		all = append(all, s)
	}
	return all
}

func (g *goalSet) goals() []Goal {
	helper := func(name string, s Scenario, least float64) Goal {
		return Goal{Name: name, Figure: FigureRate, Of: Point{s, plain}, By: Point{s, dut.NameHelper}, Bound: least, Scale: 1, Unit: " x helper"}
	}
	delay := func(name string, s Scenario, f Figure, most float64) Goal {
		return Goal{Name: name, Figure: f, Of: Point{s, plain}, Bound: most, AtMost: true, Scale: 1e6, Unit: " us"}
	}
	return []Goal{
		helper("1 call, packet sender", g.onePacket, 1.7),
		helper("1 call, XDP sender", g.oneXDP, 1.2),
		helper("1,000 calls, all of them, packet sender", g.allOf1000, 7),
		helper("1,000 calls, all of them, XDP sender", g.allOf1000XDP, 7),
		helper("1,000 calls, the one found last, packet sender", g.lastOf1000, 13),
		helper("1,000 calls, the one found last, XDP sender", g.lastOf1000XDP, 13),
		helper("4,000 calls, the one found last, packet sender", g.lastOf4000, 20),
		helper("4,000 calls, the one found last, XDP sender", g.lastOf4000XDP, 20),
		{Name: "50,000 calls, all of them", Figure: FigureRate, Of: Point{g.allOf50000, plain}, By: Point{g.oneXDP, plain}, Bound: 0.8, Scale: 1, Unit: " x own 1 call"},
		helper("1,400 B, 100 calls", g.large, 1.3),
		{Name: "masquerade", Figure: FigureRate, Of: Point{g.oneXDP, masquerade}, By: Point{g.oneXDP, plain}, Bound: 0.95, Scale: 1, Unit: " x own plain"},
		{Name: "one worker, packet sender", Figure: FigureRate, Of: Point{g.onePacket, plain}, By: Point{g.onePacket, dut.NameBridge}, Bound: 1, Scale: 1, Unit: " x bridge"},
		{Name: "user time per frame", Figure: FigureProcessUser, Of: Point{g.flood, plain}, Bound: 100e-9, AtMost: true, Scale: 1e9, Unit: " ns"},
		delay("delay at 10,000 frames/s, p50", g.slow, FigureP50, 30e-6),
		delay("delay at 10,000 frames/s, p99", g.slow, FigureP99, 90e-6),
		delay("delay at half load, p99", g.half, FigureP99, 300e-6),
	}
}
