package track

import (
	"time"

	"github.com/grewire/grewire/track/flow"
)

// Pass lets time pass to until as Ticks at every interval after the last Tick
// would, as long as none of them would find anything to do, and returns when the
// last of them was: the next one may be of use. Nothing depends on whether time is
// let pass by Tick alone. It is for a clock that can be moved on at once, and never
// passes anything while frames are held or fragments followed.
func (t *Tracker) Pass(until Time, interval time.Duration) Time {
	s := &t.ticks
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == 0 || t.heldBytes.Load() != 0 || t.fragmentsUsed() != 0 || t.endings.count() != 0 {
		return s.last
	}
	s.settings = t.settings.Load()
	ticks := min(until, s.due()-1).Sub(s.last) / interval
	if ticks <= 0 {
		return s.last
	}
	s.last = s.last.Add(ticks * interval)
	t.controls.PassOver(int(ticks), s.slots(Time(interval)))
	return s.last
}

// due is when Tick has something to do for a connection, at the earliest.
func (s *sweeper) due() Time {
	due := Time(1<<63 - 1)
	s.keys = s.keys[:0]
	s.t.controls.Each(func(k *flow.Key, _ *ref) {
		if k.Kind == flow.ControlKey {
			s.keys = append(s.keys, *k)
		}
	})
	for i := range s.keys {
		due = min(due, s.dueOf(&s.keys[i]))
	}
	return due
}

// dueOf is when visit has something to do for one connection, at the earliest: it
// has a line for everything that is done there.
func (s *sweeper) dueOf(k *flow.Key) Time {
	hash := s.t.controls.Hash(k)
	lock := s.t.lock(hash)
	defer lock.Unlock()
	c := s.t.find(hash, k)
	if c == nil || c.restored != 0 || c.contested {
		return 0
	}
	t := &s.settings.Timeouts
	active := c.look
	if !c.adopted {
		active = max(active, c.lastSeen.Add(min(t.GREUnreplied, t.GREStream)))
	}
	due := min(s.waitingDue(c), s.streamsDue(c), active, c.lastSeen.Add(s.timeout(c)))
	if c.phase == open && !c.silent {
		due = min(due, c.lastSeen.Add(echoSilence))
	}
	return due
}

// waitingDue is when the first of the calls that wait ends.
func (s *sweeper) waitingDue(c *connection) Time {
	due := Time(1<<63 - 1)
	for r := c.oldest[pending]; r != 0; { // in the order in which they were asked for
		k := s.t.calls.at(r)
		if k.started.Add(s.settings.Timeouts.PendingCall) >= due {
			break
		}
		due, r = min(due, s.settings.deadline(k)), k.prev
	}
	if r := c.oldest[expecting]; r != 0 {
		due = min(due, s.settings.deadline(s.t.calls.at(r)))
	}
	return due
}

// streamsDue is when visitStreams has something to do: also to note that nothing is
// held any more.
func (s *sweeper) streamsDue(c *connection) Time {
	due := Time(1<<63 - 1)
	for side, since := range c.holdsSince {
		switch holds := c.holds(side); {
		case holds:
			due = min(due, since.Add(streamHold))
		case since != 0:
			due = 0
		}
	}
	return due
}
