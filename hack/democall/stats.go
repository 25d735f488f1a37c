package main

import (
	"context"
	"fmt"
)

// stats is what the demonstration reads of grewire stats -json.
type stats struct {
	Frames    uint64            `json:"frames"`
	Forwarded uint64            `json:"forwarded"`
	Rewritten uint64            `json:"rewritten"`
	Dropped   uint64            `json:"dropped"`
	Reasons   map[string]uint64 `json:"reasons"`
}

// addUp reports whether every frame has one verdict and one reason.
func (s stats) addUp() error {
	var reasons uint64
	for _, n := range s.Reasons {
		reasons += n
	}
	if verdicts := s.Forwarded + s.Rewritten + s.Dropped; s.Frames == 0 || verdicts != s.Frames || reasons != s.Frames {
		return fmt.Errorf("the counters do not add up: %d frames, %d verdicts (%d forwarded, %d rewritten, %d dropped), %d reasons",
			s.Frames, verdicts, s.Forwarded, s.Rewritten, s.Dropped, reasons)
	}
	return nil
}

// showStats shows the counters once the box has counted the last frame.
func (d *demo) showStats(ctx context.Context) error {
	heading("Every frame is counted once, with its reason")
	waiting, cancel := context.WithTimeout(ctx, retryWait)
	defer cancel()
	var s stats
	err := poll(waiting, func() error {
		s = stats{}
		if err := d.askJSON(waiting, &s, "stats"); err != nil {
			return err
		}
		return s.addUp()
	}, d.box.Done())
	if err != nil {
		return err
	}
	if s.Dropped < d.forged {
		return fmt.Errorf("the box dropped %d frames, but %d were forged", s.Dropped, d.forged)
	}
	if err := d.show(ctx, "stats"); err != nil {
		return err
	}
	fmt.Printf("\n  %d forwarded + %d rewritten + %d dropped = %d frames; so do the reasons.\n", s.Forwarded, s.Rewritten, s.Dropped, s.Frames)
	return nil
}

func (d *demo) printResult() {
	c := d.call
	fmt.Printf("\nDone: call %d between PNS %s (call ID %d) and PAC %s (call ID %d) crossed the box,\n%d forged packets did not. Everything is cleaned up.\n",
		c.ID, c.PNS.Addr, c.PNS.CallID, c.PAC.Addr, c.PAC.CallID, d.forged)
}
