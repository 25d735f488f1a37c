package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// newCall makes a pending call of c, or returns 0 if a limit is reached: what
// was asked for before stays.
func (w *work) newCall(c *connection) ref {
	w.spent += callWork
	limits := &w.settings.Limits
	perHost := limits.CallsPerHost
	if c.phase < open {
		perHost /= 2 // as of all calls
	}
	switch {
	case c.calls >= limits.CallsPerConnection:
		w.limit("calls_per_connection")
		return 0
	case c.phase < open && w.t.callsUsed() >= limits.Calls/2:
		w.limit("calls") // the rest is for those who have shown to be there
		return 0
	case !w.t.admitHosts(c, perHost):
		w.limit("calls_per_host")
		return 0
	}
	r := w.callRecord()
	if r == 0 {
		w.t.releaseHosts(&c.identity, 1)
		w.limit("calls")
		return 0
	}
	k := w.t.calls.at(r)
	k.callData = callData{started: w.now}
	k.serial.Store(w.t.serial.Add(1))
	c.calls++
	w.t.link(c, r, pending)
	return r
}

// connect lets the call's GRE pass from now on and reports whether it could.
func (w *work) connect(c *connection, r ref) bool {
	w.spent += callWork
	k := w.t.calls.at(r)
	if w.t.expectations.Add(flow.Sides) > int64(w.settings.Limits.Expectations) {
		w.t.expectations.Add(-flow.Sides)
		w.limit("expectations")
		return false
	}
	k.contested = false
	w.t.touchKeys(c, k)
	if !w.enterKey(c, r, pptp.PNS) || !w.enterKey(c, r, pptp.PAC) {
		w.t.leaveKey(&c.identity, k, pptp.PNS)
		w.t.expectations.Add(-flow.Sides)
		return false
	}
	w.enterTranslation(c, k)
	k.state, k.waits = pptp.CallConnected, w.now
	w.t.move(c, r, expecting)
	w.answer(&c.identity, k)
	w.callEvent(EventCallConnected, c, k)
	return true
}

// enterTranslation lets translation know of an agreed call.
func (w *work) enterTranslation(c *connection, k *call) {
	w.t.enterQuote(&c.identity, k)
	if k.named {
		w.t.nat.AgreeID(c.idPool(), k.alias)
	}
}

// enterKey puts the GRE sent to the end with this role into the key map. A
// call of c that already has this key is one that an end has forgotten: ids are
// unique per pair of peers (RFC 2637, section 3.2.1), so it ends. enterKey
// reports false if the key map is full, or a live call of another connection has
// the key: then settle decides.
func (w *work) enterKey(c *connection, r ref, role pptp.Role) bool {
	k := w.t.calls.at(r)
	key, entry := c.greTo(k.side(role), k.outerID(role)), newKeyEntry(c, r, k)
	had, found, ok := w.t.setEntry(&key, &entry)
	if found && !ok && had.belongsTo(c) && had.call != r && w.t.lives(had.conn, had.numbered()) {
		w.endCall(c, had.call, "replaced")
		had, found, ok = w.t.setEntry(&key, &entry)
	}
	switch {
	case found && ok:
		w.displace(&key, &had)
	case found:
		w.contest(c, r, &key, &had)
	case !ok:
		w.limit("calls")
	}
	return ok
}

// displaced is a call that has ended and whose key went to a new call before its
// record was cleaned up.
type displaced struct {
	key   flow.Key
	entry keyEntry
}

// displace sets the entry of a call aside whose key went to a new call, so that
// what it counted is there when its end is reported.
func (w *work) displace(key *flow.Key, had *keyEntry) {
	aside := asideKey(key.Side, had.serial)
	w.t.setEntry(&aside, had)
	w.displaced = append(w.displaced, displaced{key: *key, entry: *had})
}

// settle decides about contested keys and ends the connections that are to be
// evicted. It reports whether a call was let in that had to wait for a key. The
// caller holds no lock.
func (w *work) settle() (opened bool) {
	opened = w.settleContests()
	for i := range w.displaced {
		w.dropAside(&w.displaced[i])
	}
	w.displaced = w.displaced[:0]
	for i := 0; i < len(w.evicted); i++ { // one may bring the next
		w.evictNow(&w.evicted[i])
	}
	w.evicted = w.evicted[:0]
	return opened
}

// refuse ends a call that was answered with anything but success.
func (w *work) refuse(c *connection, r ref, v pptp.View) {
	result, _ := v.Result()
	cause, _ := v.CauseCode()
	w.refusedEvent(c, w.t.calls.at(r), uint16(result), cause)
	w.forget(c, r)
}

func (w *work) refusedEvent(c *connection, k *call, result, cause uint16) {
	snapshot := w.t.snapshot(&c.identity, k)
	snapshot.State = CallEnded
	w.events = append(w.events, Event{
		Time: w.now, Kind: EventCallRefused, Call: &snapshot, Result: result, CauseCode: cause,
	})
}

// endCall ends a call: none of its GRE passes any more.
func (w *work) endCall(c *connection, r ref, cause string) {
	w.endedEvent(&c.identity, w.t.calls.at(r), cause, w.now)
	w.forget(c, r)
}

func (w *work) endedEvent(c *identity, k *call, cause string, at Time) {
	if k.undead() {
		return // that was said
	}
	snapshot := w.t.snapshot(c, k)
	snapshot.State = CallEnded
	w.events = append(w.events, Event{Time: at, Kind: EventCallEnded, Cause: cause, Call: &snapshot})
}

// forget removes a call from its connection and from every table.
func (w *work) forget(c *connection, r ref) {
	if w.t.calls.at(r).list == expecting {
		w.t.expectations.Add(-flow.Sides)
	}
	w.t.releaseHosts(&c.identity, 1)
	w.t.unlink(c, r)
	c.calls--
	c.callEnded = w.now
	w.cleanUp(&c.identity, r)
}

// cleanUp removes a call, which is in no list of a connection, from the tables
// that lead to it, and gives its record back.
func (w *work) cleanUp(c *identity, r ref) {
	w.spent += callWork
	k := w.t.calls.at(r)
	if k.state.CarriesGRE() {
		for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
			w.t.leaveKey(c, k, role)
		}
		w.t.leaveQuote(c, k)
	} else {
		w.answer(c, k)
	}
	if k.named {
		id, _ := k.id(k.lanRole())
		w.t.nat.letGo(c, id, true, w.now)
	}
	k.serial.Store(0)
	w.t.calls.put(r)
}

// greSeen notes that the first GRE packet of a direction of a call came in by
// side: the call waits no longer, and is active once both directions were
// seen. The caller holds no lock.
func (w *work) greSeen(key *flow.Key, e *keyEntry) {
	control := w.t.controlOf(e, key)
	hash := w.t.controls.Hash(&control)
	lock := w.t.lock(hash)
	defer lock.Unlock()
	c := w.t.find(hash, &control)
	if c == nil || !w.t.lives(e.conn, e.numbered()) {
		return // it ended meanwhile
	}
	k := w.t.calls.at(e.call)
	k.seen[key.Side] = true
	if k.list == expecting {
		w.t.move(c, e.call, active)
		w.t.expectations.Add(-flow.Sides)
	}
	if k.seen[key.Side.Other()] {
		w.callEvent(EventCallActive, c, k)
	} else {
		other := c.greTo(key.Side, k.outerID(k.roleOn(key.Side)))
		w.t.awaited.add(&other)
	}
}

// hostUse counts what a host has, as client and as server alike.
type hostUse struct{ calls, connections uint32 }

func hostKey(addr wire.Addr, zone wire.Zone) flow.Key {
	return flow.Key{Kind: flow.HostKey, Src: addr, Zone: zone}
}

// admitHosts counts one more call of both ends of c, unless one of them has
// as many as a host may have.
func (t *Tracker) admitHosts(c *connection, limit int) bool {
	if !t.admitHost(c, LAN, limit) {
		return false
	}
	if !t.admitHost(c, WAN, limit) {
		t.releaseHost(&c.identity, LAN, 1)
		return false
	}
	return true
}

func (t *Tracker) admitHost(c *connection, side Side, limit int) bool {
	if limit < 1 {
		return false // it would stay in the table without a call to take it out
	}
	key := hostKey(c.addr(side), c.key.Zone)
	hash := t.hosts.Hash(&key)
	s := t.hosts.Lock(hash)
	defer s.Unlock()
	use, _ := s.Insert(hash, &key)
	if use == nil || int(use.calls) >= limit {
		return false
	}
	use.calls++
	return true
}

// releaseHosts takes n calls back that admitHosts counted.
func (t *Tracker) releaseHosts(c *identity, n int) {
	t.releaseHost(c, LAN, n)
	t.releaseHost(c, WAN, n)
}

func (t *Tracker) releaseHost(c *identity, side Side, n int) {
	key := hostKey(c.addr(side), c.key.Zone)
	hash := t.hosts.Hash(&key)
	s := t.hosts.Lock(hash)
	defer s.Unlock()
	if use := s.Find(hash, &key); use != nil {
		if use.calls -= uint32(n); *use == (hostUse{}) {
			s.Delete(hash, &key)
		}
	}
}

// hasRoom reports whether both ends of a new connection may have one more.
func (w *work) hasRoom(k *flow.Key) bool {
	limit := w.settings.Limits.ConnectionsPerHost
	return limit == 0 || w.t.connectionsOf(k.Src, k.Zone) < limit && w.t.connectionsOf(k.Dst, k.Zone) < limit
}

// connectionsOf returns how many confirmed connections a host has.
func (t *Tracker) connectionsOf(addr wire.Addr, zone wire.Zone) int {
	key := hostKey(addr, zone)
	hash := t.hosts.Hash(&key)
	s := t.hosts.Lock(hash)
	defer s.Unlock()
	if use := s.Find(hash, &key); use != nil {
		return int(use.connections)
	}
	return 0
}

// isKnown reports whether a host has calls or confirmed connections.
func (t *Tracker) isKnown(addr wire.Addr, zone wire.Zone) bool {
	key := hostKey(addr, zone)
	hash := t.hosts.Hash(&key)
	s := t.hosts.Lock(hash)
	defer s.Unlock()
	return s.Find(hash, &key) != nil
}

// countConfirmed adds n, 1 or -1, to the confirmed connections of both ends of c.
func (t *Tracker) countConfirmed(c *connection, n int) {
	for _, side := range [...]Side{LAN, WAN} {
		key := hostKey(c.addr(side), c.key.Zone)
		hash := t.hosts.Hash(&key)
		s := t.hosts.Lock(hash)
		if use, _ := s.Insert(hash, &key); use != nil {
			if use.connections += uint32(n); *use == (hostUse{}) {
				s.Delete(hash, &key)
			}
		}
		s.Unlock()
	}
}
