package track

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
)

// askedTable has the calls that are not agreed yet, by the key of the GRE to an
// end whose ID is known. Each call is entered and removed once while it is set
// up, so that this must cost little. A removed entry's node is the next that is
// used: it is still in the cache. In a flow.Table each key has a slot of its own,
// and the slots of a new call are mostly not in the cache.
type askedTable struct {
	// heads are the first nodes of the chains, by hash; 0 is an empty chain. They
	// are written under mu, and read without it by those who look for an empty one.
	heads  []atomic.Uint32
	mu     sync.Mutex
	nodes  []askedNode // ref 1 is the first
	free   ref         // the first of those that were removed, by next
	unused ref         // nodes that were never used start behind this one
}

// askedCall is a call that is not agreed yet.
type askedCall struct {
	serial uint64
	conn   ref
	held   int32 // packets, by all Lanes
}

type askedNode struct {
	key flow.Key
	askedCall
	next ref
}

func newAskedTable(limit int) *askedTable {
	return &askedTable{heads: make([]atomic.Uint32, 1<<bits.Len(uint(limit-1))), nodes: make([]askedNode, limit)}
}

func (t *askedTable) at(r ref) *askedNode { return &t.nodes[r-1] }

func (t *askedTable) head(hash uint64) *atomic.Uint32 { return &t.heads[hash&uint64(len(t.heads)-1)] }

// none reports whether there is no key with this hash. It needs no lock.
func (t *askedTable) none(hash uint64) bool { return t.head(hash).Load() == 0 }

// find returns the node of a key and the one before it in its chain, or 0. The
// caller holds the lock.
func (t *askedTable) find(hash uint64, key *flow.Key) (r, before ref) {
	for r = ref(t.head(hash).Load()); r != 0 && t.at(r).key != *key; r = t.at(r).next {
		before = r
	}
	return r, before
}

// insert adds a node for a key that has none, and returns nil if there is no
// room. The caller holds the lock.
func (t *askedTable) insert(hash uint64, key *flow.Key) *askedCall {
	r := t.free
	switch {
	case r != 0:
		t.free = t.at(r).next
	case int(t.unused) < len(t.nodes):
		t.unused++
		r = t.unused
	default:
		return nil
	}
	head, n := t.head(hash), t.at(r)
	n.key, n.askedCall, n.next = *key, askedCall{}, ref(head.Load())
	head.Store(uint32(r))
	return &n.askedCall
}

// remove removes what find has found. The caller holds the lock.
func (t *askedTable) remove(hash uint64, r, before ref) {
	n := t.at(r)
	if before != 0 {
		t.at(before).next = n.next
	} else {
		t.head(hash).Store(uint32(n.next))
	}
	n.next, t.free = t.free, r
}

// keyHash is the hash of a GREKey in the key map, and in the table of calls that
// are not agreed yet.
func (t *Tracker) keyHash(key *flow.Key) uint64 { return t.keymap[key.Side].Hash(key) }

// enterAsked enters a call, in place of an older one that has the same key,
// which it returns.
func (t *Tracker) enterAsked(key *flow.Key, to askedCall) (had askedCall) {
	hash := t.keyHash(key)
	t.asked.mu.Lock()
	defer t.asked.mu.Unlock()
	r, _ := t.asked.find(hash, key)
	if r == 0 {
		if a := t.asked.insert(hash, key); a != nil {
			*a = to
		}
		return askedCall{}
	}
	a := &t.asked.at(r).askedCall
	if a.serial >= to.serial && !t.endings.has(a.conn, a.serial) {
		return askedCall{}
	}
	had, *a = *a, to
	return had
}

// leaveAsked removes the entry of a call, or of any call if this one is agreed,
// and returns it.
func (t *Tracker) leaveAsked(key *flow.Key, k *call) (had askedCall) {
	hash := t.keyHash(key)
	if t.asked.none(hash) {
		return askedCall{}
	}
	t.asked.mu.Lock()
	defer t.asked.mu.Unlock()
	r, before := t.asked.find(hash, key)
	if r == 0 {
		return askedCall{}
	}
	if a := &t.asked.at(r).askedCall; a.serial == k.serial.Load() || k.state.CarriesGRE() {
		had = *a
		t.asked.remove(hash, r, before)
	}
	return had
}

// awaiting returns the call that awaits GRE with this key, or nil. The caller
// holds the table's lock.
func (t *Tracker) awaiting(key *flow.Key) *askedCall {
	r, _ := t.asked.find(t.keyHash(key), key)
	if r == 0 {
		return nil
	}
	if a := &t.asked.at(r).askedCall; !t.endings.has(a.conn, a.serial) {
		return a
	}
	return nil
}

// holdFor counts one more packet for the call that awaits it and returns the
// call's number, or 0 if no call does or it has enough.
func (t *Tracker) holdFor(key *flow.Key) (serial uint64) {
	t.asked.mu.Lock()
	defer t.asked.mu.Unlock()
	a := t.awaiting(key)
	if a == nil || a.held >= earlyPerID {
		return 0
	}
	a.held++
	return a.serial
}

// letGoOf counts n packets less for a call, and reports whether it still awaits
// them.
func (t *Tracker) letGoOf(key *flow.Key, serial uint64, n int32) bool {
	t.asked.mu.Lock()
	defer t.asked.mu.Unlock()
	a := t.awaiting(key)
	if a == nil || a.serial != serial {
		return false
	}
	a.held -= n
	return true
}
