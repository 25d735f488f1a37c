package nat

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/nat/callid"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Options configures a Translator. All addresses are IPv4.
type Options struct {
	// CallID makes call IDs unique for each peer on the WAN, whatever address
	// they are used with, and leads GRE to the owner of its call ID. It does not
	// go together with an Address.
	CallID bool
	// Address is what connections that the LAN opens leave with; the zero Addr
	// if they keep their own.
	Address netip.Addr
	// FirstPort and LastPort are the range of TCP ports to choose from for those
	// that cannot keep their own.
	FirstPort, LastPort uint16
	Forwards            []Forward
	// CallIDs is how many call IDs there are at most, in use or at rest.
	CallIDs int
	// Pause is how long a call ID rests; 0 means DefaultPause.
	Pause time.Duration
	// Seed must not be guessable by those who send frames.
	Seed uint64
	// Neighbour returns the MAC address of a host on the LAN, if it is known;
	// nil if nobody knows any.
	Neighbour func(wire.Zone, netip.Addr) (mac [6]byte, ok bool)
}

// Forward leads connections from the WAN for an address to a server on the LAN.
type Forward struct{ Address, To netip.Addr }

// DefaultPause is how long a call ID rests before another call gets it: longer
// than any GRE packet is on its way, and than peers take to notice that a call
// has ended.
const DefaultPause = 30 * time.Second

// Translator gives names and puts them into frames. It is safe for concurrent
// use.
type Translator struct {
	options Options
	source  wire.Addr
	owned   map[wire.Addr]struct{}
	servers map[wire.Addr][]wire.Addr
	// forwarded is by which address the WAN reaches a server.
	forwarded map[wire.Addr]wire.Addr
	ids       *callid.Pools
	salt      atomic.Uint32
	nics      [flow.Sides]atomic.Uint64 // their MAC addresses
}

var _ track.Translation = (*Translator)(nil)

// New returns a Translator, or nil if o translates nothing.
func New(o Options) *Translator {
	if !o.CallID && !o.Address.IsValid() && len(o.Forwards) == 0 {
		return nil
	}
	if o.Pause == 0 {
		o.Pause = DefaultPause
	}
	t := &Translator{
		options: o, owned: make(map[wire.Addr]struct{}), servers: make(map[wire.Addr][]wire.Addr),
		forwarded: make(map[wire.Addr]wire.Addr),
		ids:       callid.New(o.CallIDs, o.Pause, o.Seed),
	}
	if o.Address.IsValid() {
		t.source = wire.AddrFrom(o.Address)
		t.owned[t.source] = struct{}{}
	}
	for _, f := range o.Forwards {
		address := wire.AddrFrom(f.Address)
		t.owned[address] = struct{}{}
		t.servers[address] = append(t.servers[address], wire.AddrFrom(f.To))
		t.forwarded[wire.AddrFrom(f.To)] = address
	}
	return t
}

// SetNIC tells the MAC address of a side's NIC. Translated frames leave with the
// WAN NIC's; as long as it is not known they keep theirs.
func (t *Translator) SetNIC(side track.Side, mac [6]byte) { t.nics[side].Store(number(mac)) }

// IsNIC implements track.Translation.
func (t *Translator) IsNIC(side track.Side, mac uint64) bool {
	return mac != 0 && t.nics[side].Load() == mac
}

func number(mac [6]byte) (n uint64) {
	for _, octet := range mac {
		n = n<<8 | uint64(octet)
	}
	return n
}

// CallIDs returns how many call IDs are in use or at rest, and how many may be.
func (t *Translator) CallIDs() (used, limit int) { return t.ids.Used(), t.ids.Limit() }

// Tick gives call IDs whose rest is over back, a share at a time.
func (t *Translator) Tick(now track.Time) { t.ids.Tick(now) }

// Due is when Tick has something to do, at the earliest.
func (t *Translator) Due() track.Time { return t.ids.Due() }

// Owns implements track.Translation.
func (t *Translator) Owns(addr wire.Addr) bool {
	_, ok := t.owned[addr]
	return ok
}

// Source implements track.Translation. A server is the same host to a peer, by
// whichever side it calls: the IDs that the peer assigns are unique between two
// addresses (RFC 2637, section 3.2.1), and two would make one ID two of its calls.
func (t *Translator) Source(host wire.Addr) (wire.Addr, bool) {
	if address, ok := t.forwarded[host]; ok {
		return address, true
	}
	return t.source, t.source != wire.Addr{}
}

// maxPortTries is how many ports are tried for a connection. Even of a range of
// which a hundredth is free it finds one, nearly always.
const maxPortTries = 256

// Port implements track.Translation: the connection's own port first, then one
// after the other from somewhere in the range on.
func (t *Translator) Port(own uint16, n int) (uint16, bool) {
	size := uint32(t.options.LastPort) - uint32(t.options.FirstPort) + 1
	switch {
	case n == 0:
		return own, true
	case n > maxPortTries || n > int(size):
		return 0, false
	case n == 1:
		t.salt.Add(0x9e3779b9)
	}
	at := (uint64(t.salt.Load())*uint64(size))>>32 + uint64(n)
	return t.options.FirstPort + uint16(at%uint64(size)), true
}

// Server implements track.Translation: of several servers a client always gets
// the same.
func (t *Translator) Server(addr, client wire.Addr) (wire.Addr, bool) {
	servers := t.servers[addr]
	if len(servers) == 0 {
		return wire.Addr{}, false
	}
	spread := uint64(client.V4()) * 0x9e3779b97f4a7c15 >> 32
	return servers[spread*uint64(len(servers))>>32], true
}

// ByCallID implements track.Translation.
func (t *Translator) ByCallID() bool { return t.options.CallID }

// MAC implements track.Translation.
func (t *Translator) MAC(zone wire.Zone, addr wire.Addr) (uint64, bool) {
	if t.options.Neighbour == nil {
		return 0, false
	}
	mac, ok := t.options.Neighbour(zone, addr.Netip())
	return number(mac), ok
}

// TakeID implements track.Translation.
func (t *Translator) TakeID(pool track.IDPool, want uint16, now track.Time) (uint16, bool) {
	return t.ids.Take(callid.Pair(pool), want, now)
}

// ClaimID implements track.Translation.
func (t *Translator) ClaimID(pool track.IDPool, id uint16) bool {
	return t.ids.Claim(callid.Pair(pool), id)
}

// PutID implements track.Translation.
func (t *Translator) PutID(pool track.IDPool, id uint16, now track.Time) {
	t.ids.Put(callid.Pair(pool), id, now)
}

// FreeID implements track.Translation.
func (t *Translator) FreeID(pool track.IDPool, id uint16) { t.ids.Free(callid.Pair(pool), id) }

// AgreeID implements track.Translation.
func (t *Translator) AgreeID(pool track.IDPool, id uint16) { t.ids.Agree(callid.Pair(pool), id) }

// AsksTooOften implements track.Translation.
func (t *Translator) AsksTooOften(zone wire.Zone, host wire.Addr) bool {
	asked, most := t.ids.AskedBy(zone, host)
	return asked >= most
}

// HeldIDs implements track.Translation.
func (t *Translator) HeldIDs(zone wire.Zone, host wire.Addr) int { return t.ids.UsedBy(zone, host) }
