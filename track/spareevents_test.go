package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestManyEvents: calls that end at once have their events in slices, a tenth of a
// second's in a Tick after a tenth of a second; and after one that had many, no room
// for them is kept.
func TestManyEvents(t *testing.T) {
	const conns, each = 32, 80
	for _, late := range []time.Duration{100 * time.Millisecond, time.Second} {
		w := tracktest.New(t, func(o *track.Options) {
			o.Limits.Calls, o.Limits.CallsPerHost, o.Limits.Expectations = conns*each, conns*each, 2*conns*each
		})
		for n := range conns {
			c := w.Dial(w.Client, w.Server)
			for id := range each {
				c.OutCall(uint16(n*each+id), uint16(n*each+id))
			}
		}
		w.Now = w.Now.Add(w.Options.Timeouts.Expectation - late)
		ended, most := 0, 0
		for range 20 {
			events := w.Tracker.Tick(w.Now)
			ended, most = ended+len(events), max(most, len(events))
			w.Now = w.Now.Add(late)
		}
		if share := int(conns*each*late/time.Second) + 200; ended < conns*each || most > share {
			t.Errorf("every %v: %d events of %d calls, %d at once, want %d at most", late, ended, conns*each, most, share)
		}
		if spare := cap(w.Tracker.Tick(w.Now)); spare > 1024 {
			t.Errorf("every %v: there is room for %d events, and none of them", late, spare)
		}
	}
}
