package bench

import (
	"slices"
	"time"
)

// Figure is something that a test finds.
type Figure struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// The figures.
var (
	FigureRate    = Figure{"rate", "frames/s"}       // Throughput, Flood: both directions together
	FigureBits    = Figure{"bits", "bit/s"}          // the same on the wire, with preamble and gap
	FigureLimited = Figure{"sender-limited", "bool"} // Throughput: the sender sent no more
	FigureLoss    = Figure{"loss", "share"}
	FigureOffered = Figure{"offered", "frames/s"}
	FigureBurst   = Figure{"burst", "frames"}
	FigureP50     = Figure{"p50", "s"} // Latency
	FigureP90     = Figure{"p90", "s"}
	FigureP99     = Figure{"p99", "s"}
	FigureP999    = Figure{"p99.9", "s"}
	FigureMax     = Figure{"max", "s"}
	// CPU time per frame, see Trial.
	FigureMachineUser   = Figure{"machine-user", "s/frame"}
	FigureMachineSystem = Figure{"machine-system", "s/frame"}
	FigureProcessUser   = Figure{"process-user", "s/frame"}
	FigureProcessSystem = Figure{"process-system", "s/frame"}
)

// Percentiles are the figures of Latency with the share of frames that are not later.
var Percentiles = []struct {
	Figure Figure
	Share  float64
}{{FigureP50, 0.5}, {FigureP90, 0.9}, {FigureP99, 0.99}, {FigureP999, 0.999}, {FigureMax, 1}}

// Value is a figure of a device in one round.
type Value struct {
	Scenario Scenario `json:"scenario"`
	Device   string   `json:"device"`
	Round    int      `json:"round"` // from 1
	Figure   Figure   `json:"figure"`
	Value    float64  `json:"value"`
}

// Results are what a run has found.
type Results struct {
	Machine  Machine   `json:"machine"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Baseline string    `json:"baseline"`
	Rounds   int       `json:"rounds"`
	// Trial is how long each trial sent unless its scenario says otherwise.
	Trial   time.Duration `json:"trial_ns"`
	Search  Search        `json:"search"`
	Devices []About       `json:"devices"`
	Values  []Value       `json:"values"`
	// Faults are what could not be measured, and why.
	Faults []string `json:"faults"`
	// Notes are what casts doubt on the figures.
	Notes []string `json:"notes"`
	// Stopped: the run was ended before its end.
	Stopped bool `json:"stopped"`
}

// About is a device in the words of who knows it.
type About struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Summary is what the rounds say together.
type Summary struct {
	Rounds int     `json:"rounds"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Summarise returns nothing for no values.
func Summarise(values []float64) (s Summary, ok bool) {
	if len(values) == 0 {
		return s, false
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Summary{n, (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}, true
}

// Summary returns what the rounds say of a figure.
func (r *Results) Summary(scenario Scenario, device string, f Figure) (Summary, bool) {
	var values []float64
	key := scenario.String()
	for i := range r.Values {
		if v := &r.Values[i]; v.Device == device && v.Figure == f && v.Scenario.String() == key {
			values = append(values, v.Value)
		}
	}
	return Summarise(values)
}

// Scenarios returns those that have values, in the order of their first.
func (r *Results) Scenarios() (all []Scenario) {
	seen := map[string]bool{}
	for i := range r.Values {
		if key := r.Values[i].Scenario.String(); !seen[key] {
			seen[key] = true
			all = append(all, r.Values[i].Scenario)
		}
	}
	return all
}

// Measured returns the devices that have values in a scenario, in the plan's order.
func (r *Results) Measured(scenario Scenario) (names []string) {
	key, has := scenario.String(), map[string]bool{}
	for i := range r.Values {
		if r.Values[i].Scenario.String() == key {
			has[r.Values[i].Device] = true
		}
	}
	for _, d := range r.Devices {
		if has[d.Name] {
			names = append(names, d.Name)
		}
	}
	return names
}

// Ratio returns how a device's median compares with another's.
func (r *Results) Ratio(scenario Scenario, device, other string, f Figure) (float64, bool) {
	a, okA := r.Summary(scenario, device, f)
	b, okB := r.Summary(scenario, other, f)
	if !okA || !okB || b.Median == 0 {
		return 0, false
	}
	return a.Median / b.Median, true
}
