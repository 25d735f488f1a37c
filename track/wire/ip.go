package wire

import "encoding/binary"

const (
	ipv4MinLength = 20
	ipv6Length    = 40

	ipv4FragmentMask = 0x3fff // offset and More Fragments
)

// The IPv6 extension headers that stand before the transport header
// (RFC 8200, section 4; RFC 4302; RFC 6275; RFC 7401; RFC 5533). IPv4 has the
// Authentication Header of them.
const (
	ipv6HopByHop    = 0
	ipv6Routing     = 43
	ipv6Fragment    = 44
	protocolAH      = 51
	ipv6Destination = 60
	ipv6Mobility    = 135
	ipv6HIP         = 139
	ipv6Shim6       = 140
)

// ipv4 decodes an IPv4 header (RFC 791, section 3.1) and what it carries.
// frame ends where the layer below ends.
func (p *Packet) ipv4(frame []byte, l3 int) {
	packet := frame[l3:]
	if len(packet) < 10 {
		return
	}
	p.Proto = packet[9]
	if p.Proto == ProtocolGRE {
		p.Kind = MalformedGRE // until shown otherwise
	}
	if len(packet) < ipv4MinLength || packet[0]>>4 != 4 {
		return
	}
	header := int(packet[0]&0xf) * 4
	total := p.ipv4Total(packet)
	if header < ipv4MinLength || total < header || len(packet) < total {
		return
	}
	p.Version = 4
	p.Src, p.Dst = addr4(packet[12:16]), addr4(packet[16:20])
	p.span(l3, header, total)
	fragment := binary.BigEndian.Uint16(packet[6:8])
	if fragment&ipv4FragmentMask != 0 {
		p.fragment(fragment<<3, fragment&0x2000 != 0, uint32(binary.BigEndian.Uint16(packet[4:6])))
	}
	if p.Proto != protocolAH || p.extensions(frame) {
		p.transport(frame)
	}
}

// ipv4Total returns the length of an IPv4 packet.
func (p *Packet) ipv4Total(packet []byte) int {
	if total := int(binary.BigEndian.Uint16(packet[2:4])); total != 0 || !p.isSuper(packet) {
		return total
	}
	return len(packet)
}

// isSuper tells a packet that an IP length of 0 says nothing about: Linux takes
// all that is there (iph_totlen). One of more than 64 KiB has no room for its
// length (BIG TCP).
func (p *Packet) isSuper(packet []byte) bool { return p.Super || len(packet) > 0xffff }

// ipv6 decodes an IPv6 header, the extension headers (RFC 8200) and what they
// carry.
func (p *Packet) ipv6(frame []byte, l3 int) {
	packet := frame[l3:]
	if len(packet) < 7 {
		return
	}
	p.Proto = packet[6]
	if p.Proto == ProtocolGRE {
		p.Kind = MalformedGRE // until shown otherwise
	}
	if len(packet) < ipv6Length || packet[0]>>4 != 6 {
		return
	}
	total := p.ipv6Total(packet)
	if len(packet) < total {
		return
	}
	p.Version = 6
	p.Src, p.Dst = addr6(packet[8:24]), addr6(packet[24:40])
	p.span(l3, ipv6Length, total)
	if p.extensions(frame) {
		p.transport(frame)
	}
	if p.Src.isMapped() || p.Dst.isMapped() {
		p.distrust() // never on a wire (RFC 4291, section 2.5.5.2), and an Addr of IPv4 here
	}
}

// ipv6Total returns the length of an IPv6 packet. If its header says 0, and
// Hop-by-Hop Options follow, Linux takes all that is there (ip6_rcv_core), with
// or without the Jumbo Payload option that RFC 2675 requires.
func (p *Packet) ipv6Total(packet []byte) int {
	payload := int(binary.BigEndian.Uint16(packet[4:6]))
	if payload == 0 && (packet[6] == ipv6HopByHop || p.isSuper(packet)) {
		return len(packet)
	}
	return ipv6Length + payload
}

// extensions moves p.L4 and p.Proto past the extension headers and
// reports whether a transport header follows. A chain that is cut is no IP
// that anybody could use, but a first fragment that ends inside the chain
// hides its protocol. So does one with a second Fragment header: what that one
// says is of a datagram inside the datagram.
func (p *Packet) extensions(frame []byte) bool {
	for fragmented := false; ; {
		if p.Fragment && p.FragmentOffset != 0 {
			return true // what follows is the middle of something
		}
		rest := frame[p.L4:p.End]
		length := extensionLength(p.Proto, rest)
		if length == 0 || p.Version == 4 && p.Proto != protocolAH {
			return true
		}
		if length > len(rest) || fragmented && p.Proto == ipv6Fragment {
			p.Kind = OtherIP
			if p.Fragment || length <= len(rest) {
				p.Kind = MalformedGRE
			}
			return false
		}
		header := p.Proto
		p.Proto = rest[0]
		p.L4 += uint32(length)
		if header == ipv6Fragment {
			fragmented = true
			p.fragmentHeader(rest)
		}
	}
}

// fragmentHeader decodes an IPv6 Fragment header (RFC 8200, section 4.5), which
// ends at p.L4. An atomic fragment is a whole packet (RFC 6946).
func (p *Packet) fragmentHeader(b []byte) {
	if word := binary.BigEndian.Uint16(b[2:4]); word&0xfff9 != 0 {
		p.fragment(word&0xfff8, word&1 != 0, binary.BigEndian.Uint32(b[4:8]))
		p.FragmentData = p.L4
	}
}

// extensionLength returns the length of the extension header of type proto at
// the start of b: 0 if proto is none, more than len(b) if it is cut.
func extensionLength(proto uint8, b []byte) int {
	switch proto {
	case ipv6HopByHop, ipv6Routing, ipv6Fragment, protocolAH, ipv6Destination, ipv6Mobility, ipv6HIP, ipv6Shim6:
	default:
		return 0
	}
	switch {
	case len(b) < 8:
		return len(b) + 1
	case proto == ipv6Fragment:
		return 8
	case proto == protocolAH:
		return (int(b[1]) + 2) * 4 // RFC 4302, section 2.2
	}
	return (int(b[1]) + 1) * 8
}

// span sets the offsets of an IP packet at l3 with the given lengths.
func (p *Packet) span(l3, header, total int) {
	p.L3, p.L4, p.End = uint32(l3), uint32(l3+header), uint32(l3+total)
	p.FragmentData = p.L4
	p.IPLength = uint32(total)
}

func (p *Packet) fragment(offset uint16, more bool, id uint32) {
	p.Fragment, p.FragmentOffset, p.MoreFragments, p.FragmentID = true, offset, more, id
	p.FragmentProto = p.Proto
}

// IsExtension reports whether proto is a header, in IP of that version, that a
// transport header may follow.
func IsExtension(version, proto uint8) bool {
	return proto == protocolAH || version == 6 && extensionLength(proto, nil) != 0
}
