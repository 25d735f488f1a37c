package callid

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
)

// rest is an ID that rests.
type rest struct {
	until flow.Time
	pool  ref
	next  ref // who came after it
	id    uint16
	asked bool   // its call was never agreed
	host  uint32 // whose it is, IPv4
}

// rests is the IDs that rest, of all pools, in the order in which they came.
// They all rest equally long: it is the order in which they leave, too.
type rests struct {
	mu          sync.Mutex
	rests       *slab[rest]
	first, last ref
	soonest     atomic.Int64 // when the first may leave, read without the lock
}

func newRests(limit int) *rests {
	q := &rests{rests: newSlab[rest](limit)}
	q.soonest.Store(math.MaxInt64)
	return q
}

// due reports whether the first may leave.
func (q *rests) due(now flow.Time) bool { return int64(now) >= q.soonest.Load() }

func (q *rests) push(r rest) {
	at := q.rests.get()
	*q.rests.at(at) = r
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == 0 {
		q.first = at
		q.soonest.Store(int64(r.until))
	} else {
		q.rests.at(q.last).next = at
	}
	q.last = at
}

// pop lets the first leave, if it may.
func (q *rests) pop(now flow.Time) (r rest, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == 0 || !q.due(now) {
		return rest{}, false
	}
	at := q.first
	r = *q.rests.at(at)
	q.rests.put(at)
	if q.first = r.next; q.first == 0 {
		q.soonest.Store(math.MaxInt64)
	} else {
		q.soonest.Store(int64(q.rests.at(q.first).until))
	}
	return r, true
}
