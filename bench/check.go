package bench

import (
	"errors"
	"fmt"
	"slices"

	"github.com/grewire/grewire/bench/load"
)

// Check looks for what cannot be measured, and for what would give figures that
// nobody could tell apart.
func (p *Plan) Check() error {
	errs := []error{p.checkDevices(), p.Search.check()}
	if len(p.Scenarios) == 0 || p.Rounds < 1 || p.Trial <= 0 || p.CallsEach < 1 {
		errs = append(errs, errors.New("nothing to measure: want scenarios, rounds, a time for each trial and calls for each connection"))
	}
	seen := map[string]bool{}
	for _, s := range p.Scenarios {
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
		switch {
		case seen[s.String()]:
			errs = append(errs, fmt.Errorf("%s: named twice", s))
		case s.Share > 0 && !seen[s.circumstances()]:
			errs = append(errs, fmt.Errorf("%s: %w", s, errNoThroughput))
		}
		seen[s.String()] = true
	}
	return errors.Join(errs...)
}

func (p *Plan) checkDevices() error {
	if p.Attached[0] != "" {
		if p.Attached[0] == p.Attached[1] {
			return fmt.Errorf("NIC %s cannot be both ends: want two", p.Attached[0])
		}
		return nil
	}
	if len(p.Devices) == 0 {
		return errors.New("no device")
	}
	seen := map[string]bool{}
	for _, d := range p.Devices {
		if seen[d.Name] {
			return fmt.Errorf("device %s is named twice", d.Name)
		}
		seen[d.Name] = true
	}
	if p.Baseline != "" && !seen[p.Baseline] {
		return fmt.Errorf("nothing can be compared with %q, which is not among the devices", p.Baseline)
	}
	return nil
}

// check is written so that what is no number does not pass, either.
func (s Search) check() error {
	switch {
	case !(s.Tolerance > 0 && s.Tolerance < 1):
		return fmt.Errorf("tolerance %g: want more than 0 and less than 1", s.Tolerance)
	case !(s.Loss >= 0 && s.Loss < 1):
		return fmt.Errorf("loss %g: want 0 or more and less than 1", s.Loss)
	case s.Again < 0:
		return fmt.Errorf("%d repetitions: want 0 or more", s.Again)
	}
	return nil
}

// maxCalls is how many calls one server can have: they have a call ID each, of
// which 0 is none.
const maxCalls = 1<<16 - 1

// maxShare is the most that a load can be of a throughput.
const maxShare = 100

func (s Scenario) check() error {
	switch {
	case !slices.Contains(Tests(), s.Test):
		return errors.New("no such test")
	case s.Calls < 1 || s.Calls > maxCalls:
		return fmt.Errorf("want 1 to %d calls", maxCalls)
	case !slices.Contains(Traffics(), s.Traffic):
		return fmt.Errorf("no such traffic; there are %v", Traffics())
	case s.Sender != load.Packet && s.Sender != load.XDP:
		return errors.New("no such sender")
	case s.Sender == load.XDP && slices.Max(s.Sizes.Octets) > load.MaxXDPSize:
		return fmt.Errorf("the XDP sender makes frames of up to %d octets", load.MaxXDPSize)
	}
	return s.checkLoad()
}

func (s Scenario) checkLoad() error {
	switch {
	case !(s.Rate >= 0 && s.Rate <= load.MaxRate):
		return fmt.Errorf("want up to %.0f frames a second", load.MaxRate)
	case !(s.Share >= 0 && s.Share <= maxShare):
		return fmt.Errorf("want a load of up to %d %%", 100*maxShare)
	case (s.Test == Loss || s.Test == Latency) && s.Rate == 0 && s.Share == 0:
		return errors.New("want a load")
	}
	return nil
}
