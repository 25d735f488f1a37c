package wire

import "encoding/binary"

// Ethertypes, and the PPP protocol numbers that mean the same.
const (
	etherIPv4       = 0x0800
	etherARP        = 0x0806
	etherVLAN       = 0x8100 // IEEE 802.1Q
	etherIPv6       = 0x86dd
	etherMACControl = 0x8808 // IEEE 802.3, annex 31
	etherPPPoE      = 0x8864 // session stage (RFC 2516)
	etherQinQ       = 0x88a8 // IEEE 802.1ad
	etherOldQinQ    = 0x9100 // this and the two below: in use before 802.1ad
	etherOldQinQ2   = 0x9200
	etherOldQinQ3   = 0x9300
	etherMPLS       = 0x8847 // RFC 3032, RFC 5332
	etherMPLS2      = 0x8848
	etherMinimum    = 0x0600 // a smaller value is a length (IEEE 802.3, clause 3.2.6)

	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
)

const (
	ethernetLength = 14
	vlanTagLength  = 4
	snapLength     = 8
	pppoeLength    = 6

	maxTags = 2
)

// Decode fills p with the meaning of frame, which starts at the destination
// MAC address and has its VLAN tags in place.
func Decode(frame []byte, p *Packet) {
	if !p.common(frame) {
		*p = Packet{}
		p.general(frame)
	}
}

// DecodeSuper is Decode for a frame whose sender left its segmentation to
// others. Its IP length may be 0, and then means all of the frame.
func DecodeSuper(frame []byte, p *Packet) {
	*p = Packet{Super: true}
	p.general(frame)
}

// general is Decode for a frame of any shape. p is empty.
func (p *Packet) general(frame []byte) {
	if len(frame) < ethernetLength {
		return
	}
	ether, l3, ok := p.link(frame)
	if !ok {
		return
	}
	if isLinkControl(frame) {
		p.Kind = LinkControl
	}
	p.network(frame, ether, l3)
}

// link reads from the ethertype to where the network layer starts. It reports
// false if a tag is cut, or there is one too many: that is not looked into.
func (p *Packet) link(frame []byte) (ether uint16, l3 int, ok bool) {
	ether, l3 = binary.BigEndian.Uint16(frame[12:14]), ethernetLength
	for tags := 0; ; {
		switch {
		case isVLAN(ether):
			if len(frame) < l3+vlanTagLength {
				return 0, 0, false
			}
			// A tag with VID 0 is none: Linux takes any number of them off.
			if vid := binary.BigEndian.Uint16(frame[l3:]) & vidMask; vid != 0 {
				if tags == maxTags {
					p.Opaque = true
					return 0, 0, false
				}
				tags++
				p.Zone = p.Zone.push(vid)
			}
			ether = binary.BigEndian.Uint16(frame[l3+2:])
			l3 += vlanTagLength
		case ether < etherMinimum && isSNAP(frame[l3:]):
			ether = binary.BigEndian.Uint16(frame[l3+6:])
			l3 += snapLength
		default:
			return ether, l3, true
		}
	}
}

// isSNAP tells the LLC and SNAP headers that an ethertype follows: those of
// RFC 1042 and of IEEE 802.1H. Some hosts read them on Ethernet, too, and a
// wireless access point takes them for its own and so turns what is behind
// them into plain IP. Neither looks at the length before them.
func isSNAP(b []byte) bool {
	return len(b) >= snapLength && binary.BigEndian.Uint32(b) == 0xaaaa0300 &&
		(b[4] == 0 && b[5] == 0 || b[4] == 0 && b[5] == 0xf8)
}

// isLinkControl tells the reserved group addresses 01:80:C2:00:00:0X.
func isLinkControl(frame []byte) bool {
	return binary.BigEndian.Uint32(frame) == 0x0180c200 && frame[4] == 0 && frame[5] < 0x10
}

func isVLAN(ether uint16) bool {
	switch ether {
	case etherVLAN, etherQinQ, etherOldQinQ, etherOldQinQ2, etherOldQinQ3:
		return true
	}
	return false
}

// network decodes from the first octet behind the last ethertype on.
func (p *Packet) network(frame []byte, ether uint16, l3 int) {
	switch ether {
	case etherIPv4:
		p.ipv4(frame, l3)
	case etherIPv6:
		p.ipv6(frame, l3)
	case etherPPPoE:
		p.pppoe(frame, l3)
	case etherARP:
		p.arp(frame, l3)
	case etherMACControl:
		if isPause(frame[l3:]) {
			p.Kind = Pause
		}
	case etherMPLS, etherMPLS2:
		p.mpls(frame, l3)
	default:
		p.Opaque = isOpaqueEther(ether)
	}
}

// arpLength is the length of an ARP packet that maps Ethernet to IPv4
// addresses, and arpEthernetIPv4 what says that it does (RFC 826).
const (
	arpLength       = 28
	arpEthernetIPv4 = 1<<48 | etherIPv4<<32 | 6<<24 | 4<<16
)

func (p *Packet) arp(frame []byte, l3 int) {
	p.Kind = ARP
	if len(frame) < l3+arpLength || binary.BigEndian.Uint64(frame[l3:])&^0xffff != arpEthernetIPv4 {
		return
	}
	p.Src, p.Dst = addr4(frame[l3+14:]), addr4(frame[l3+24:])
}

// isPause tells the opcodes of MAC control that stop a link: PAUSE and
// priority-based flow control (IEEE 802.3, annexes 31B and 31D).
func isPause(control []byte) bool {
	return len(control) >= 2 && (control[0] == 0 || control[0] == 1) && control[1] == 1
}

// pppoe decodes a PPPoE session frame. Its version, type and code are not
// looked at, since Linux does not either (pppoe_rcv).
func (p *Packet) pppoe(frame []byte, at int) {
	body := at + pppoeLength
	if len(frame) < body {
		return
	}
	end := body + int(binary.BigEndian.Uint16(frame[at+4:]))
	lies := end > len(frame)
	p.Zone = p.Zone.session(binary.BigEndian.Uint16(frame[at+2:]))
	if !lies {
		frame = frame[:end]
	}
	switch protocol, l3 := pppProtocol(frame, body); protocol {
	case pppIPv4:
		p.ipv4(frame, l3)
	case pppIPv6:
		p.ipv6(frame, l3)
	default:
		p.Opaque = isOpaquePPP(protocol)
	}
	if lies {
		p.distrust()
	}
}

// pppProtocol returns the PPP protocol number at the given offset, 0 if it is
// cut, and where its data starts. The number may be compressed to one octet
// (RFC 1661, section 6.5). Address and Control do not belong in PPPoE (RFC
// 2516, section 7), but some receivers take them off.
func pppProtocol(frame []byte, at int) (protocol uint16, data int) {
	rest := frame[at:]
	if len(rest) >= 2 && rest[0] == 0xff && rest[1] == 0x03 {
		rest, at = rest[2:], at+2
	}
	switch {
	case len(rest) >= 1 && rest[0]&1 != 0:
		return uint16(rest[0]), at + 1
	case len(rest) >= 2:
		return binary.BigEndian.Uint16(rest), at + 2
	}
	return 0, at
}

// distrust takes back the meaning of an IP packet because what is around it
// lies: no endpoint should take it, so nothing may be learnt from it, and no
// GRE may pass in it.
func (p *Packet) distrust() {
	switch {
	case p.Proto == ProtocolGRE || p.Kind == MalformedGRE:
		p.Kind = MalformedGRE
	case p.Version != 0:
		p.Kind = OtherIP
	}
}

// transport decodes what IP carries, from p.L4 to p.End.
func (p *Packet) transport(frame []byte) {
	p.Kind = OtherIP
	if p.Fragment && p.FragmentOffset != 0 {
		p.Kind, p.Opaque = LaterFragment, isTunnel(p.Proto)
		return
	}
	data := frame[p.L4:p.End]
	switch p.Proto {
	case ProtocolTCP:
		p.tcp(data)
	case ProtocolGRE:
		p.gre(data)
	case ProtocolICMP, ProtocolICMPv6:
		if ofOwnFamily := (p.Proto == ProtocolICMP) == (p.Version == 4); ofOwnFamily && len(data) > 0 {
			p.Kind, p.ICMPType = ICMP, data[0]
		}
	default:
		p.Opaque = isTunnel(p.Proto)
	}
}

const (
	tcpMinLength   = 20
	tcpPortsLength = 4
)

// tcp decodes a TCP header (RFC 9293, section 3.1). One that lies about its
// own length is no TCP. Of one that is cut, only the ports are read.
func (p *Packet) tcp(data []byte) {
	if len(data) < tcpPortsLength {
		return
	}
	p.SrcPort = binary.BigEndian.Uint16(data[0:2])
	p.DstPort = binary.BigEndian.Uint16(data[2:4])
	if len(data) < tcpMinLength {
		return
	}
	header := int(data[12]>>4) * 4
	if header < tcpMinLength || header > len(data) {
		return
	}
	p.Kind = TCP
	p.Seq = binary.BigEndian.Uint32(data[4:8])
	p.Ack = binary.BigEndian.Uint32(data[8:12])
	p.Flags = data[13]
	p.Window = binary.BigEndian.Uint16(data[14:16])
	p.Payload = p.L4 + uint32(header)
}
