package track

import (
	"sync"
	"time"

	"github.com/grewire/grewire/track/flow"
)

// sweeper ends what has timed out, a slice of the connections at a time.
type sweeper struct {
	work
	mu   sync.Mutex
	last Time
	keys []flow.Key
	room int        // how many calls this Tick may still end one by one
	some []numbered // calls of one connection that are looked at
}

// lap is how long it takes Tick to look at every connection once.
const lap = Time(1e9)

// Tick ends what has timed out by now, cleans up the records of calls that have
// ended, and returns what happened; the slice is valid until the next Tick. It is
// meant to be called several times a second and does a share of the work that
// fits the time since the last call: it has looked at all connections, and cleaned
// all records up, once a second has passed. What it does Pass must know of.
func (t *Tracker) Tick(now Time) []Event {
	s := &t.ticks
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsed := min(max(now-s.last, 0), lap)
	share := func(all int) int { return int(Time(all)*elapsed/lap) + 1 }
	s.last = max(s.last, now)
	s.now, s.settings = s.last, t.settings.Load()
	s.events, s.freed = emptied(s.events), s.freed[:0]
	s.keys = s.keys[:0]
	s.room = share(t.made.Calls) + visitedAtOnce
	t.controls.Sweep(s.slots(elapsed), func(k *flow.Key, _ *ref) {
		if k.Kind == flow.ControlKey {
			s.keys = append(s.keys, *k)
		}
	})
	for i := range s.keys {
		s.visit(&s.keys[i])
		s.settle()
	}
	s.clean(share(t.made.Calls) + cleanedAtOnce)
	return s.events
}

// slots is how many slots of the connections' table a Tick looks at that comes so
// much later than the one before.
func (s *sweeper) slots(elapsed Time) int {
	return int(Time(s.t.controls.Slots())*min(elapsed, lap)/lap) + 1
}

// Finish cleans up what Tick has left of calls that have ended, however many there
// are, and returns the events of their end; the slice is valid until the next Tick.
// It is for when no Tick will come.
func (t *Tracker) Finish() []Event {
	s := &t.ticks
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = emptied(s.events)
	s.cleanAll()
	return s.events
}

// visit ends what has timed out of one connection. Its calls, which may be many,
// are looked at a few at a time: a worker may wait for the connection's lock.
func (s *sweeper) visit(k *flow.Key) {
	due := s.visitConnection(k)
	for due.waiting {
		due.waiting = s.visitMoreWaiting(k, due.serial)
	}
	if due.restored {
		s.visitRestored(k, due.serial)
	}
	if due.active {
		s.visitActive(k, due.serial)
	}
}

// due is which calls of a connection are to be looked at.
type due struct {
	serial                    uint64 // the connection's
	waiting, restored, active bool
}

// visitConnection ends what has timed out of a connection but for its calls.
func (s *sweeper) visitConnection(k *flow.Key) (out due) {
	hash := s.t.controls.Hash(k)
	lock := s.t.lock(hash)
	defer lock.Unlock()
	c := s.t.find(hash, k)
	if c == nil {
		return due{}
	}
	out.serial, out.waiting = c.serial, s.visitWaiting(c)
	s.visitStreams(c)
	s.contestAgain(c)
	silent := s.now.Sub(c.lastSeen)
	if silent >= echoSilence && c.phase == open && !c.silent {
		c.silent = true
		s.controlEvent(EventControlSilent, c, "")
	}
	if silent >= s.timeout(c) {
		s.closeControl(c, "timeout")
		s.remove(c)
		return due{}
	}
	_, out.restored = s.patience(c)
	out.active = s.now >= c.look && (c.adopted || silent >= min(s.settings.Timeouts.GREUnreplied, s.settings.Timeouts.GREStream))
	return out
}

// echoSilence is how long a control connection can be silent at most while both
// of its ends live: after a minute one asks for an echo, and it waits a minute
// for the answer (RFC 2637, section 3.1.4).
const echoSilence = 2 * time.Minute

// timeout is how long c may be silent.
func (s *sweeper) timeout(c *connection) time.Duration {
	switch t := &s.settings.Timeouts; {
	case c.phase == closed:
		return t.TCPClosing
	case c.phase != open:
		return t.TCPSyn
	default:
		return t.TCPEstablished
	}
}

// holds reports whether c holds a buffer for what the end on side sends.
func (c *connection) holds(side int) bool {
	return c.streams[side].Holds() || c.rejoining[side].octets.Holds()
}

// streamHold is how long a stream may keep a part of a message: peers give up a
// message that takes longer (RFC 2637, section 3.1.4).
const streamHold = 60 * time.Second

// visitStreams takes back what streams have held too long.
func (s *sweeper) visitStreams(c *connection) {
	for side := range c.streams {
		switch since := &c.holdsSince[side]; {
		case !c.holds(side):
			*since = 0
		case s.now.Sub(*since) >= streamHold:
			s.count(AnomalyMissedOctets)
			s.endStream(c, Side(side))
			c.rejoining[side].octets.Close(s.t.buffers)
			*since = 0
		}
	}
}
