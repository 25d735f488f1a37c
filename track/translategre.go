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
		h.learnMAC(wire.SourceMAC(f.Data))
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
// does, or that it sends in the box's name, and answers to the box's own ARP. It
// reports whether f is one of these.
func (l *Lane) stray(f *Frame) bool {
	n, p := l.t.nat, &f.Packet
	switch {
	case n == nil:
		return false
	case p.Kind == wire.ARP && n.IsNIC(l.side, wire.DestinationMAC(f.Data)), l.fromBox(p), l.side == WAN && l.toBox(p):
		f.decide(Drop, ReasonNoTranslation)
	case p.Proto == wire.ProtocolGRE && p.Version != 0 && l.toBox(p):
		f.decide(Drop, ReasonHairpin)
	default:
		return false
	}
	return true
}

// toBox reports whether a packet is addressed to the box itself.
func (l *Lane) toBox(p *wire.Packet) bool { return l.t.nat.isBox(p.Dst, p.Zone) }

// fromBox reports whether it is GRE that a host on the LAN sends as if it were
// the box.
func (l *Lane) fromBox(p *wire.Packet) bool {
	return l.side == LAN && p.Version != 0 && p.Proto == wire.ProtocolGRE && l.t.nat.isBox(p.Src, p.Zone)
}

// isBox reports whether an address is the box's, for those outside of PPPoE.
func (n *aliases) isBox(addr wire.Addr, zone wire.Zone) bool {
	return n.translatable(addr, zone) && n.Owns(addr)
}
