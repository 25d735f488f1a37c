package track

import "github.com/grewire/grewire/track/wire"

// What comes from the WAN for a translated connection goes to the MAC address of
// its LAN host. That is learned from the host's control segments, from GRE of its
// agreed calls and from its ARP, all of which come in by the LAN side: it may
// change when one of two routers takes over from the other. (Only IPv4 is
// translated, so that neighbor discovery says nothing of it.)
//
// Somebody on the LAN who sends frames in a host's name can take what is sent to
// that host, as on any switch: by ARP.

// arpPause is how long a Lane takes no notice of ARP after a frame for which it
// looked at all connections.
const arpPause = Time(10e6)

// learnMAC takes note of the MAC address that a frame of the host comes from. It is
// one comparison for a frame whose address is known.
func (h *lanHost) learnMAC(mac uint64) {
	if h.mac.Load() != mac && isUnicast(mac) {
		h.mac.Store(mac)
	}
}

// isUnicast reports whether a MAC address can be that of one host.
func isUnicast(mac uint64) bool { return mac != 0 && mac>>40&1 == 0 }

// learnARP takes note of the MAC address from which a host on the LAN with
// connections sends ARP.
func (l *Lane) learnARP(f *Frame) {
	p := &f.Packet
	if p.Kind != wire.ARP || l.side != LAN || l.now < l.arpAgain || !l.t.nat.translatable(p.Src, p.Zone) {
		return
	}
	mac := wire.SourceMAC(f.Data)
	if !isUnicast(mac) || l.t.connectionsOf(p.Src, p.Zone) == 0 {
		return
	}
	l.arpAgain = l.now + arpPause
	l.t.nat.setMAC(p.Src.V4(), p.Zone, mac)
}

// setMAC sets the MAC address of a host for all of its connections that have one.
// It holds no lock: a connection that takes over a place meanwhile has no address
// yet, and sets its own after that.
func (n *aliases) setMAC(addr uint32, zone wire.Zone, mac uint64) {
	for i := range n.hosts {
		h := &n.hosts[i]
		had := h.mac.Load()
		if had != 0 && had != mac && h.addr.Load() == addr && n.zones[i].Load() == uint64(zone) {
			h.mac.CompareAndSwap(had, mac)
		}
	}
}
