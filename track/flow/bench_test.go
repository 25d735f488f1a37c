package flow_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// entry is as large as what the key map holds for a direction of a call. Its
// first word tells whether it is due to expire.
type entry [9]uint64

const (
	stays = iota
	due
)

// store is what is measured. Each method works through a batch, so that what
// it costs to call one is shared by all keys of the batch.
type store interface {
	find(keys []flow.Key) (found int)
	insert(keys []flow.Key, mark uint64) (made int)
	remove(keys []flow.Key) (found int)
	// expire removes entries that are due, so many, and returns how many it
	// did. scratch is there to be overwritten.
	expire(most int, scratch []flow.Key) (expired int)
}

// shardedStore is a Table used as by many goroutines: one lock per key.
type shardedStore struct {
	*flow.Table[entry]
	sweep *sync.Mutex
}

func newSharded(limit int) store {
	return shardedStore{flow.NewTable[entry](limit, 1), new(sync.Mutex)}
}

func (t shardedStore) find(keys []flow.Key) (found int) {
	for i := range keys {
		hash := t.Hash(&keys[i])
		s := t.Lock(hash)
		found += live(s.Find(hash, &keys[i]))
		s.Unlock()
	}
	return found
}

// live is 1 if there is an entry and it is not due. It reads both ends of it,
// as whoever looks it up for a packet does.
func live(v *entry) int {
	if v == nil || v[0] == due {
		return 0
	}
	return 1 + int(v[len(v)-1])
}

func (t shardedStore) insert(keys []flow.Key, mark uint64) (made int) {
	for i := range keys {
		hash := t.Hash(&keys[i])
		s := t.Lock(hash)
		v, found := s.Insert(hash, &keys[i])
		if v[0] = mark; !found {
			made++
		}
		s.Unlock()
	}
	return made
}

func (t shardedStore) remove(keys []flow.Key) (found int) {
	for i := range keys {
		hash := t.Hash(&keys[i])
		s := t.Lock(hash)
		if s.Delete(hash, &keys[i]) {
			found++
		}
		s.Unlock()
	}
	return found
}

// sweepSlots is how many slots are swept before what is due among them is
// removed.
const sweepSlots = 4096

func (t shardedStore) expire(most int, over []flow.Key) (expired int) {
	for expired < most {
		over = over[:0]
		t.sweep.Lock()
		t.Sweep(sweepSlots, func(k *flow.Key, v *entry) {
			if v[0] == due && expired+len(over) < most {
				over = append(over, *k)
			}
		})
		t.sweep.Unlock()
		expired += t.remove(over)
	}
	return expired
}

// workerStore is a Table used as by the goroutine that it is for: it touches
// a batch of keys ahead and keeps the lock. All else is done as by others.
type workerStore struct{ shardedStore }

func newOneWorker(limit int) store {
	return workerStore{shardedStore{flow.NewWorkerTable[entry](limit, 1), new(sync.Mutex)}}
}

const touchBatch = 64

func (t workerStore) find(keys []flow.Key) (found int) {
	var hashes [touchBatch]uint64
	var guesses [touchBatch]int
	for len(keys) > 0 {
		batch := keys[:min(touchBatch, len(keys))]
		for i := range batch {
			hashes[i] = t.Hash(&batch[i])
			guesses[i] = t.Touch(hashes[i])
		}
		s := t.Lock(hashes[0])
		for i := range batch {
			s = t.Relock(s, hashes[i])
			found += live(s.FindAt(guesses[i], hashes[i], &batch[i]))
		}
		s.Unlock()
		keys = keys[len(batch):]
	}
	return found
}

// mapStore is the peer: a Go map and nothing else.
type mapStore map[flow.Key]entry

func newMap(limit int) store { return make(mapStore, limit) }

func (m mapStore) find(keys []flow.Key) (found int) {
	for i := range keys {
		if v, ok := m[keys[i]]; ok {
			found += live(&v)
		}
	}
	return found
}

func (m mapStore) insert(keys []flow.Key, mark uint64) (made int) {
	before := len(m)
	for i := range keys {
		m[keys[i]] = entry{mark}
	}
	return len(m) - before
}

func (m mapStore) remove(keys []flow.Key) (found int) {
	before := len(m)
	for i := range keys {
		delete(m, keys[i])
	}
	return before - len(m)
}

func (m mapStore) expire(most int, _ []flow.Key) (expired int) {
	for k, v := range m {
		if v[0] == due && expired < most {
			delete(m, k)
			expired++
		}
	}
	return expired
}

// lockedMapStore is the peer of those who share a table: a map with a
// read-write lock, taken per key.
type lockedMapStore struct {
	mu *sync.RWMutex
	m  mapStore
}

func newLockedMap(limit int) store { return lockedMapStore{new(sync.RWMutex), make(mapStore, limit)} }

func (l lockedMapStore) find(keys []flow.Key) (found int) {
	for i := range keys {
		l.mu.RLock()
		found += l.m.find(keys[i : i+1])
		l.mu.RUnlock()
	}
	return found
}

func (l lockedMapStore) insert(keys []flow.Key, mark uint64) (made int) {
	for i := range keys {
		l.mu.Lock()
		made += l.m.insert(keys[i:i+1], mark)
		l.mu.Unlock()
	}
	return made
}

func (l lockedMapStore) remove(keys []flow.Key) (found int) {
	for i := range keys {
		l.mu.Lock()
		found += l.m.remove(keys[i : i+1])
		l.mu.Unlock()
	}
	return found
}

func (l lockedMapStore) expire(most int, _ []flow.Key) (expired int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.expire(most, nil)
}

// step does something with each of the keys, or, if it finds its keys itself,
// with as many as are wanted. It returns how many it was done with.
type step func(s store, keys []flow.Key, want int, scratch []flow.Key) int

func nothing(_ store, keys []flow.Key, _ int, _ []flow.Key) int { return len(keys) }
func hit(s store, keys []flow.Key, _ int, _ []flow.Key) int     { return s.find(keys) }
func miss(s store, keys []flow.Key, _ int, _ []flow.Key) int    { return len(keys) - s.find(keys) }
func enter(s store, keys []flow.Key, _ int, _ []flow.Key) int   { return s.insert(keys, stays) }
func age(s store, keys []flow.Key, _ int, _ []flow.Key) int     { return s.insert(keys, due) }
func leave(s store, keys []flow.Key, _ int, _ []flow.Key) int   { return s.remove(keys) }

func expire(s store, _ []flow.Key, want int, scratch []flow.Key) int { return s.expire(want, scratch) }

// operation is what is measured of a store: the middle one of three steps.
// Those before and after it see to it that the store has about as many entries
// all the time; the first returns how many times the middle one is to be done.
type operation struct {
	name                 string
	keys                 func(p *population, worker int) []flow.Key
	before, timed, after step
}

var operations = []operation{
	{"hit", (*population).there, nothing, hit, nothing},
	{"miss", (*population).missing, nothing, miss, nothing},
	{"insert", (*population).coming, nothing, enter, leave},
	{"delete", (*population).coming, enter, leave, nothing},
	{"expire", (*population).coming, age, expire, nothing},
}

// cost is how long how many operations took.
type cost struct{ nanoseconds, operations atomic.Int64 }

// worker is a goroutine that does an operation.
type worker struct {
	*operation
	on            store
	keys, scratch []flow.Key
	batch         int // how many of the keys are in a round
	cost          *cost
}

func newWorkers(o *operation, s store, p *population, c *cost, n int) []worker {
	workers := make([]worker, n)
	for i := range workers {
		workers[i] = worker{o, s, o.keys(p, i), make([]flow.Key, 0, sweepSlots), coming(len(p.present)), c}
	}
	return workers
}

// work does the operation in rounds until grant allows it no more. A round is
// always whole, so that a sweep finds the share of entries due that it should,
// and there is always one, so that all who share the work are at it at once.
func (w *worker) work(b *testing.B, grant func(most int) int) {
	for at := 0; ; at = (at + w.batch) % (len(w.keys) - w.batch + 1) {
		if want, done := w.round(w.keys[at : at+w.batch]); done != want {
			b.Errorf("%s: %d of %d done", w.name, done, want)
			return
		}
		if grant(w.batch) == 0 {
			return
		}
	}
}

func (w *worker) round(keys []flow.Key) (want, done int) {
	want = w.before(w.on, keys, len(keys), w.scratch)
	start := time.Now()
	done = w.timed(w.on, keys, want, w.scratch)
	w.cost.nanoseconds.Add(time.Since(start).Nanoseconds())
	w.cost.operations.Add(int64(done))
	w.after(w.on, keys, len(keys), w.scratch)
	return want, done
}

// report gives what one operation costs when so many workers share the work.
func (c *cost) report(b *testing.B, workers int) {
	b.ReportMetric(float64(c.nanoseconds.Load())/float64(c.operations.Load())/float64(workers), "ns/op")
}

// The entries that come and go at a time are an eighth of those that stay, and
// at least so many that reading the clock does not count.
const (
	comingShare = 8
	comingLeast = 64
)

func coming(entries int) int { return max(entries/comingShare, comingLeast) }

// population is what the stores of one size are filled with, and asked for.
type population struct{ present, absent []flow.Key }

// newPopulation makes keys as of the GRE of many hosts with one server.
func newPopulation(entries, workers int) *population {
	random := rand.New(rand.NewPCG(1, uint64(entries)))
	keys := make([]flow.Key, entries+max(entries, workers*coming(entries)))
	made := make(map[flow.Key]bool, len(keys))
	for len(made) < len(keys) {
		k := flow.Key{Kind: flow.GREKey, Src: v4(random.Uint32()), Dst: v4(0xc6336401), DstID: uint16(random.Uint32())}
		keys[len(made)] = k // of two that are the same the next takes the place
		made[k] = true
	}
	return &population{keys[:entries], keys[entries:]}
}

// v4 is an IPv4 address as an Addr has it.
func v4(addr uint32) wire.Addr { return wire.Addr{Lo: 0xffff<<32 | uint64(addr)} }

// fill puts the keys that are present into s.
func (p *population) fill(s store) store {
	s.insert(p.present, stays)
	return s
}

func (p *population) there(worker int) []flow.Key   { return shuffled(p.present, worker) }
func (p *population) missing(worker int) []flow.Key { return shuffled(p.absent, worker) }

// coming returns the keys that one worker lets come and go.
func (p *population) coming(worker int) []flow.Key {
	n := coming(len(p.present))
	return p.absent[worker*n : (worker+1)*n]
}

// shuffled returns the keys in an order of the worker's own, and some again if
// they are few.
func shuffled(keys []flow.Key, worker int) []flow.Key {
	order := rand.New(rand.NewPCG(2, uint64(worker))).Perm(max(len(keys), comingLeast))
	out := make([]flow.Key, len(order))
	for i, at := range order {
		out[i] = keys[at%len(keys)]
	}
	return out
}

// kinds are the stores that one goroutine uses, sharedKinds those of many.
type kind struct {
	name string
	make func(limit int) store
}

var (
	kinds       = []kind{{"sharded", newSharded}, {"worker", newOneWorker}, {"map", newMap}}
	sharedKinds = []kind{{"sharded", newSharded}, {"worker", newOneWorker}, {"map", newLockedMap}}
)

// eachStore runs a benchmark of every operation on every kind of store in
// every size, the kinds side by side.
func eachStore(b *testing.B, kinds []kind, workers int, run func(b *testing.B, o *operation, s store, p *population)) {
	for _, entries := range []int{1, 1000, 100_000, 1_000_000} {
		p := newPopulation(entries, workers)
		stores := make([]store, len(kinds))
		for i, k := range kinds {
			stores[i] = p.fill(k.make(entries + workers*coming(entries)))
		}
		for _, o := range operations {
			for i, k := range kinds {
				b.Run(fmt.Sprintf("%s/%dentries/%s", o.name, entries, k.name), func(b *testing.B) {
					b.ReportAllocs()
					run(b, &o, stores[i], p)
				})
			}
		}
	}
}

// BenchmarkTable is one goroutine's use of a Table and of a Go map with the
// same keys and values: a look-up that finds, one that does not, an insertion,
// a deletion, and to find and remove what has expired, an entry in nine.
func BenchmarkTable(b *testing.B) {
	eachStore(b, kinds, 1, func(b *testing.B, o *operation, s store, p *population) {
		var c cost
		left, w := b.N, newWorkers(o, s, p, &c, 1)
		b.ResetTimer()
		w[0].work(b, func(most int) int {
			n := min(left, most)
			left -= n
			return n
		})
		c.report(b, 1)
	})
}

// BenchmarkTableParallel is BenchmarkTable with as many goroutines as there
// are cores, all on one table. An operation takes the time that it takes its
// goroutine, divided by their number.
func BenchmarkTableParallel(b *testing.B) {
	cores := runtime.GOMAXPROCS(0)
	eachStore(b, sharedKinds, cores, func(b *testing.B, o *operation, s store, p *population) {
		var c cost
		var started atomic.Int64
		w := newWorkers(o, s, p, &c, cores)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			w[started.Add(1)-1].work(b, func(most int) (n int) {
				for n < most && pb.Next() {
					n++
				}
				return n
			})
		})
		c.report(b, cores)
	})
}
