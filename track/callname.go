package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// A call ID that a host on the LAN assigned has one name on the WAN for each
// peer there and each address by which that knows the host, however many calls and control connections use it: IDs are unique
// between two peers (RFC 2637, section 3.2.1), so that a second use of one is
// the same ID again. A name is taken when the first octets that say it cross,
// and given back when the last call ends that has it. Then it rests, unless it
// has not left: a peer that has heard of it may yet agree.

// callName is what the WAN calls an ID.
type callName struct {
	alias uint16
	uses  uint32
	rests bool // it has left, and will rest
}

// reservation is the name that a message on its way has, until it is whole and
// its call takes it over.
type reservation struct {
	id, alias uint16
	held      bool
	dead      bool // there is none
	unsaid    bool // no octet of it has left
}

// nameKey is the key of an ID that c's end on the LAN assigned.
func (c *identity) nameKey(id uint16) flow.Key {
	return callNameKey(c.key.Zone, c.key.Src, c.alias.addr, c.key.Dst, id)
}

// callNameKey is the key of an ID that a host on the LAN assigned which the peer
// knows by an alias. Both are IPv4, and share a field.
func callNameKey(zone wire.Zone, host, alias, peer wire.Addr, id uint16) flow.Key {
	both := wire.Addr{Hi: uint64(host.V4()), Lo: alias.Lo}
	return flow.Key{Kind: flow.CallNameKey, Zone: zone, Src: both, Dst: peer, DstID: id}
}

// idPool says between whom an ID is unique that c's end on the LAN assigns.
func (c *identity) idPool() IDPool {
	return IDPool{Zone: c.key.Zone, Alias: c.greAddr, Peer: c.key.Dst, Host: c.key.Src}
}

// hold takes the name of an ID once more, of a host that may have so many. It
// returns the limit reached if there is none.
func (n *aliases) hold(c *connection, id uint16, most int, now Time) (alias uint16, limit string) {
	key := c.nameKey(id)
	hash := n.names.Hash(&key)
	s := n.names.Lock(hash)
	defer s.Unlock()
	name, found := s.Insert(hash, &key)
	if name == nil {
		return NoCallID, "call_ids"
	}
	if !found {
		if limit = n.take(c, name, id, most, now); limit != "" {
			s.Delete(hash, &key)
			return NoCallID, limit
		}
	}
	name.uses++
	return name.alias, ""
}

// take makes the name of an ID one that nobody has.
func (n *aliases) take(c *connection, name *callName, id uint16, most int, now Time) (limit string) {
	pool := c.idPool()
	if n.HeldIDs(pool.Zone, pool.Host) >= most {
		return "calls_per_host"
	}
	alias, ok := n.TakeID(pool, id, now)
	switch {
	case !ok && n.AsksTooOften(pool.Zone, pool.Host):
		return "call_ids_per_host"
	case !ok:
		return "call_ids"
	}
	name.alias = alias
	return ""
}

// idsPerHost is how many IDs a host on the LAN may have, in use or at rest: as
// many at rest as in use, and so many more as one may ask for at once.
func (l *Limits) idsPerHost() int { return 2*l.CallsPerHost + l.CallsPerConnection }

// letGo gives a use of an ID's name back. It rests if the peer may have heard of
// it.
func (n *aliases) letGo(c *identity, id uint16, rests bool, now Time) {
	key := c.nameKey(id)
	hash := n.names.Hash(&key)
	s := n.names.Lock(hash)
	defer s.Unlock()
	name := s.Find(hash, &key)
	if name == nil {
		return
	}
	name.rests = name.rests || rests
	if name.uses--; name.uses > 0 {
		return
	}
	if name.rests {
		n.PutID(c.idPool(), name.alias, now)
	} else {
		n.FreeID(c.idPool(), name.alias)
	}
	s.Delete(hash, &key)
}

// claim makes an ID have this name, as before a restart.
func (n *aliases) claim(c *connection, id, alias uint16) bool {
	key := c.nameKey(id)
	hash := n.names.Hash(&key)
	s := n.names.Lock(hash)
	defer s.Unlock()
	name, found := s.Insert(hash, &key)
	switch {
	case name == nil || found && name.alias != alias:
		return false
	case !found && !n.ClaimID(c.idPool(), alias):
		s.Delete(hash, &key)
		return false
	}
	name.alias = alias
	name.uses++
	return true
}

// aliasOf returns what the WAN calls an ID that c's end on the LAN assigned.
func (t *Tracker) aliasOf(c *connection, id uint16) (alias uint16, ok bool) {
	if !c.named {
		return id, true
	}
	key := c.nameKey(id)
	name, ok := get(t.nat.names, &key)
	return name.alias, ok
}

// reserve names an ID that a message of c's end on the LAN assigns. Octets that
// cannot become a call get none: whoever sends them need not even be there. Nor
// does the call that they may become after all.
func (w *work) reserve(c *connection, id uint16, v pptp.View) (alias uint16) {
	w.unreserve(c)
	c.reserved = reservation{id: id, alias: NoCallID, dead: true}
	if c.phase != open || !w.inSession(c, LAN, v) || int(v.Length()) < pptp.FixedLength(v.ControlType()) {
		return NoCallID
	}
	alias, limit := w.t.nat.hold(c, id, w.settings.Limits.idsPerHost(), w.now)
	if limit != "" {
		w.limit(limit)
		return NoCallID
	}
	c.reserved = reservation{id: id, alias: alias, held: true}
	return alias
}

// unreserve gives up a name that no call has taken over.
func (w *work) unreserve(c *connection) {
	if c.reserved.held {
		w.t.nat.letGo(&c.identity, c.reserved.id, !c.reserved.unsaid, w.now)
	}
	c.reserved = reservation{}
}

// takeName makes the reserved name the call's, whose end on the LAN has assigned
// the ID. A call that could get none is refused when it is answered.
func (k *call) takeName(c *connection, id uint16) {
	r := &c.reserved
	switch {
	case !c.named:
		k.alias = id
	case k.named: // once more
	case r.held && r.id == id:
		k.alias, k.named, k.refused = r.alias, true, false
		r.held = false
	default:
		k.alias, k.refused = NoCallID, true
	}
}

// lanRole is the role of the call's end on the LAN.
func (k *call) lanRole() pptp.Role { return k.roleOn(LAN) }

// outerID is the ID that the end with this role assigned, as the WAN knows it.
func (k *call) outerID(role pptp.Role) uint16 {
	if k.side(role) == LAN {
		return k.alias
	}
	id, _ := k.id(role)
	return id
}
