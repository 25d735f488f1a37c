package tracktest

import (
	"encoding/binary"
	"net/netip"

	"github.com/grewire/grewire/track"
)

// Host is an end that sends and receives IP packets in Ethernet frames.
type Host struct {
	MAC  [6]byte
	Addr netip.Addr
	Side track.Side
	// Tags are the VLAN tags of its frames, the outer one first.
	Tags []Tag
	// PPPoE puts its IP packets into session Session (RFC 2516).
	PPPoE   bool
	Session uint16

	lastID uint16 // identification of the last IP packet
}

// Tag is a VLAN tag.
type Tag struct{ TPID, TCI uint16 }

// Ethertypes and PPP protocol numbers.
const (
	TypeIPv4  = 0x0800
	TypeARP   = 0x0806
	TypeVLAN  = 0x8100
	TypeIPv6  = 0x86dd
	TypePPPoE = 0x8864
	TypeQinQ  = 0x88a8

	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
)

// NewHost returns a host with an untagged port on side.
func NewHost(side track.Side, addr string) *Host {
	h := &Host{Addr: netip.MustParseAddr(addr), Side: side}
	b := h.Addr.As16()
	h.MAC = [6]byte{0x02, byte(side), b[12], b[13], b[14], b[15]}
	return h
}

// Tagged returns a copy of h whose frames have these VLAN tags.
func (h *Host) Tagged(tags ...Tag) *Host {
	c := *h
	c.Tags = tags
	return &c
}

// InSession returns a copy of h that sends in a PPPoE session.
func (h *Host) InSession(session uint16) *Host {
	c := *h
	c.PPPoE, c.Session = true, session
	return &c
}

// Moved returns a copy of h on the other side: one who spoofs its address.
func (h *Host) Moved() *Host {
	c := *h
	c.Side = h.Side.Other()
	return &c
}

// Frame puts an IP packet into a frame for to.
func (h *Host) Frame(to *Host, packet []byte) []byte {
	ether, ppp := uint16(TypeIPv4), uint16(pppIPv4)
	if packet[0]>>4 == 6 {
		ether, ppp = TypeIPv6, pppIPv6
	}
	if !h.PPPoE {
		return h.Ethernet(to.MAC, ether, packet)
	}
	body := []byte{0x11, 0}
	body = binary.BigEndian.AppendUint16(body, h.Session)
	body = binary.BigEndian.AppendUint16(body, uint16(len(packet)+2))
	body = binary.BigEndian.AppendUint16(body, ppp)
	return h.Ethernet(to.MAC, TypePPPoE, append(body, packet...))
}

// minFrame is the length of the shortest Ethernet frame without its check
// sequence.
const minFrame = 60

// Ethernet returns a frame of h with its VLAN tags, padded to the shortest
// that Ethernet allows.
func (h *Host) Ethernet(to [6]byte, ether uint16, payload []byte) []byte {
	frame := append(to[:len(to):len(to)], h.MAC[:]...)
	for _, tag := range h.Tags {
		frame = binary.BigEndian.AppendUint16(frame, tag.TPID)
		frame = binary.BigEndian.AppendUint16(frame, tag.TCI)
	}
	frame = binary.BigEndian.AppendUint16(frame, ether)
	frame = append(frame, payload...)
	for len(frame) < minFrame {
		frame = append(frame, 0)
	}
	return frame
}
