package tracktest

import "github.com/grewire/grewire/track"

// Change changes the options that the tracker works by. What it makes happen
// is among the Events. Whatever is in use beyond a limit that is lower now may
// only become less.
func (w *World) Change(change func(*track.Options)) {
	w.tb.Helper()
	if err := w.TryChange(change); err != nil {
		w.tb.Fatalf("%v", err)
	}
}

// TryChange is Change for a change that may be refused.
func (w *World) TryChange(change func(*track.Options)) error {
	o := w.Options
	change(&o)
	events, err := w.Tracker.SetOptions(o, w.Now)
	if err != nil {
		return err
	}
	w.Options = o
	w.events = append(w.events, events...)
	for name, use := range w.Tracker.Usage() {
		if !w.joined {
			w.excess[name] = use.Used
		}
	}
	return nil
}
