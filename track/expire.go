package track

import (
	"sync"
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// sweeper ends what has timed out, a slice of the connections at a time.
type sweeper struct {
	work
	mu   sync.Mutex
	last Time
	keys []flow.Key
}

// lap is how long it takes Tick to look at every connection once.
const lap = Time(1e9)

// Tick ends what has timed out by now and returns what happened; the slice is
// valid until the next Tick. It is meant to be called several times a second
// and looks at a share of the connections that fits the time since the last
// call: all of them, once a second has passed.
func (t *Tracker) Tick(now Time) []Event {
	s := &t.ticks
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsed := min(max(now-s.last, 0), lap)
	s.last = max(s.last, now)
	s.now, s.settings = s.last, t.settings.Load()
	s.events = s.events[:0]
	s.keys = s.keys[:0]
	slots := int(Time(t.controls.Slots())*elapsed/lap) + 1
	t.controls.Sweep(slots, func(k *flow.Key, _ *ref) {
		if k.Kind == flow.ControlKey {
			s.keys = append(s.keys, *k)
		}
	})
	for i := range s.keys {
		s.visit(&s.keys[i])
		s.settle()
	}
	return s.events
}

// visit ends what has timed out of one connection.
func (s *sweeper) visit(k *flow.Key) {
	hash := s.t.controls.Hash(k)
	lock := s.t.lock(hash)
	defer lock.Unlock()
	c := s.t.find(hash, k)
	if c == nil {
		return
	}
	s.visitWaiting(c, pending)
	s.visitWaiting(c, expecting)
	s.visitStreams(c)
	if c.restored != 0 && s.visitRestored(c) {
		return
	}
	silent := s.now.Sub(c.lastSeen)
	if silent >= echoSilence && c.phase == open && !c.silent {
		c.silent = true
		s.controlEvent(EventControlSilent, c, "")
	}
	if s.now >= c.look && (c.adopted || silent >= min(s.settings.Timeouts.GREUnreplied, s.settings.Timeouts.GREStream)) {
		c.look = s.now.Add(s.visitActive(c, silent))
	}
	if silent >= s.timeout(c) {
		s.closeControl(c, "timeout")
		s.remove(c)
	}
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

// deadline is when a call that waits, to be agreed or for its first GRE, ends.
func (s *settings) deadline(k *call) Time {
	if k.list == pending {
		return k.waits.Add(s.Timeouts.PendingCall)
	}
	return k.waits.Add(s.Timeouts.Expectation)
}

// visitWaiting ends the calls of a list that were not answered in time, or
// never carried GRE.
func (s *sweeper) visitWaiting(c *connection, list callList) {
	for r := c.lists[list]; r != 0; {
		k := s.t.calls.at(r)
		next := k.next
		if s.now >= s.settings.deadline(k) {
			s.endCall(c, r, "timeout")
		}
		r = next
	}
}

// lookAgain is how long the calls of a connection are left alone at most after
// a look at all of them, which asks the key map: timeouts may be changed.
const lookAgain = time.Minute

// visitActive ends the calls whose GRE has been idle while their control
// connection, too, was silent as long. Of an adopted call it is not known for
// sure that the connection is its own: its GRE alone counts. It returns for how
// long none can end.
func (s *sweeper) visitActive(c *connection, silent time.Duration) time.Duration {
	wait := min(lookAgain, s.settings.Timeouts.GREUnreplied, s.settings.Timeouts.GREStream)
	for r := c.lists[active]; r != 0; {
		k := s.t.calls.at(r)
		next := k.next
		left := s.greLimit(k) - s.idle(c, k)
		if !k.adopted {
			left = max(left, s.greLimit(k)-silent)
		}
		if left <= 0 {
			s.endCall(c, r, "timeout")
		} else {
			wait = min(wait, left)
		}
		r = next
	}
	return wait
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
			e := s.t.traffic(c, k, from, nil)
			last = max(last, e.last)
		}
	}
	return s.now.Sub(last)
}
