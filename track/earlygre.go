package track

import (
	"slices"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// GRE can overtake the reply that agrees its call: links are bonded, paths have
// equal cost, NICs have several queues. A packet for an ID of a call that was
// asked for is held until the call is agreed, refused or over, and then decided
// about like any other; no longer than earlyHold. GRE for any other ID is not.
//
// A packet is held by the Lane where it came in. The message that agrees its call
// mostly comes in there, too, and then the packet leaves right behind it. If
// another Lane has it, or Tick ends the call, the packet leaves with the Lane's
// next batch.
//
// What is held is bounded in time, in packets for each ID, and in octets: an eighth
// of limits.hold_bytes in all, of which each Lane has its share. Where a Lane has no
// more, the oldest packet makes room.

const (
	earlyHold  = Time(200e6)
	earlyPerID = 16
)

// askedFor is for how many IDs of calls that are not agreed GRE can be held: for
// a sixteenth of all calls. For more of them none is.
func askedFor(l *Limits) int { return max(l.Calls/16, 64) }

// earlyBytes is a Lane's share of what may be held.
func (o *Options) earlyBytes() int64 {
	return int64(o.Limits.HoldBytes / 8 / flow.Sides / max(o.Workers, 1))
}

// earlyPacket is GRE that waits for a call to be agreed.
type earlyPacket struct {
	frame  *Frame
	serial uint64 // the call's
	since  Time
}

// earlyGRE is where a Lane keeps GRE that came too early.
type earlyGRE struct {
	queue []earlyPacket // the oldest first
	bytes int64         // that it costs
	seen  uint64        // of Tracker.answers
}

// await lets GRE to the ends of a call that is not agreed be held.
func (w *work) await(c *connection, k *call) {
	if k.refused || k.contested {
		return // it will not be agreed, or not soon
	}
	for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
		if _, known := k.id(role); known {
			key := c.greTo(k.side(role), k.outerID(role))
			w.free(&key, w.t.enterAsked(&key, askedCall{serial: k.serial.Load(), conn: c.self}))
		}
	}
}

// free has what is held for a key decided about, if anything is.
func (w *work) free(key *flow.Key, a askedCall) {
	if a.held > 0 {
		w.freed = append(w.freed, *key)
		w.t.answers.Add(1)
	}
}

// answer notes that a call is agreed or over: what was held for it is to be
// decided about. What is held for another call and has become GRE of this one,
// now that it is agreed, is too.
func (w *work) answer(c *identity, k *call) {
	for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
		if _, known := k.id(role); known {
			key := c.greTo(k.side(role), k.outerID(role))
			w.free(&key, w.t.leaveAsked(&key, k))
		}
	}
}

// tooEarly holds GRE of no call if it is for one that is not agreed yet. The
// caller holds no lock.
func (l *Lane) tooEarly(f *Frame) (held bool) {
	if l.t.asked.none(f.hash) || l.settings.Policy.AnyGRE && l.t.nat == nil {
		return false
	}
	serial := l.t.holdFor(&f.key)
	if serial == 0 {
		return false
	}
	copied := l.fragments.pen.keep(l, f)
	if copied == nil {
		l.t.letGoOf(&f.key, serial, 1)
		return false
	}
	l.count(AnomalyEarlyGRE)
	l.early.queue = append(l.early.queue, earlyPacket{copied, serial, l.now})
	l.early.bytes += cost(copied)
	f.decide(Hold, 0)
	for l.early.bytes > l.settings.earlyBytes() {
		l.limit("hold_bytes")
		l.dropEarly(1)
	}
	return true
}

// releaseAnswered decides about what was held for the calls that the last frame
// has answered.
func (l *Lane) releaseAnswered() {
	l.releaseIf(func(e *earlyPacket) bool { return slices.Contains(l.freed, e.frame.key) })
	l.freed = l.freed[:0]
}

// checkEarly gives up what was held too long, and decides about what was held for
// calls that others have answered.
func (l *Lane) checkEarly() {
	if len(l.early.queue) == 0 {
		return
	}
	l.expireEarly(l.now - earlyHold)
	if n := l.t.answers.Load(); n != l.early.seen {
		l.early.seen = n
		l.releaseIf(func(e *earlyPacket) bool { return !l.t.letGoOf(&e.frame.key, e.serial, 0) })
	}
}

// releaseIf decides about the packets for which answered is true.
func (l *Lane) releaseIf(answered func(e *earlyPacket) bool) {
	rest := l.early.queue[:0]
	for _, e := range l.early.queue {
		if !answered(&e) {
			rest = append(rest, e)
			continue
		}
		l.decideLate(e.frame)
	}
	clear(l.early.queue[len(rest):])
	l.early.queue = rest
}

// expireEarly gives up what has waited since before until.
func (l *Lane) expireEarly(until Time) {
	n := 0
	for n < len(l.early.queue) && l.early.queue[n].since <= until {
		n++
	}
	l.dropEarly(n)
}

// dropEarly gives up the n oldest packets.
func (l *Lane) dropEarly(n int) {
	for i := range n {
		e := &l.early.queue[i]
		l.t.letGoOf(&e.frame.key, e.serial, 1)
		l.decideLate(e.frame)
	}
	l.early.queue = slices.Delete(l.early.queue, 0, n)
}

// decideLate decides about a packet that was held.
func (l *Lane) decideLate(f *Frame) {
	l.early.bytes -= cost(f)
	l.fragments.pen.leave(f)
	l.late = true
	l.decide(f)
	l.late = false
	l.release()
}
