package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// keyEntry is what the GRE key map holds for one direction of a connected
// call: all that the verdict on a packet needs, so that a packet costs one
// probe. It is guarded by the lock of its shard.
//
// It has 80 octets: with its key, two cache lines.
type keyEntry struct {
	serial           uint64 // the call's number
	call             ref
	conn             ref    // the connection
	lanPort, wanPort uint16 // of the control connection, whose addresses are the key's
	callID           uint16 // what the packet's becomes, if it is translated
	translates       bool
	packets, bytes   uint64
	last             Time // when the last packet came
	sequence         sequence
}

// newKeymap returns the key map of a side: for one worker in one shard, which it
// keeps locked for a whole batch.
func newKeymap(o *Options) *flow.Table[keyEntry] {
	if o.Workers > 1 {
		return flow.NewTable[keyEntry](o.Limits.Calls, o.Seed)
	}
	return flow.NewWorkerTable[keyEntry](o.Limits.Calls, o.Seed)
}

// setGREKey makes k the key of a packet as it comes in by side. It goes word by
// word: the packet was just written that way, and what is read wider than it
// was written has to wait for memory.
func (l *Lane) setGREKey(k *flow.Key, p *wire.Packet) {
	k.Src.Hi, k.Src.Lo = p.Src.Hi, p.Src.Lo
	k.Dst.Hi, k.Dst.Lo = p.Dst.Hi, p.Dst.Lo
	k.Zone = p.Zone
	k.SrcID, k.DstID = 0, p.CallID
	k.Kind, k.Side, k.Proto = flow.GREKey, l.side, 0
	if l.byCallID && l.t.nat.translatable(p.Src, p.Zone) {
		k.Dst = wire.Addr{}
	}
}

// newKeyEntry is the entry of a direction of a call.
func newKeyEntry(c *connection, r ref, k *call) keyEntry {
	id, _ := k.id(k.lanRole())
	return keyEntry{
		serial: k.serial.Load(), call: r, conn: c.self, lanPort: c.key.SrcID, wanPort: c.key.DstID,
		callID: id, translates: c.named,
	}
}

// take counts a packet and reports whether it is the direction's first.
func (e *keyEntry) take(p *wire.Packet, now Time) (first bool) {
	first = e.packets == 0
	e.packets++
	e.bytes += uint64(p.IPLength)
	e.last = now
	if p.HasSeq {
		e.sequence.packet(p.Seq)
	}
	if p.HasAck {
		e.sequence.acknowledge(p.Ack)
	}
	return first
}

// controlOf is the key of the control connection of the call that the entry with
// the given key belongs to.
func (t *Tracker) controlOf(e *keyEntry, k *flow.Key) flow.Key {
	out := flow.Key{Kind: flow.ControlKey, Zone: k.Zone, Src: k.Src, Dst: k.Dst, SrcID: e.lanPort, DstID: e.wanPort}
	if k.Side == WAN {
		out.Src, out.Dst = k.Dst, k.Src
		if e.translates {
			out.Src = wire.AddrFrom4(t.nat.hosts[e.conn-1].addr.Load())
		}
	}
	return out
}

// belongsTo reports whether the entry's call is one of c.
func (e *keyEntry) belongsTo(c *connection) bool { return e.conn == c.self }

// entry returns a copy of the key map's entry for a key.
func (t *Tracker) entry(key *flow.Key) (keyEntry, bool) {
	hash := t.keymap[key.Side].Hash(key)
	s := t.keymap[key.Side].Lock(hash)
	defer s.Unlock()
	if e := s.Find(hash, key); e != nil && !t.endings.has(e.conn, e.serial) {
		return *e, true
	}
	return keyEntry{}, false
}

// lives reports whether a call of the connection in a place has not ended. The
// caller holds the connection's lock. Of a call that ended with others the number
// goes before endings knows nothing of it any more: so it is looked at last.
func (t *Tracker) lives(conn ref, n numbered) bool {
	return !t.endings.has(conn, n.serial) && t.calls.at(n.ref).serial.Load() == n.serial
}

func (e *keyEntry) numbered() numbered { return numbered{e.call, e.serial} }

// setEntry sets the key map's entry for a key and returns the one that was
// there. It reports false if the key map is full, or the one that is there is of a
// call that lives.
func (t *Tracker) setEntry(key *flow.Key, to *keyEntry) (had keyEntry, found, ok bool) {
	hash := t.keymap[key.Side].Hash(key)
	s := t.keymap[key.Side].Lock(hash)
	defer s.Unlock()
	e, found := s.Insert(hash, key)
	switch {
	case e == nil:
		return keyEntry{}, false, false
	case found && !t.endings.has(e.conn, e.serial):
		return *e, true, false
	}
	had, *e = *e, *to
	return had, found, true
}

// touchKeys starts to bring the parts of the key map into the cache where the GRE
// of a call will be, so that the misses overlap.
func (t *Tracker) touchKeys(c *connection, k *call) {
	for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
		key := c.greTo(k.side(role), k.outerID(role))
		t.keymap[key.Side].TouchFree(t.keyHash(&key))
	}
}

// asideKey is the key of a call's GRE that comes in by side once another call
// has its own: no packet has it. A call's direction has one entry, under either,
// so that there is room.
func asideKey(side Side, serial uint64) flow.Key {
	return flow.Key{Kind: flow.AsideKey, Side: side, Src: wire.Addr{Lo: serial}}
}

// leaveKey removes the call's GRE to the end with this role from the key map.
func (t *Tracker) leaveKey(c *identity, k *call, role pptp.Role) {
	key := c.greTo(k.side(role), k.outerID(role))
	aside := asideKey(key.Side, k.serial.Load())
	if !t.deleteEntry(&key, k.serial.Load()) {
		t.deleteEntry(&aside, k.serial.Load())
	}
}

// deleteEntry removes the key map's entry for a key if it is that of a call.
func (t *Tracker) deleteEntry(key *flow.Key, serial uint64) bool {
	hash := t.keymap[key.Side].Hash(key)
	s := t.keymap[key.Side].Lock(hash)
	defer s.Unlock()
	e := s.Find(hash, key)
	return e != nil && e.serial == serial && s.Delete(hash, key)
}
