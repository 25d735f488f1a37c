package bridge

import "github.com/grewire/grewire/track"

// Totals say what became of frames. Forwarded (unchanged), Rewritten and
// Dropped add up to Frames, and so do the Reasons.
type Totals struct {
	Frames    uint64            `json:"frames"`
	Forwarded uint64            `json:"forwarded"`
	Rewritten uint64            `json:"rewritten"`
	Dropped   uint64            `json:"dropped"`
	Octets    uint64            `json:"octets"` // of whole frames, dropped ones included
	Reasons   map[string]uint64 `json:"reasons"`
}

// Stats are the Totals of the box, of each side that frames came in by, and
// how much of each limit is taken.
type Stats struct {
	Totals
	Sides     map[string]Totals    `json:"sides"`
	Anomalies map[string]uint64    `json:"anomalies"`
	Limits    map[string]track.Use `json:"limits"`
}

// add puts the counters of a Lane into the totals.
func (t *Totals) add(c *counters) {
	t.Forwarded += c.forwarded.Load()
	t.Rewritten += c.rewritten.Load()
	t.Dropped += c.dropped.Load()
	t.Frames = t.Forwarded + t.Rewritten + t.Dropped
	t.Octets += c.octets.Load()
	if t.Reasons == nil {
		t.Reasons = make(map[string]uint64)
	}
	for r := range c.reasons {
		if n := c.reasons[r].Load(); n > 0 {
			t.Reasons[track.Reason(r).String()] += n
		}
	}
}
