package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grewire/grewire/bench"
	"github.com/grewire/grewire/bench/dut"
)

const benchForwardAbout = `Measures how devices forward the GRE of PPTP, all of them in one run, in turn, round by
round. Without -tx and -rx the devices stand between network namespaces of this machine.
With them the device is whatever is cabled to these two NICs, which must have no IP
address: they move to namespaces of their own for the time of the run.

Calls are set up by real control connections through the device first. Every frame that is
received is checked. An interrupt ends the run early; what was measured until then is
reported. It needs root and Linux 6.6.

Lists are separated by commas. Flags:
`

// forwardFlags are the flags of "bench forward".
type forwardFlags struct {
	devices, tests, calls, sizes, senders, traffic, rates, shares string
	bothWays                                                      bool
	rounds, callsEach, again                                      int
	trial                                                         time.Duration
	tolerance, loss                                               float64
	tx, rx, baseline                                              string
	devicesGiven                                                  bool
}

func (f *flags) forwardFlags(devices []dut.Device) *forwardFlags {
	o := &forwardFlags{}
	var known []string
	for _, d := range devices {
		known = append(known, d.Name)
	}
	f.StringVar(&o.devices, "devices", strings.Join(known, ","), "`names` of the devices")
	f.StringVar(&o.tx, "tx", "", "the `NIC` that the device's LAN side is cabled to")
	f.StringVar(&o.rx, "rx", "", "the `NIC` that the device's WAN side is cabled to")
	f.StringVar(&o.tests, "tests", "throughput", "`tests`: throughput, loss, latency, burst, flood")
	f.StringVar(&o.calls, "calls", "1", "`numbers` of calls, up to 65535")
	f.StringVar(&o.sizes, "sizes", "64", "frame `sizes` in octets with check sequence, 64 to 9216, or imix")
	f.StringVar(&o.senders, "senders", "packet", "`senders`: packet (a packet socket), xdp (faster; the NIC must take redirected frames)")
	f.StringVar(&o.traffic, "traffic", "all", "whose `frames`: all calls in turn, the first, the last")
	f.StringVar(&o.rates, "rates", "", "`loads` of the tests loss and latency, in frames a second and direction")
	f.StringVar(&o.shares, "loads", "", "`loads` of these tests as percentages of the throughput found")
	f.BoolVar(&o.bothWays, "both-ways", false, "send in both directions at once")
	f.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	f.DurationVar(&o.trial, "trial", time.Second, "how long each trial sends")
	f.Float64Var(&o.tolerance, "tolerance", 0.02, "how exactly a throughput is found, as a share of it")
	f.Float64Var(&o.loss, "loss", 0, "the `share` of frames that throughput may lose")
	f.IntVar(&o.again, "again", 2, "how often a trial with loss is repeated before it counts")
	f.IntVar(&o.callsEach, "calls-each", 1, "calls per control connection, with devices that can follow several")
	f.StringVar(&o.baseline, "baseline", dut.NameHelper, "the `device` that others are compared with")
	return o
}

func (p *program) benchForward(ctx context.Context, args []string) int {
	f := p.flags("bench forward", "[flags]", benchForwardAbout)
	binary, err := os.Executable()
	if err != nil {
		return p.failed(f.Name(), err)
	}
	devices := dut.Known(binary)
	o, r := f.forwardFlags(devices), f.reportFlags()
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	f.Visit(func(given *flag.Flag) { o.devicesGiven = o.devicesGiven || given.Name == "devices" })
	plan, err := o.plan(devices)
	if err != nil {
		return f.misused(err.Error())
	}
	return p.runBench(ctx, f, plan, r, nil)
}

func (o *forwardFlags) plan(devices []dut.Device) (*bench.Plan, error) {
	p := &bench.Plan{
		Rounds: o.rounds, Trial: o.trial, CallsEach: o.callsEach, Baseline: o.baseline,
		Search: bench.Search{Tolerance: o.tolerance, Loss: o.loss, Again: o.again},
	}
	if (o.tx == "") != (o.rx == "") {
		return nil, errors.New("-tx and -rx go together")
	}
	if o.tx != "" && o.devicesGiven {
		return nil, errors.New("-devices are in this machine: with -tx and -rx there is one outside")
	}
	var err error
	if o.tx != "" {
		p.Attached, p.Baseline = [2]string{o.tx, o.rx}, ""
	} else if p.Devices, err = dut.Named(devices, listed(o.devices)); err != nil {
		return nil, err
	}
	helps := func(d dut.Device) bool { return d.Name == dut.NameHelper }
	if o.baseline == dut.NameHelper && !slices.ContainsFunc(p.Devices, helps) {
		p.Baseline = "" // nobody asked for a comparison
	}
	p.Scenarios, err = o.scenarios()
	return p, err
}

// listed splits a flag's value; "" has nothing in it.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// scenarios are all combinations. Throughput comes first, as loads may be shares
// of it.
func (o *forwardFlags) scenarios() (all []bench.Scenario, err error) {
	tests := listed(o.tests)
	for _, name := range tests {
		if !slices.Contains(bench.Tests(), bench.Test(name)) {
			return nil, fmt.Errorf("there is no test %q; there are %v", name, bench.Tests())
		}
	}
	circumstances, err := o.circumstances()
	if err != nil {
		return nil, err
	}
	for _, test := range bench.Tests() {
		for _, s := range circumstances {
			if s.Test = test; !slices.Contains(tests, string(test)) {
				continue
			}
			more, err := o.atLoads(s)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	return all, nil
}

// circumstances are all combinations of what the tests are made with.
func (o *forwardFlags) circumstances() (all []bench.Scenario, err error) {
	for _, calls := range listed(o.calls) {
		for _, size := range listed(o.sizes) {
			for _, sender := range listed(o.senders) {
				s := bench.Scenario{Sender: bench.Sender(sender), Traffic: bench.Traffic(o.traffic), BothWays: o.bothWays}
				if s.Calls, err = strconv.Atoi(calls); err != nil {
					return nil, fmt.Errorf("number of calls %q", calls)
				}
				if s.Sizes, err = bench.ParseSizes(size); err != nil {
					return nil, err
				}
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// atLoads is a scenario at each of the loads, if it is one with a load.
func (o *forwardFlags) atLoads(s bench.Scenario) (all []bench.Scenario, err error) {
	if s.Test != bench.Loss && s.Test != bench.Latency {
		return []bench.Scenario{s}, nil
	}
	for _, text := range listed(o.rates) {
		if s.Rate, err = strconv.ParseFloat(text, 64); err != nil || s.Rate <= 0 {
			return nil, fmt.Errorf("rate %q: want frames a second", text)
		}
		all = append(all, s)
	}
	s.Rate = 0
	for _, text := range listed(o.shares) {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || percent <= 0 {
			return nil, fmt.Errorf("load %q: want a percentage", text)
		}
		s.Share = percent / 100
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the test %s wants a load: -rates or -loads", s.Test)
	}
	return all, nil
}
