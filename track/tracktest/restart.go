package tracktest

import (
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
)

// Save returns what the tracker knows now.
func (w *World) Save() *track.Saved {
	s := new(track.Saved)
	w.Tracker.Save(s, w.Now)
	return s
}

// Restart puts a new tracker in the place of the old one, as when the box is
// started anew, and restores what was saved so long ago. What it makes happen is
// among the Events; frames that were held are gone.
func (w *World) Restart(saved *track.Saved, elapsed time.Duration) track.Restored {
	w.tb.Helper()
	w.Tracker = track.New(w.Options)
	w.lanes = [flow.Sides]*track.Lane{track.LAN: w.Tracker.Lane(track.LAN), track.WAN: w.Tracker.Lane(track.WAN)}
	clear(w.inside)
	clear(w.excess)
	restored, events := w.Tracker.Restore(saved, w.Now, elapsed)
	w.events = append(w.events, events...)
	w.checkLimits()
	return restored
}
