package track

import (
	"sync"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// A server with several addresses may answer GRE from another one than the call
// was agreed with. Such GRE is of no call and drops. So that somebody can tell
// why the call does not work, it is reported once for a call: when GRE with its
// call ID comes for its end, while none came from the right address.

// awaited remembers directions of calls that were not seen though the other was,
// by their GREKey without its source. It is small and forgets: one takes the
// place of another with the same slot, so that it costs a call little.
type awaited struct {
	seed  flow.Seed
	locks [16]awaitedLock
	slots [1024]flow.Key // as in the key map; zero if the slot is free
}

// awaitedLock guards a part of the slots. It has a cache line: to lock it must
// not wait for memory, as it would if each slot had its own.
type awaitedLock struct {
	sync.Mutex
	_ [56]byte
}

// lock locks the place of a direction, wherever it comes from, and returns it.
func (a *awaited) lock(k *flow.Key) (slot *flow.Key, lock *awaitedLock) {
	anySource := *k
	anySource.Src = wire.Addr{}
	n := anySource.Hash(&a.seed) % uint64(len(a.slots))
	lock = &a.locks[n%uint64(len(a.locks))]
	lock.Lock()
	return &a.slots[n], lock
}

// add notes a direction.
func (a *awaited) add(k *flow.Key) {
	slot, lock := a.lock(k)
	*slot = *k
	lock.Unlock()
}

// take removes the direction that has k but for its source, and returns it.
func (a *awaited) take(k flow.Key) (direction flow.Key, ok bool) {
	slot, lock := a.lock(&k)
	defer lock.Unlock()
	direction = *slot
	k.Src = direction.Src
	if k != direction {
		return flow.Key{}, false
	}
	*slot = flow.Key{}
	return direction, true
}

// reportOtherAddress reports GRE of no call that is for an end of a call that
// got none yet, with its call ID: once for a call.
func (l *Lane) reportOtherAddress(f *Frame) {
	direction, ok := l.t.awaited.take(f.key)
	if !ok {
		return
	}
	if e, ok := l.t.entry(&direction); ok && e.packets == 0 {
		l.otherAddress(f, &direction, &e)
	}
}

// otherAddress is reportOtherAddress for a direction that is in the key map. The
// caller holds no lock.
func (l *Lane) otherAddress(f *Frame, direction *flow.Key, e *keyEntry) {
	control := l.t.controlOf(e, direction)
	hash := l.t.controls.Hash(&control)
	lock := l.t.lock(hash)
	defer lock.Unlock()
	if c := l.t.find(hash, &control); c != nil && l.t.lives(e.conn, e.numbered()) {
		l.callEvent(EventCallOtherAddress, c, l.t.calls.at(e.call))
		l.events[len(l.events)-1].Address = f.Packet.Src.Netip()
	}
}
