package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// A server with several addresses may answer GRE from another one than the call
// was agreed with. Such GRE is of no call and drops. So that somebody can tell
// why the call does not work, it is reported once for a call: when GRE with its
// call ID comes for its end, while none came from the right address.

// anySource is the key of a direction of a call without where it comes from.
func anySource(k flow.Key) flow.Key {
	k.Kind, k.Src = flow.AnySourceKey, wire.Addr{}
	return k
}

// awaits notes that a direction of a call was not seen though the other was. k
// is its key in the key map.
func (t *Tracker) awaits(k flow.Key) {
	any := anySource(k)
	t.awaited.add(&any, k, func(there *flow.Key) { *there = k })
}

// reportOtherAddress reports GRE of no call that is for an end of a call that
// got none yet, with its call ID.
func (l *Lane) reportOtherAddress(f *Frame) {
	if l.t.awaited.table.Len() == 0 {
		return
	}
	any := anySource(f.key)
	direction, ok := get(l.t.awaited.table, &any)
	if !ok {
		return
	}
	l.t.awaited.remove(&any) // once for a call
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
