package afpacket

import "time"

// A thread that sleeps until a frame comes is woken by another CPU, which takes
// 50 to 200 us on an idle or virtual machine: more than all else that happens
// to a frame in the box. So Receive goes on looking for a while before it
// sleeps, but only where that pays: when frames have been coming close to one
// another, the next will, too.
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
	// Between two looks lies less than a microsecond. One that took spinStolen
	// says that somebody else wants the CPU: a thread that looks is put aside for
	// them, one that sleeps is let in when it wakes. Receive sleeps in every gap
	// for spinRest then, and for twice as long each time that it was put aside
	// again soon after, up to spinRestMost: whoever computes for minutes puts it
	// aside for some 10 ms each time that it tries.
	spinStolen   = time.Millisecond
	spinRest     = 100 * time.Millisecond
	spinRestMost = 10 * time.Second
	// It costs less to see them before they do so: every crowdInterval Receive
	// asks whether more threads want to run than there are CPUs. From crowdCount
	// answers running that they do to quietCount that they do not it sleeps in
	// every gap.
	crowdInterval = time.Millisecond
	crowdCount    = 3
	quietCount    = 100
)

// spinner decides whether to look again or to sleep.
type spinner struct {
	now    func() time.Duration // monotonic
	last   time.Duration        // when there were frames
	credit int                  // short gaps, halved by each that Receive looked for in vain
	looked time.Duration        // when Receive last looked in vain since last; 0 if it did not
	rested time.Duration        // when looking is worth while again
	rest   time.Duration        // how long the last rest was; 0 before the first

	crowded func() bool
	asked   time.Duration // when crowded was last asked
	full    bool          // what is believed
	doubts  int           // how many answers running said otherwise
}

func newSpinner(crowded func() bool) spinner {
	start := time.Now()
	return spinner{crowded: crowded, full: true, now: func() time.Duration { return time.Since(start) }}
}

// got is told that there were frames, and returns the time.
func (s *spinner) got() time.Duration {
	now := s.now()
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
	case s.looked > 0 && now-s.looked > spinStolen:
		s.giveWay(now)
		return false
	case now-s.last > spinLimit:
		s.credit, s.looked = s.credit/2, 0
		return false
	case s.crowd(now):
		s.looked = 0
		return false
	}
	s.looked = now
	return true
}

// giveWay begins a rest. One that ended longer ago than it lasted did its part.
func (s *spinner) giveWay(now time.Duration) {
	if now-s.rested > s.rest {
		s.rest = spinRest
	} else {
		s.rest = min(2*s.rest, spinRestMost)
	}
	s.rested, s.looked = now+s.rest, 0
}

// crowd reports whether others want the CPUs. One thread more for a moment, such
// as a sender's, does not.
func (s *spinner) crowd(now time.Duration) bool {
	if now-s.asked < crowdInterval {
		return s.full
	}
	s.asked = now
	enough := crowdCount
	if s.full {
		enough = quietCount
	}
	if s.crowded() == s.full {
		s.doubts = 0
	} else if s.doubts++; s.doubts == enough {
		s.full, s.doubts = !s.full, 0
	}
	return s.full
}
