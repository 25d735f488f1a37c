package track

import (
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// deadline is when a call that waits, to be agreed or for its first GRE, ends.
func (s *settings) deadline(k *call) Time {
	if k.list == pending {
		return k.waits.Add(s.Timeouts.PendingCall)
	}
	return k.waits.Add(s.Timeouts.Expectation)
}

// visitedAtOnce is how many calls are looked at, or end, under one lock.
const visitedAtOnce = 64

// visitWaiting ends calls that were not answered in time, or never carried GRE.
// It reports whether there are more.
func (s *sweeper) visitWaiting(c *connection) (more bool) {
	most := min(visitedAtOnce, s.room)
	left := s.endLate(c, pending, most)
	left = s.endLate(c, expecting, left)
	s.room -= most - left
	return left == 0 && s.room > 0
}

// endLate ends calls of a list whose deadline is over, at most so many, and
// returns how many more it might have ended. Those that expect GRE wait since they
// came into the list, in its order; those that are pending at least since they were
// asked for, in its order. So it need not look at those behind one that is too young.
func (s *sweeper) endLate(c *connection, list callList, most int) (left int) {
	for r := c.oldest[list]; r != 0 && most > 0; {
		k := s.t.calls.at(r)
		next := k.prev
		if s.now >= s.settings.deadline(k) {
			s.endCall(c, r, "timeout")
			most--
		} else if list == expecting || s.now < k.started.Add(s.settings.Timeouts.PendingCall) {
			break
		}
		r = next
	}
	return most
}

func (s *sweeper) visitMoreWaiting(k *flow.Key, serial uint64) (more bool) {
	s.t.with(k, serial, func(c *connection) { more = s.visitWaiting(c) })
	return more
}

// lookAgain is how long the calls of a connection are left alone at most after
// a look at all of them, which asks the key map: timeouts may be changed.
const lookAgain = time.Minute

// visitActive ends the calls whose GRE has been idle while their control
// connection, too, was silent as long. Of an adopted call it is not known for
// sure that the connection is its own: its GRE alone counts. The next look is
// when one of them can end.
func (s *sweeper) visitActive(key *flow.Key, serial uint64) {
	wait := min(lookAgain, s.settings.Timeouts.GREUnreplied, s.settings.Timeouts.GREStream)
	s.some = s.t.eachOf(key, serial, s.some, func(c *connection, r ref) {
		k := s.t.calls.at(r)
		if k.list != active {
			return
		}
		left := s.greLimit(k) - s.idle(c, k)
		if !k.adopted {
			left = max(left, s.greLimit(k)-s.now.Sub(c.lastSeen))
		}
		if left <= 0 {
			s.endCall(c, r, "timeout")
		} else {
			wait = min(wait, left)
		}
	})
	s.t.with(key, serial, func(c *connection) { c.look = s.now.Add(wait) })
}

// greLimit is how long an active call may be without GRE.
func (s *sweeper) greLimit(k *call) time.Duration {
	if k.seen[LAN] && k.seen[WAN] {
		return s.settings.Timeouts.GREStream
	}
	return s.settings.Timeouts.GREUnreplied
}

// idle is how long the call's GRE has been silent.
func (s *sweeper) idle(c *connection, k *call) time.Duration {
	var last Time
	if k.state == pptp.CallConnected || k.state == pptp.CallClearing {
		for _, from := range [...]Side{LAN, WAN} {
			e := s.t.traffic(&c.identity, k, from)
			last = max(last, e.last)
		}
	}
	return s.now.Sub(last)
}
