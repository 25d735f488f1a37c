package flow

import (
	"math"
	"reflect"
	"sync"
	"sync/atomic"
)

// Table is a hash table of fixed size in shards with a lock each. Values must
// hold no pointers, so that the garbage collector has nothing to scan.
//
// Entries lie flat in one array per shard, found by linear probing over an
// array of one-octet tags, eight at a time (tags.go): of a million entries the
// tags are a megabyte, so that a look-up costs one cache miss, the entry's own.
// Deleting moves the entries behind back into the gap; there are no tombstones
// and nothing is ever rehashed.
//
// A caller holds the lock of at most one shard at a time.
type Table[V any] struct {
	shards []Shard[V]
	shift  uint // hash >> shift is the shard
	limit  int64
	used   atomic.Int64
	seed   Seed
	last   uintptr // where an entry's last octet is, counted from its first

	sweepShard, sweepSlot int // owned by Sweep
}

// Shard is a part of a Table. Lock gives it out, Unlock ends its use.
type Shard[V any] struct {
	mu      sync.Mutex
	tags    tags
	entries []entry[V]
	used    int
	table   *Table[V]
	_       [64]byte // the neighbour's lock is on another cache line
}

type entry[V any] struct {
	key   Key
	value V
}

const (
	maxShards   = 256
	shardTarget = 64 // entries a shard should have before there are more shards
)

// NewTable returns a table for at most limit entries, in as many shards as
// let many goroutines use it at once. The memory for all entries is set aside
// at once; the kernel backs it when it is first used.
func NewTable[V any](limit int, secret uint64) *Table[V] {
	bits := uint(0)
	for 1<<bits < maxShards && limit>>bits > shardTarget {
		bits++
	}
	return newTable[V](limit, bits, secret)
}

// NewWorkerTable is NewTable for a table that one goroutine uses for every
// frame and others now and then: it has one shard, which that goroutine can
// keep locked for a whole batch, see Relock.
func NewWorkerTable[V any](limit int, secret uint64) *Table[V] {
	return newTable[V](limit, 0, secret)
}

func newTable[V any](limit int, bits uint, secret uint64) *Table[V] {
	t := &Table[V]{shards: make([]Shard[V], 1<<bits), shift: 64 - bits, limit: int64(limit), seed: NewSeed(secret)}
	t.last = reflect.TypeFor[entry[V]]().Size() - 1
	slots := shardSlots(limit, 1<<bits)
	for i := range t.shards {
		t.shards[i] = Shard[V]{tags: newTags(slots), entries: make([]entry[V], slots), table: t}
	}
	return t
}

// shardSlots leaves a quarter of the slots free and room for six standard
// deviations of what the hash may put into one shard.
func shardSlots(limit, shards int) int {
	mean := float64(limit) / float64(shards)
	deviation := 0.0
	if shards > 1 {
		deviation = 6 * math.Sqrt(mean)
	}
	return int(mean*1.25+deviation) + 8
}

// Len returns the number of entries.
func (t *Table[V]) Len() int { return int(t.used.Load()) }

// Limit returns the number of entries the table may have.
func (t *Table[V]) Limit() int { return int(t.limit) }

// Hash returns k's hash in this table.
func (t *Table[V]) Hash(k *Key) uint64 { return k.Hash(&t.seed) }

// Lock locks the shard that a key with the given hash belongs to.
func (t *Table[V]) Lock(hash uint64) *Shard[V] {
	s := t.shard(hash)
	s.mu.Lock()
	return s
}

// Relock is Lock for a caller that holds held, or nothing if held is nil: it
// keeps held if the key belongs there, and unlocks it otherwise.
func (t *Table[V]) Relock(held *Shard[V], hash uint64) *Shard[V] {
	s := t.shard(hash)
	if s == held {
		return s
	}
	if held != nil {
		held.mu.Unlock()
	}
	s.mu.Lock()
	return s
}

func (t *Table[V]) shard(hash uint64) *Shard[V] {
	return &t.shards[hash>>t.shift&uint64(len(t.shards)-1)]
}

// Unlock ends the use of the shard and of every value pointer got from it.
func (s *Shard[V]) Unlock() { s.mu.Unlock() }

// home is the slot where the search for a hash starts.
func (s *Shard[V]) home(hash uint64) int {
	return int(hash & 0xffffffff * uint64(len(s.entries)) >> 32)
}

// slot returns where k is, or the free slot where the search for it ended.
func (s *Shard[V]) slot(hash uint64, k *Key) (at int, found bool) {
	want := tag(hash)
	for from := s.home(hash); ; from = s.wrap(from + groupSlots) {
		g := s.tags.group(from)
		for like := g.like(want); like != 0; like = like.rest() {
			if at = s.wrap(from + like.first()); s.entries[at].key.equal(k) {
				return at, true
			}
		}
		if free := g.free(); free != 0 {
			return s.wrap(from + free.first()), false
		}
	}
}

// wrap returns the slot at, counted on from the last to the first.
func (s *Shard[V]) wrap(at int) int {
	if at >= len(s.entries) {
		at -= len(s.entries)
	}
	return at
}

// Find returns the value of k, valid until Unlock, or nil.
func (s *Shard[V]) Find(hash uint64, k *Key) *V {
	if at, found := s.slot(hash, k); found {
		return &s.entries[at].value
	}
	return nil
}

// noGuess is no slot.
const noGuess = -1

// FindAt is Find that looks first where Touch saw the key's tag. No key has the
// Kind 0 of a free slot, so a wrong guess is only slow.
func (s *Shard[V]) FindAt(guess int, hash uint64, k *Key) *V {
	if uint(guess) < uint(len(s.entries)) {
		if e := &s.entries[guess]; e.key.equal(k) {
			return &e.value
		}
	}
	return s.Find(hash, k)
}

// Insert returns the value of k, made zero if k was not there; nil if the
// table is full. It is valid until Unlock.
func (s *Shard[V]) Insert(hash uint64, k *Key) (value *V, found bool) {
	at, found := s.slot(hash, k)
	if found {
		return &s.entries[at].value, true
	}
	if !s.reserve() {
		return nil, false
	}
	s.tags.set(at, tag(hash))
	s.entries[at] = entry[V]{key: *k}
	return &s.entries[at].value, false
}

// reserve counts one more entry, if table and shard have room: a shard keeps
// one slot free, where searches end.
func (s *Shard[V]) reserve() bool {
	t := s.table
	if t.used.Add(1) > t.limit || s.used+1 == len(s.entries) {
		t.used.Add(-1)
		return false
	}
	s.used++
	return true
}

// Delete removes k and reports whether it was there.
func (s *Shard[V]) Delete(hash uint64, k *Key) bool {
	at, found := s.slot(hash, k)
	if found {
		s.remove(at)
	}
	return found
}

// remove frees the slot at and moves back every entry behind it that a search
// would not find across the gap (Knuth, volume 3, algorithm 6.4R).
func (s *Shard[V]) remove(at int) {
	s.table.used.Add(-1)
	s.used--
	gap := at
	for i := s.wrap(at + 1); s.tags[i] != 0; i = s.wrap(i + 1) {
		home := s.home(s.entries[i].key.Hash(&s.table.seed))
		if between(home, gap, i) {
			continue
		}
		s.tags.set(gap, s.tags[i])
		s.entries[gap] = s.entries[i]
		gap = i
	}
	s.tags.set(gap, 0)
	s.entries[gap] = entry[V]{}
}

// between reports whether home lies in the cyclic range (gap, i].
func between(home, gap, i int) bool {
	if gap < i {
		return gap < home && home <= i
	}
	return gap < home || home <= i
}

// Sweep calls visit for the entries of the next slots slots, in the order of
// the table, and goes on there at the next call; after the last it starts
// anew. visit must not use the table. Only one goroutine may sweep.
func (t *Table[V]) Sweep(slots int, visit func(k *Key, v *V)) {
	slots = min(slots, t.slots())
	for slots > 0 {
		n := t.sweepShardPart(slots, visit)
		slots -= n
		if t.sweepSlot == len(t.shards[t.sweepShard].entries) {
			t.sweepShard, t.sweepSlot = (t.sweepShard+1)%len(t.shards), 0
		}
	}
}

// PassOver has the next Sweep begin where it would after so many Sweeps over slots
// slots each.
func (t *Table[V]) PassOver(sweeps, slots int) {
	size := len(t.shards[0].entries)
	at := t.sweepShard*size + t.sweepSlot
	at = (at + sweeps%t.slots()*min(slots, t.slots())) % t.slots()
	t.sweepShard, t.sweepSlot = at/size, at%size
}

// maxSweepHold bounds how many slots are visited under one lock.
const maxSweepHold = 256

func (t *Table[V]) sweepShardPart(slots int, visit func(k *Key, v *V)) int {
	s := &t.shards[t.sweepShard]
	s.mu.Lock()
	defer s.mu.Unlock()
	start := t.sweepSlot
	end := min(start+min(slots, maxSweepHold), len(s.entries))
	for at := start; at < end; at++ {
		if s.tags[at] != 0 {
			visit(&s.entries[at].key, &s.entries[at].value)
		}
	}
	t.sweepSlot = end
	return end - start
}

// slots returns the number of slots of the whole table.
func (t *Table[V]) slots() int { return len(t.shards) * len(t.shards[0].entries) }

// Slots returns the number of slots that a whole lap of Sweep visits.
func (t *Table[V]) Slots() int { return t.slots() }

// Each calls visit for every entry there is, shard by shard; what comes or
// goes meanwhile may be missed. visit must not use the table.
func (t *Table[V]) Each(visit func(k *Key, v *V)) {
	for i := range t.shards {
		t.shards[i].each(visit)
	}
}

func (s *Shard[V]) each(visit func(k *Key, v *V)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, left := 0, s.used; left > 0; at++ {
		if s.tags[at] != 0 {
			visit(&s.entries[at].key, &s.entries[at].value)
			left--
		}
	}
}
