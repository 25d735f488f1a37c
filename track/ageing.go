package track

import (
	"slices"
	"sync"

	"github.com/grewire/grewire/track/flow"
)

// ageing is a queue of the connections that entered a phase in which they may
// not stay: so many newer ones later, one that is still there is evicted. It
// bounds what a flood can take to its own kind: unconfirmed connections, which
// belong to nobody who has shown to be there, or closed ones.
type ageing struct {
	mu    sync.Mutex
	ring  []aged
	at    int
	phase func(phase) bool // those that are evicted
}

// aged names a connection for longer than it may live.
type aged struct {
	key    flow.Key
	serial uint64
	queue  *ageing
}

// The share of limits.connections that unconfirmed connections may have, and
// that closed ones may have.
const (
	ageingShare = 8
	ageingLeast = 64
)

func newAgeing(connections int, evicts func(phase) bool) *ageing {
	return &ageing{ring: make([]aged, shareOf(connections)), phase: evicts}
}

func shareOf(connections int) int {
	return max(min(max(connections/ageingShare, ageingLeast), connections/2), 1)
}

// resize makes q as long as so many connections in all call for, and returns
// those that leave because it is shorter now, the oldest first.
func (q *ageing) resize(connections int) (leave []aged) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := shareOf(connections)
	if n == len(q.ring) {
		return nil
	}
	stay := slices.Concat(q.ring[q.at:], q.ring[:q.at])
	if excess := len(stay) - n; excess > 0 {
		leave, stay = stay[:excess], stay[excess:]
	}
	q.ring = make([]aged, n)
	q.at = copy(q.ring, stay) % n
	return leave
}

// push puts c in and returns what leaves in its place, with serial 0 if
// nothing does.
func (q *ageing) push(c *connection) aged {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.ring[q.at]
	q.ring[q.at] = aged{c.key, c.serial, q}
	q.at = (q.at + 1) % len(q.ring)
	return old
}

// evict remembers to evict a connection when no lock is held, see settle.
func (w *work) evict(a aged) {
	if a.serial != 0 {
		w.evicted = append(w.evicted, a)
	}
}

// evictNow ends a connection that is still in the phase it may not stay in.
// The caller holds no lock.
func (w *work) evictNow(a *aged) {
	w.spent += callWork
	hash := w.t.controls.Hash(&a.key)
	lock := w.t.lock(hash)
	defer lock.Unlock()
	if c := w.t.find(hash, &a.key); c != nil && c.serial == a.serial && a.queue.phase(c.phase) {
		if c.phase != closed {
			w.limit("connections")
		}
		w.closeControl(c, "evicted")
		w.remove(c)
	}
}
