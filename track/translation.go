package track

import (
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Translation decides by which names the WAN knows the ends on the LAN. Package
// nat implements it. It is asked for what is new only; what it said is kept with
// the connection or the call. Its methods may be called at once by several
// goroutines that hold locks of a Tracker, and must not call back.
type Translation interface {
	// Owns reports whether an address is the box's own on the WAN side: what
	// comes from there for it and is of no translated connection goes nowhere.
	Owns(addr wire.Addr) bool
	// Source returns the address with which a control connection leaves that a
	// host on the LAN opens; false if it keeps its own. A host that the WAN reaches
	// by an address of the box's (Server) leaves with that.
	Source(host wire.Addr) (addr wire.Addr, ok bool)
	// Port returns the TCP port to try, for the n-th time, from 0 on, for a
	// connection whose end on the LAN has the port own; false if there is none
	// left to try.
	Port(own uint16, n int) (port uint16, ok bool)
	// Server returns the server on the LAN that stands behind an address for a
	// client on the WAN; false if none does.
	Server(addr, client wire.Addr) (server wire.Addr, ok bool)
	// ByCallID reports whether GRE from the WAN goes to the host that owns its
	// call ID, whatever host it is addressed to (nat.mode = "call-id").
	ByCallID() bool
	// MAC returns the MAC address of a host on the LAN, as a number; false if it
	// is not known.
	MAC(zone wire.Zone, addr wire.Addr) (mac uint64, ok bool)
	// IsNIC reports whether a MAC address is that of the box's NIC on a side.
	IsNIC(side Side, mac uint64) bool

	// TakeID gives out a call ID that no other call of a pool has or had a while
	// ago: want, if it can; false if there is none.
	TakeID(pool IDPool, want uint16, now Time) (id uint16, ok bool)
	// ClaimID takes exactly this ID, of a call from before a restart.
	ClaimID(pool IDPool, id uint16) bool
	// PutID gives an ID back, which is given out again in a while.
	PutID(pool IDPool, id uint16, now Time)
	// FreeID gives back an ID that the peer has not heard of, which may be given out
	// at once.
	FreeID(pool IDPool, id uint16)
	// AgreeID tells that a call is agreed which has an ID. Of IDs of which that was
	// never told a host on the LAN has a small share.
	AgreeID(pool IDPool, id uint16)
	// AsksTooOften reports whether a host on the LAN has all of that share, so that
	// TakeID gives it none.
	AsksTooOften(zone wire.Zone, host wire.Addr) bool
	// HeldIDs returns how many IDs a host on the LAN has that were not given back,
	// or not for a while.
	HeldIDs(zone wire.Zone, host wire.Addr) int
}

// IDPool says between whom call IDs are unique, the address that the WAN sees
// (zero for all of them) and the peer there, and which host on the LAN assigns
// the one in question.
type IDPool struct {
	Zone              wire.Zone
	Alias, Peer, Host wire.Addr
}

// NoCallID is the call ID that TakeID never gives out: of a call that got none, so
// that it is refused.
const NoCallID = 0xffff

// What a Change changes, as a set.
const (
	// ChangeAddr is the IPv4 source address of a frame towards the WAN, or the
	// destination address of one towards the LAN.
	ChangeAddr = 1 << iota
	// ChangePort is the TCP port of the same end.
	ChangePort
	// ChangeMAC is the source MAC address of a frame towards the WAN, which
	// becomes the WAN NIC's, or the destination MAC address of one towards the
	// LAN.
	ChangeMAC
	// ChangeCallID is the call ID in a GRE header.
	ChangeCallID
	// ChangeQuote is the packet that an ICMP error quotes: what ChangeAddr,
	// ChangePort and ChangeCallID say goes for it, for the end that is its other
	// direction's; ChangeAddr goes for the error's own header as well.
	ChangeQuote
	// ChangeOctets is octets of a control connection's stream.
	ChangeOctets
)

// Change is what translation makes of a frame. The tracker says it, and package
// nat does it.
type Change struct {
	What   uint8
	Port   uint16
	CallID uint16
	Addr   uint32 // IPv4
	MAC    uint64 // in the low 48 bits, towards the LAN
	Octets []Octets
	// QuoteL3 and QuoteL4 are where the header of the quoted packet and what it
	// carries start, counted from the start of the frame.
	QuoteL3, QuoteL4 uint32
}

// Octets are new octets of a frame's TCP data.
type Octets struct {
	At  uint32 // counted from the start of the frame
	N   uint8  // 1 or 2
	New [2]byte
}

// endpoint is an end of a TCP connection.
type endpoint struct {
	addr wire.Addr
	port uint16
}

// aliases is what a Tracker knows of those that the WAN knows by other names.
type aliases struct {
	Translation
	controls *flow.Table[endpoint] // AliasKey -> the end on the LAN
	names    *flow.Table[callName] // CallNameKey
	quotes   *flow.Table[quoted]   // QuoteKey
	hosts    []lanHost             // by connection
	zones    []atomic.Uint64       // of hosts, beside what GRE reads
	heads    headRings
}

// lanHost is what GRE has to know of a connection's end on the LAN. It is
// written under the connection's lock, and read under that of an entry of the
// key map which leads to it.
type lanHost struct {
	addr, alias atomic.Uint32 // IPv4
	mac         atomic.Uint64 // 0 as long as it is not known
}

func newAliases(o *Options) *aliases {
	if o.Translation == nil {
		return nil
	}
	n := &aliases{
		Translation: o.Translation,
		controls:    flow.NewTable[endpoint](o.Limits.Connections, o.Seed),
		names:       flow.NewTable[callName](o.Limits.Calls+o.Limits.Connections, o.Seed),
		hosts:       make([]lanHost, o.Limits.Connections),
		zones:       make([]atomic.Uint64, o.Limits.Connections),
		heads:       newHeadRings(&o.Limits),
	}
	n.quotes = flow.NewTable[quoted](o.Limits.Calls, o.Seed)
	return n
}

// translatable reports whether connections with a key can be translated: IPv4,
// and not within PPPoE, whose sessions are each an own link with addresses from
// the WAN.
func (n *aliases) translatable(addr wire.Addr, zone wire.Zone) bool {
	return n != nil && addr.Is4() && !zone.InSession()
}

// aliasKey is the key of a connection as the WAN sees it.
func aliasKey(k *flow.Key, alias endpoint) flow.Key {
	return flow.Key{Kind: flow.AliasKey, Zone: k.Zone, Src: alias.addr, SrcID: alias.port, Dst: k.Dst, DstID: k.DstID}
}

// resolve turns the key of a connection as the WAN sees it into its own. It
// reports false if the WAN means the box, and the box knows nothing of it.
func (n *aliases) resolve(k *flow.Key) bool {
	if !n.translatable(k.Src, k.Zone) {
		return true
	}
	alias := aliasKey(k, endpoint{k.Src, k.SrcID})
	if own, ok := n.own(&alias); ok {
		k.Src, k.SrcID = own.addr, own.port
		return true
	}
	if k.SrcID == serverPort {
		if server, ok := n.Server(k.Src, k.Dst); ok {
			k.Src = server
			return true
		}
	}
	return !n.Owns(k.Src)
}

// own returns the end on the LAN that has an alias.
func (n *aliases) own(alias *flow.Key) (endpoint, bool) { return get(n.controls, alias) }

// get returns a copy of a table's value.
func get[V any](t *flow.Table[V], k *flow.Key) (v V, ok bool) {
	hash := t.Hash(k)
	s := t.Lock(hash)
	defer s.Unlock()
	if found := s.Find(hash, k); found != nil {
		return *found, true
	}
	return v, false
}

// put sets a table's value if the key has none, and reports whether it did.
func put[V any](t *flow.Table[V], k *flow.Key, v V) bool {
	hash := t.Hash(k)
	s := t.Lock(hash)
	defer s.Unlock()
	value, found := s.Insert(hash, k)
	if value == nil || found {
		return false
	}
	*value = v
	return true
}

func drop[V any](t *flow.Table[V], k *flow.Key) {
	hash := t.Hash(k)
	s := t.Lock(hash)
	defer s.Unlock()
	s.Delete(hash, k)
}

// translated reports whether the WAN knows c's end on the LAN by another address
// or port.
func (c *identity) translated() bool { return c.alias != endpoint{c.key.Src, c.key.SrcID} }

// admitAlias gives a new connection the alias with which it came from the WAN,
// or one that is free. It reports false if there is none.
func (n *aliases) admitAlias(c *connection, seen endpoint, opener Side) bool {
	own := endpoint{c.key.Src, c.key.SrcID}
	c.alias, c.greAddr = own, own.addr
	if !n.translatable(c.key.Src, c.key.Zone) {
		return true
	}
	if opener == WAN {
		c.alias = seen
	} else if addr, ok := n.Source(own.addr); ok {
		c.alias.addr = addr
	}
	if c.translated() && !n.enterAlias(c, own, opener) {
		return false
	}
	n.name(c, 0)
	return true
}

// readmit gives a restored connection the alias that it had. It reports false if
// the box has that no more, or if it had none and would get one today.
func (n *aliases) readmit(c *connection, alias endpoint, mac uint64) bool {
	own := endpoint{c.key.Src, c.key.SrcID}
	c.alias, c.greAddr = own, own.addr
	if !n.translatable(c.key.Src, c.key.Zone) {
		return alias == own
	}
	c.alias = alias
	if c.translated() {
		if !n.Owns(alias.addr) {
			return false
		}
		key := aliasKey(&c.key, alias)
		if !put(n.controls, &key, own) {
			return false
		}
	}
	if _, masquerades := n.Source(own.addr); masquerades && c.opener == LAN && !c.translated() {
		return false // it is from before the box masqueraded
	}
	n.name(c, mac)
	return true
}

// name makes the IDs of c's calls be translated.
func (n *aliases) name(c *connection, mac uint64) {
	c.named = true
	if c.greAddr = c.alias.addr; n.ByCallID() {
		c.greAddr = wire.Addr{}
	}
	h := &n.hosts[c.self-1]
	n.zones[c.self-1].Store(uint64(c.key.Zone))
	h.addr.Store(c.key.Src.V4())
	h.alias.Store(c.alias.addr.V4())
	h.mac.Store(mac)
}

// enterAlias enters c's alias. One by which the WAN came is as it is. Of one that
// an end on the LAN opens the port may have to change, and is never a server's:
// what the WAN dials there is for the forward.
func (n *aliases) enterAlias(c *connection, own endpoint, opener Side) bool {
	if opener == WAN {
		key := aliasKey(&c.key, c.alias)
		return put(n.controls, &key, own)
	}
	for try := 0; ; try++ {
		port, ok := n.Port(own.port, try)
		if !ok {
			return false
		}
		c.alias.port = port
		key := aliasKey(&c.key, c.alias)
		if port != serverPort && put(n.controls, &key, own) {
			return true
		}
	}
}

// needsAlias reports whether a segment of no connection could only pass with
// another address than it has. The end on the LAN that it is of is seen as seen by the WAN.
func (n *aliases) needsAlias(k *flow.Key, seen endpoint, from Side) bool {
	if !n.translatable(k.Src, k.Zone) {
		return false
	}
	if from == WAN {
		return seen != endpoint{k.Src, k.SrcID}
	}
	_, masquerades := n.Source(k.Src)
	return masquerades
}

// leaveAlias takes back what admitAlias entered.
func (n *aliases) leaveAlias(c *connection) {
	if n == nil || !c.translated() {
		return
	}
	key := aliasKey(&c.key, c.alias)
	if own, ok := n.own(&key); ok && own == (endpoint{c.key.Src, c.key.SrcID}) {
		drop(n.controls, &key)
	}
}

// yieldAlias leaves the alias of a connection that has closed to the forward of
// its address, if that leads elsewhere by now.
func (n *aliases) yieldAlias(c *connection) {
	if n == nil || c.alias.port != serverPort {
		return
	}
	if server, ok := n.Server(c.alias.addr, c.key.Dst); ok && server != c.key.Src {
		n.leaveAlias(c)
	}
}
