package track

import (
	"sync"

	"github.com/grewire/grewire/track/flow"
)

// recent is a table with fixed memory, for what may be forgotten: a new entry
// takes the place of the one that was entered longest ago.
type recent[V any] struct {
	table *flow.Table[V]
	mu    sync.Mutex // guards ring and at
	ring  []flow.Key
	at    int
}

// maxRecent is how many entries a recent table has at most.
const maxRecent = 2048

func newRecent[V any](o *Options) *recent[V] {
	n := min(shareOf(o.Limits.Connections), maxRecent)
	return &recent[V]{table: flow.NewTable[V](n+1, o.Seed), ring: make([]flow.Key, n)}
}

// add enters v under k. If there is an entry, update changes it.
func (t *recent[V]) add(k *flow.Key, v V, update func(there *V)) {
	hash := t.table.Hash(k)
	s := t.table.Lock(hash)
	there, found := s.Insert(hash, k)
	switch {
	case found:
		update(there)
	case there != nil:
		*there = v
	}
	s.Unlock()
	if there != nil && !found {
		t.replace(k)
	}
}

// replace puts k into the ring and forgets the entry that was there.
func (t *recent[V]) replace(k *flow.Key) {
	t.mu.Lock()
	old := t.ring[t.at]
	t.ring[t.at] = *k
	t.at = (t.at + 1) % len(t.ring)
	t.mu.Unlock()
	if old != *k {
		t.remove(&old)
	}
}

func (t *recent[V]) remove(k *flow.Key) { drop(t.table, k) }
