package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// translateGRE says what of a call's GRE packet changes. The caller holds the
// lock of e, which keeps its connection where it is.
func (l *Lane) translateGRE(f *Frame, e *keyEntry) {
	h := &l.t.nat.hosts[e.conn-1]
	change, p := &f.Change, &f.Packet
	if l.side == LAN {
		if change.Addr = h.alias.Load(); change.Addr != p.Src.V4() {
			change.What = ChangeAddr | ChangeMAC
		}
	} else {
		if change.Addr = h.addr.Load(); change.Addr != p.Dst.V4() {
			change.What = ChangeAddr
			if change.MAC = h.mac.Load(); change.MAC != 0 {
				change.What |= ChangeMAC
			}
		}
		if change.CallID = e.callID; p.Kind == wire.EnhancedGRE && change.CallID != p.CallID {
			change.What |= ChangeCallID // which a later fragment has not
		}
	}
	f.changed()
}

// mirrored is the key that GRE would have which came in by the other side.
func (l *Lane) mirrored(k *flow.Key) flow.Key {
	m := *k
	m.Side = l.side.Other()
	if n := l.t.nat; m.Side == WAN && n != nil && n.ByCallID() && n.translatable(k.Src, k.Zone) {
		m.Dst = wire.Addr{}
	}
	return m
}

// stray drops what the WAN sends to the box itself, what is PPTP that the LAN
// does, and answers to the box's own ARP. It reports whether f is one of these.
func (l *Lane) stray(f *Frame) bool {
	n, p := l.t.nat, &f.Packet
	if n != nil && p.Kind == wire.ARP && n.IsNIC(l.side, wire.DestinationMAC(f.Data)) {
		f.decide(Drop, ReasonNoTranslation)
		return true
	}
	if n == nil || !p.Dst.Is4() || !n.Owns(p.Dst) || p.Zone.InSession() {
		return false
	}
	switch {
	case l.side == WAN:
		f.decide(Drop, ReasonNoTranslation)
	case p.Proto == wire.ProtocolGRE && p.Version != 0:
		f.decide(Drop, ReasonHairpin)
	default:
		return false
	}
	return true
}
