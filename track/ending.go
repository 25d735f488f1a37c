package track

import (
	"sync"
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
)

// Calls end with their connection: by a Stop-Control-Connection-Request, a close,
// a reset, an eviction, a policy. There may be as many as limits.calls allows,
// and the frame that ends them must not cost more than any other. So that the
// worker does the same for one call and for 65,536 of them, it
//
//   - notes the number of the latest call: those of the connection's place that
//     have that number or a lower one have ended, whatever tables still say;
//   - takes the lists of calls off the connection, as they are, into the queue of
//     endings, and their number off the limits.
//
// Nothing of the calls is found from then on: their GRE is GRE of no call, and
// the connection, or the next one in its place, can have calls of the same IDs
// at once. Tick cleans their records up, a share at a time, and all of them
// within a second: the entries of tables that lead nowhere, the call IDs of
// translation, and the events, which have the time of the ending.
//
// A call that ends by itself, or of a connection with few, is cleaned up at once.

// endedAtOnce is how many calls of a connection are cleaned up by the frame that
// ends them.
const endedAtOnce = 8

// ending is the calls of a connection that ended together.
type ending struct {
	identity
	oldest [callLists]ref
	latest uint64 // number of the latest call there was
	cause  string
	at     Time
	next   *ending
}

// endings are the calls that ended with their connections and whose records are
// not cleaned up. Its lock, which is taken inside of a connection's, guards them.
type endings struct {
	mu    sync.Mutex
	few   int // so many calls do not get in: they are cleaned up at once
	calls atomic.Int64
	// first and last are the ends of a queue. Each but the first has more calls
	// than few, so that limits.calls bounds it.
	first, last *ending
	// latest is the number of the latest call that ended, by the connection's
	// place; 0 if none is in the queue.
	latest []atomic.Uint64
}

func newEndings(l *Limits, few int) *endings {
	return &endings{few: few, latest: make([]atomic.Uint64, l.Connections)}
}

// count returns how many calls there are.
func (q *endings) count() int { return int(q.calls.Load()) }

// has reports whether a call of the connection in a place is one of them. It is
// not told to whoever has asked count before the call ended: he decides about
// frames that came in before.
func (q *endings) has(conn ref, call uint64) bool { return call <= q.latest[conn-1].Load() }

// add puts calls in. They count before they are ended, so that count is not 0 as
// long as there are entries of theirs.
func (q *endings) add(e *ending, calls int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls.Add(int64(calls))
	q.latest[e.self-1].Store(e.latest)
	if q.first == nil {
		q.first = e
	} else {
		q.last.next = e
	}
	q.last = e
}

// next takes out the oldest call of the oldest ending, or returns 0 if there is
// none. The caller holds the lock.
func (q *endings) next(calls *slab[call]) (e *ending, r ref) {
	if e = q.first; e == nil {
		return nil, 0
	}
	for list := range e.oldest {
		if r = e.oldest[list]; r != 0 {
			e.oldest[list] = calls.at(r).prev
			break
		}
	}
	return e, r
}

// pop takes out the first ending, of which no call is left.
func (q *endings) pop() {
	e := q.first
	if latest := &q.latest[e.self-1]; latest.Load() == e.latest {
		latest.Store(0)
	}
	q.first = e.next
}

// endAll ends every call of c.
func (w *work) endAll(c *connection, cause string) {
	if c.calls > w.t.endings.few {
		w.endTogether(c, cause)
		return
	}
	for list := range c.lists {
		for c.lists[list] != 0 {
			w.endCall(c, c.lists[list], cause)
		}
	}
}

// endTogether ends the calls of c at a cost that does not depend on their number.
func (w *work) endTogether(c *connection, cause string) {
	w.t.expectations.Add(-flow.Sides * int64(c.expecting))
	w.t.releaseHosts(&c.identity, c.calls)
	w.t.endings.add(&ending{c.identity, c.oldest, w.t.serial.Load(), cause, w.now, nil}, c.calls)
	c.lists, c.oldest, c.index = [callLists]ref{}, [callLists]ref{}, callIndex{}
	c.calls, c.pending, c.expecting = 0, 0, 0
	c.callEnded = w.now
	w.ending = true
}

// cleanedAtOnce is how many calls are cleaned up under one lock: a worker may wait
// for it.
const cleanedAtOnce = 8

// clean cleans up the records of calls that have ended, at most so many, and
// returns how many there were.
func (w *work) clean(most int) (done int) {
	for done < most {
		n := w.cleanSome(min(most-done, cleanedAtOnce))
		if done += n; n == 0 {
			break
		}
	}
	return done
}

func (w *work) cleanSome(most int) (done int) {
	q := w.t.endings
	if q.count() == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; done < most; done++ {
		e, r := q.next(w.t.calls)
		if r == 0 {
			break
		}
		w.endedEvent(&e.identity, w.t.calls.at(r), e.cause, e.at)
		w.cleanUp(&e.identity, r)
		if e.oldest == ([callLists]ref{}) {
			q.pop()
		}
		q.calls.Add(-1)
	}
	return done
}

// cleanAll cleans up the records of all calls that have ended.
func (w *work) cleanAll() { w.clean(w.t.made.Calls) }

// callsUsed returns how many calls there are that have not ended.
func (t *Tracker) callsUsed() int { return max(t.calls.used()-t.endings.count(), 0) }

// callRecord takes a call's record, or returns 0 if the limit is reached. Calls that
// have ended do not count: if all records that are left are theirs, a few are
// cleaned up.
func (w *work) callRecord() ref {
	limit := w.settings.Limits.Calls
	r := w.t.calls.get(limit + w.t.endings.count())
	if r == 0 && w.clean(cleanedAtOnce) > 0 {
		r = w.t.calls.get(limit + w.t.endings.count())
	}
	return r
}

// dropAside removes the entry that displace set aside of a call which has ended,
// unless its record is still to be cleaned up.
func (w *work) dropAside(d *displaced) {
	w.t.endings.mu.Lock()
	defer w.t.endings.mu.Unlock()
	if w.t.calls.at(d.entry.call).serial.Load() != d.entry.serial {
		aside := asideKey(d.key.Side, d.entry.serial)
		w.t.deleteEntry(&aside, d.entry.serial)
	}
}
