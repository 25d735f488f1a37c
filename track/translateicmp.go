package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// An ICMP error is about a packet that went the other way, and quotes it as it
// was on the side where the error began. The quote is turned back into what its
// sender had sent, who could not know it for his own otherwise.

// quoteKey is the key of a call's GRE towards the WAN, as it looks there.
func (c *identity) quoteKey(k *call) flow.Key {
	role := pptp.PAC
	if k.pns == WAN {
		role = pptp.PNS
	}
	return flow.Key{Kind: flow.QuoteKey, Zone: c.key.Zone, Src: c.alias.addr, Dst: c.key.Dst, DstID: k.outerID(role)}
}

// quoted is who sends GRE that is quoted: an end on the LAN, by its control
// connection. Of several calls that send the same, to one ID of the peer's, it is
// the one agreed last.
type quoted struct {
	call    uint64 // its number; 0 of a connection's own segments
	own     endpoint
	conn    ref // the call's connection
	wanPort uint16
}

func (c *identity) quoted(k *call) quoted {
	return quoted{k.serial.Load(), endpoint{c.key.Src, c.key.SrcID}, c.self, c.key.DstID}
}

// enterQuote makes the call be found by its GRE towards the WAN.
func (t *Tracker) enterQuote(c *identity, k *call) {
	if !c.translated() {
		return
	}
	key := c.quoteKey(k)
	hash := t.nat.quotes.Hash(&key)
	s := t.nat.quotes.Lock(hash)
	defer s.Unlock()
	if q, _ := s.Insert(hash, &key); q != nil {
		*q = c.quoted(k)
	}
}

// leaveQuote takes back what enterQuote entered.
func (t *Tracker) leaveQuote(c *identity, k *call) {
	if !c.translated() {
		return
	}
	key := c.quoteKey(k)
	hash := t.nat.quotes.Hash(&key)
	s := t.nat.quotes.Lock(hash)
	defer s.Unlock()
	if q := s.Find(hash, &key); q != nil && q.call == k.serial.Load() {
		s.Delete(hash, &key)
	}
}

// translateQuote says what of an ICMP error about PPTP changes. One from the WAN
// for the box's own address that is about nothing known drops, like anything
// else there.
func (l *Lane) translateQuote(f *Frame) {
	p := &f.Packet
	q, ok := wire.QuotedIPv4(f.Data, p)
	about := ok && p.Dst == q.Src // an error goes to whom it quotes (RFC 792)
	if about && q.Named && f.Verdict.Passes() && l.t.nat.translatable(p.Src, p.Zone) {
		if l.side == WAN {
			l.quoteFromWAN(f, &q)
		} else {
			l.quoteFromLAN(f, &q)
		}
	}
	if f.Change.What == 0 {
		if !l.stray(f) && about && l.tellsOfHost(p, &q) {
			f.decide(Drop, ReasonNoTranslation)
		}
		return
	}
	f.Change.QuoteL3, f.Change.QuoteL4 = q.L3, q.L4
	f.changed()
}

// tellsOfHost reports whether an error that comes from the LAN quotes PPTP of a
// host there whose address the WAN is not to see, though nothing is known of what
// it quotes: the call has ended, or it is a later fragment.
func (l *Lane) tellsOfHost(p *wire.Packet, q *wire.QuotedPacket) bool {
	n := l.t.nat
	if l.side != LAN || !n.translatable(q.Dst, p.Zone) || !n.hides(q.Dst) {
		return false
	}
	if q.Proto == wire.ProtocolGRE {
		return true
	}
	control := flow.Key{Kind: flow.ControlKey, Zone: p.Zone, Src: q.Dst, Dst: q.Src, SrcID: q.DstPort, DstID: q.SrcPort}
	return q.Named && (q.SrcPort == serverPort || q.DstPort == serverPort) && !l.t.knows(&control)
}

// hides reports whether an end on the LAN may be known by another address.
func (n *aliases) hides(addr wire.Addr) bool {
	_, ok := n.Source(addr)
	return ok
}

// knows reports whether there is such a connection.
func (t *Tracker) knows(control *flow.Key) bool {
	hash := t.controls.Hash(control)
	lock := t.lock(hash)
	defer lock.Unlock()
	return t.find(hash, control) != nil
}

// quoteFromWAN handles an error about a packet that the LAN had sent.
func (l *Lane) quoteFromWAN(f *Frame, q *wire.QuotedPacket) {
	from, ok := l.quotedSender(f, q)
	if !ok {
		return
	}
	change := &f.Change
	change.What, change.Addr = ChangeQuote|ChangeAddr, from.own.addr.V4()
	if q.Proto == wire.ProtocolTCP {
		change.What |= ChangePort
		change.Port = from.own.port
	}
	control := flow.Key{
		Kind: flow.ControlKey, Zone: f.Packet.Zone, Src: from.own.addr, Dst: q.Dst, SrcID: from.own.port, DstID: from.wanPort,
	}
	if mac := l.t.macOf(&control); mac != 0 {
		change.What |= ChangeMAC
		change.MAC = mac
	}
}

// quotedSender returns which end on the LAN had sent a quoted packet.
func (l *Lane) quotedSender(f *Frame, q *wire.QuotedPacket) (from quoted, ok bool) {
	key := flow.Key{Kind: flow.QuoteKey, Zone: f.Packet.Zone, Src: q.Src, Dst: q.Dst, DstID: q.CallID}
	if q.Proto == wire.ProtocolGRE {
		from, ok = get(l.t.nat.quotes, &key)
		return from, ok && !l.t.endings.has(from.conn, from.call)
	}
	key.Kind, key.SrcID, key.DstID = flow.AliasKey, q.SrcPort, q.DstPort
	from.wanPort = q.DstPort
	from.own, ok = l.t.nat.own(&key)
	return from, ok
}

// macOf returns the MAC address of a connection's end on the LAN, 0 if it is not
// known.
func (t *Tracker) macOf(control *flow.Key) uint64 {
	hash := t.controls.Hash(control)
	lock := t.lock(hash)
	defer lock.Unlock()
	if c := t.find(hash, control); c != nil && c.named {
		return t.nat.hosts[c.self-1].mac.Load()
	}
	mac, _ := t.nat.MAC(control.Zone, control.Src)
	return mac
}

// quoteFromLAN handles an error about a packet that the WAN had sent. Whichever
// router on the LAN it comes from, the WAN knows it by the alias.
func (l *Lane) quoteFromLAN(f *Frame, q *wire.QuotedPacket) {
	change := &f.Change
	if q.Proto == wire.ProtocolTCP {
		control := flow.Key{Kind: flow.ControlKey, Zone: f.Packet.Zone, Src: q.Dst, Dst: q.Src, SrcID: q.DstPort, DstID: q.SrcPort}
		if alias, ok := l.t.aliasAt(&control); ok {
			change.What = ChangeQuote | ChangeAddr | ChangePort | ChangeMAC
			change.Addr, change.Port = alias.addr.V4(), alias.port
		}
		return
	}
	for _, alias := range l.t.nat.aliasesOf(q.Dst) {
		key := callNameKey(f.Packet.Zone, q.Dst, alias, q.Src, q.CallID)
		name, ok := get(l.t.nat.names, &key)
		if !ok || !l.t.carriesGRE(f.Packet.Zone, q.Src, alias, name.alias) {
			continue
		}
		change.What, change.CallID = ChangeQuote|ChangeCallID, name.alias
		if alias != q.Dst {
			change.What |= ChangeAddr | ChangeMAC
			change.Addr = alias.V4()
		}
		return
	}
}

// carriesGRE reports whether a call has GRE from a peer on the WAN to an alias
// with this ID. A name may outlive its call for a while.
func (t *Tracker) carriesGRE(zone wire.Zone, peer, alias wire.Addr, id uint16) bool {
	gre := flow.Key{Kind: flow.GREKey, Side: WAN, Zone: zone, Src: peer, Dst: alias, DstID: id}
	if t.nat.ByCallID() {
		gre.Dst = wire.Addr{}
	}
	_, ok := t.entry(&gre)
	return ok
}

// aliasesOf returns by which addresses the WAN may know a host on the LAN: one
// is its own.
func (n *aliases) aliasesOf(host wire.Addr) [2]wire.Addr {
	if addr, ok := n.Source(host); ok {
		return [...]wire.Addr{addr, host}
	}
	return [...]wire.Addr{host, host}
}

// aliasAt returns the alias of a translated connection.
func (t *Tracker) aliasAt(control *flow.Key) (endpoint, bool) {
	hash := t.controls.Hash(control)
	lock := t.lock(hash)
	defer lock.Unlock()
	if c := t.find(hash, control); c != nil && c.translated() {
		return c.alias, true
	}
	return endpoint{}, false
}
