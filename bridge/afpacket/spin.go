package afpacket

import (
	"math"
	"time"
)

// A thread that sleeps until a frame comes is woken by another CPU, which takes
// 20 to 200 us on an idle or virtual machine: more than all else that happens
// to a frame in the box. So Receive goes on looking for a while before it
// sleeps, but only where that pays: when frames have been coming close to one
// another, the next will, too. Between two looks it offers its CPU to whoever
// else wants it (sched_yield(2)).
const (
	// spinLimit is the longest that Receive looks for the next frame. It spans
	// the gap between frames at 1,000 a second with room for their jitter. At
	// less than 500 frames a second Receive sleeps in every gap.
	spinLimit = 2 * time.Millisecond
	// spinAfter is how many gaps must have been shorter than that of late, and
	// spinCredit how many count. Whatever an idle wire carries (announcements, a
	// handshake) costs no spinning, and the end of traffic twice spinLimit; one
	// late frame does not end it.
	spinAfter  = 8
	spinCredit = 2 * spinAfter
	// Between two looks lies less than a microsecond, or the few that somebody
	// took who sends a frame. One that took spinStolen says that somebody
	// computes on this CPU: a thread that looks gets it back when they have had
	// their share, frame or no frame; one that sleeps is let in when it wakes.
	// Receive sleeps in every gap for spinRest then, which keeps what finding
	// out costs below one frame of a hundred, and for twice as long each time
	// that it was put aside again soon after, up to spinRestMost.
	spinStolen   = time.Millisecond
	spinRest     = 500 * time.Millisecond
	spinRestMost = 10 * time.Second
)

// spinner decides whether to look again or to sleep.
type spinner struct {
	now    func() time.Duration // monotonic
	last   time.Duration        // when there were frames
	credit int                  // short gaps, halved by each that Receive looked for in vain
	looked time.Duration        // when Receive last looked in vain since last; 0 if it did not
	rested time.Duration        // when looking is worth while again
	rest   time.Duration        // how long the last rest was; 0 before the first
}

func newSpinner() spinner {
	start := time.Now()
	return spinner{now: func() time.Duration { return time.Since(start) }}
}

// never makes Receive sleep in every gap.
func (s *spinner) never() { s.rested = math.MaxInt64 }

// got is told that there were frames, and returns the time. They may have come
// while the thread was put aside.
func (s *spinner) got() time.Duration {
	now := s.now()
	if s.stolen(now) {
		s.giveWay(now)
	}
	if now-s.last <= spinLimit {
		s.credit = min(s.credit+1, spinCredit)
	} else if s.credit < spinAfter {
		s.credit = 0
	}
	s.last, s.looked = now, 0
	return now
}

// again reports whether to look again for frames, of which there were none, in
// a Receive that would wait so long.
func (s *spinner) again(wait time.Duration) bool {
	if s.credit < spinAfter || wait < spinLimit {
		return false
	}
	now := s.now()
	switch {
	case now < s.rested:
		return false
	case s.stolen(now):
		s.giveWay(now)
		return false
	case now-s.last > spinLimit:
		s.credit, s.looked = s.credit/2, 0
		return false
	}
	s.looked = now
	return true
}

// stolen reports whether somebody else had the CPU since the last look.
func (s *spinner) stolen(now time.Duration) bool { return s.looked > 0 && now-s.looked > spinStolen }

// giveWay begins a rest. One that ended longer ago than it lasted did its part.
func (s *spinner) giveWay(now time.Duration) {
	if now-s.rested > s.rest {
		s.rest = spinRest
	} else {
		s.rest = min(2*s.rest, spinRestMost)
	}
	s.rested, s.looked = now+s.rest, 0
}
