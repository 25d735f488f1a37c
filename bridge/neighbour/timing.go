package neighbour

import (
	"math/rand/v2"
	"time"
)

// Timing is how long the Table waits for what. The names of the first are those
// of RFC 5227, section 1.1.
type Timing struct {
	ProbeWait        time.Duration // at most, before the first probe of an address
	ProbeMin         time.Duration // between two probes, at least
	ProbeMax         time.Duration // and at most
	AnnounceWait     time.Duration // from the last probe to the first announcement
	AnnounceInterval time.Duration // between two announcements
	DefendInterval   time.Duration // between two defences of an address, at least

	ReportAgain time.Duration // until a conflict with the same host is reported again

	RetryMin time.Duration // until a server is asked for again, at first
	RetryMax time.Duration // and at last, doubled every time
	Refresh  time.Duration // until one that was heard is asked again
	Quiet    time.Duration // in which a server that probes for itself is not asked for
	Forget   time.Duration // until one is given up that no frame wants, in a VLAN that a frame came from
}

// DefaultTiming returns the timing of RFC 5227, and what goes with it.
func DefaultTiming() Timing {
	return Timing{
		ProbeWait: time.Second, ProbeMin: time.Second, ProbeMax: 2 * time.Second,
		AnnounceWait: 2 * time.Second, AnnounceInterval: 2 * time.Second, DefendInterval: 10 * time.Second,
		ReportAgain: 10 * time.Minute,
		RetryMin:    time.Second, RetryMax: 5 * time.Minute, Refresh: time.Minute, Quiet: 10 * time.Second, Forget: 10 * time.Minute,
	}
}

const (
	probeCount    = 3 // PROBE_NUM
	announceCount = 2 // ANNOUNCE_NUM
)

// backoff is how long a server is waited for that was asked n times in vain.
func (t *Timing) backoff(n int) time.Duration {
	wait := t.RetryMin
	for ; n > 1 && wait < t.RetryMax; n-- {
		wait *= 2
	}
	return min(wait, t.RetryMax)
}

// within returns a random duration of at most d.
func within(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(d) + 1))
}
