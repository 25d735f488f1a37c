package bench

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bench/load"
)

// Test is what is found out.
type Test string

// The tests.
const (
	// Throughput is the highest rate without loss (RFC 2544, section 26.1).
	Throughput Test = "throughput"
	// Loss is the share of frames lost at a load (section 26.3).
	Loss Test = "loss"
	// Latency is how late frames come at a load (section 26.2, but of all frames).
	Latency Test = "latency"
	// Burst is the longest burst without loss (section 26.4).
	Burst Test = "burst"
	// Flood is the rate at which frames come through when more are sent than fit.
	Flood Test = "flood"
)

// Tests lists the tests.
func Tests() []Test { return []Test{Throughput, Loss, Latency, Burst, Flood} }

// Sender is a way to make frames, see package load.
type Sender = load.Sender

// Sizes are the sizes of frames that take turns, under a name.
type Sizes struct {
	Name   string `json:"name"`
	Octets []int  `json:"octets"` // check sequence included
}

// ParseSizes reads "64" or "imix".
func ParseSizes(text string) (Sizes, error) {
	if text == "imix" {
		return Sizes{text, load.PPTPMix()}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < load.MinSize || n > load.MaxSize {
		return Sizes{}, fmt.Errorf("frame size %q: want imix or %d to %d octets", text, load.MinSize, load.MaxSize)
	}
	return Sizes{strconv.Itoa(n), []int{n}}, nil
}

// String is the size with its unit; a mix has none.
func (s Sizes) String() string {
	if len(s.Octets) == 1 {
		return s.Name + " B"
	}
	return s.Name
}

// CountCalls is "1 call", "2 calls".
func CountCalls(n int) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}

// Mean is the mean size in octets.
func (s Sizes) Mean() float64 {
	sum := 0
	for _, n := range s.Octets {
		sum += n
	}
	return float64(sum) / float64(len(s.Octets))
}

// Scenario is a test under given circumstances.
type Scenario struct {
	Test     Test    `json:"test"`
	Calls    int     `json:"calls"`
	Traffic  Traffic `json:"traffic"`
	Sizes    Sizes   `json:"sizes"`
	Sender   Sender  `json:"sender"`
	BothWays bool    `json:"both_ways"`
	// Rate is the load of Loss and Latency in frames a second and direction; or
	// Share is, as a share of what the device's last Throughput test found under
	// the same circumstances.
	Rate  float64 `json:"rate,omitempty"`
	Share float64 `json:"share,omitempty"`
	// Lasting overrides how long the plan's trials are.
	Lasting time.Duration `json:"lasting,omitempty"`
	// Once: it is measured in the first round alone.
	Once bool `json:"-"`
	// Only names the devices that it is for; all of them if it is empty.
	Only []string `json:"-"`
}

// String says it in a line.
func (s Scenario) String() string {
	text := fmt.Sprintf("%s, %s, %s", s.Test, s.Sizes, CountCalls(s.Calls))
	if s.Calls > 1 && s.Traffic != AllCalls {
		text += " (" + string(s.Traffic) + ")"
	}
	text += ", " + string(s.Sender) + " sender"
	if s.BothWays {
		text += ", both ways"
	}
	if load := s.Load(); load != "" {
		text += ", " + load
	}
	if s.Lasting > 0 {
		text += ", " + s.Lasting.String()
	}
	return text
}

// Load is the load as somebody would say it, "" if it is the test's to find.
func (s Scenario) Load() string {
	switch {
	case s.Share > 0:
		return fmt.Sprintf("%.6g %% load", 100*s.Share)
	case s.Rate > 0:
		return strconv.FormatFloat(s.Rate, 'f', -1, 64) + " frames/s"
	}
	return ""
}

// circumstances are what a load in shares refers to: all but test and load.
func (s Scenario) circumstances() string {
	s.Test, s.Rate, s.Share, s.Lasting = Throughput, 0, 0, 0
	return s.String()
}

func (s Scenario) spec(p *Plan) Spec {
	lasting := p.Trial
	if s.Lasting > 0 {
		lasting = s.Lasting
	}
	return Spec{Sender: s.Sender, Sizes: s.Sizes.Octets, Traffic: s.Traffic, BothWays: s.BothWays, Rate: s.Rate, Lasting: lasting}
}

// Plan is a whole run.
type Plan struct {
	Devices   []dut.Device
	Scenarios []Scenario
	Rounds    int
	Trial     time.Duration // how long each trial sends
	Search    Search
	// CallsEach is how many calls a control connection carries, where the device can.
	CallsEach int
	// Baseline is the name of the device that the others are compared with.
	Baseline string
	// Attached are the two NICs of a device that is another machine, the LAN's
	// first; then Devices is empty.
	Attached [2]string
}

// mtu is that of NICs which the frames fit.
func (s Scenario) mtu() int {
	const ordinary, jumbo, ethernet = 1500, 9000, 14 + load.FCS
	if slices.Max(s.Sizes.Octets) > ordinary+ethernet {
		return max(jumbo, slices.Max(s.Sizes.Octets)-ethernet)
	}
	return ordinary
}

// isFor reports whether a device can and should be measured.
func (s Scenario) isFor(d dut.Device) bool {
	return (len(s.Only) == 0 || slices.Contains(s.Only, d.Name)) && (d.MaxCalls == 0 || s.Calls <= d.MaxCalls)
}
