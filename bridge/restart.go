package bridge

import (
	"time"

	"github.com/grewire/grewire/track"
)

// Save puts what lets calls outlive a restart into s, see track.Tracker.Save.
func (e *Engine) Save(s *track.Saved, now track.Time) { e.tracker.Save(s, now) }

// Restore makes the Engine know what was saved, elapsed before now, see
// track.Tracker.Restore.
func (e *Engine) Restore(s *track.Saved, now track.Time, elapsed time.Duration) track.Restored {
	restored, events := e.tracker.Restore(s, now, elapsed)
	e.publish(events)
	return restored
}
