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
	etherOldQinQ    = 0x9100 // in use before 802.1ad

	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
)

const (
	ethernetLength = 14
	vlanTagLength  = 4
	pppoeLength    = 6
)

// Decode fills p with the meaning of frame, which starts at the destination
// MAC address and has its VLAN tags in place.
func Decode(frame []byte, p *Packet) {
	*p = Packet{}
	if len(frame) < ethernetLength {
		return
	}
	ether := binary.BigEndian.Uint16(frame[12:14])
	if isLinkControl(frame) {
		p.Kind = LinkControl
	}
	l3 := ethernetLength
	for tags := 0; isVLAN(ether); tags++ {
		if tags == 2 || len(frame) < l3+vlanTagLength {
			return // a third tag is not looked into
		}
		p.Zone = p.Zone.push(binary.BigEndian.Uint16(frame[l3:]))
		ether = binary.BigEndian.Uint16(frame[l3+2:])
		l3 += vlanTagLength
	}
	p.network(frame, ether, l3)
}

// isLinkControl tells the reserved group addresses 01:80:C2:00:00:0X.
func isLinkControl(frame []byte) bool {
	return binary.BigEndian.Uint32(frame) == 0x0180c200 && frame[4] == 0 && frame[5] < 0x10
}

func isVLAN(ether uint16) bool {
	return ether == etherVLAN || ether == etherQinQ || ether == etherOldQinQ
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
		p.Kind = ARP
	case etherMACControl:
		p.Kind = Pause
	}
}

// pppoe decodes a PPPoE session frame: IP behind a PPP protocol number, which
// may be compressed to one octet (RFC 1661, section 6.5).
func (p *Packet) pppoe(frame []byte, at int) {
	if len(frame) < at+pppoeLength+2 || frame[at] != 0x11 || frame[at+1] != 0 {
		return
	}
	length := int(binary.BigEndian.Uint16(frame[at+4:]))
	body := at + pppoeLength
	if length < 2 || len(frame) < body+length {
		return
	}
	p.Zone = p.Zone.session(binary.BigEndian.Uint16(frame[at+2:]))
	frame = frame[:body+length]
	protocol, l3 := uint16(frame[body]), body+1
	if protocol&1 == 0 {
		protocol, l3 = binary.BigEndian.Uint16(frame[body:]), body+2
	}
	switch protocol {
	case pppIPv4:
		p.ipv4(frame, l3)
	case pppIPv6:
		p.ipv6(frame, l3)
	}
}

// transport decodes what IP carries, from p.L4 to p.End.
func (p *Packet) transport(frame []byte) {
	p.Kind = OtherIP
	if p.Fragment && p.FragmentOffset != 0 {
		p.Kind = LaterFragment
		return
	}
	data := frame[p.L4:p.End]
	switch p.Proto {
	case ProtocolTCP:
		p.tcp(data)
	case ProtocolGRE:
		p.gre(data)
	case ProtocolICMP, ProtocolICMPv6:
		if len(data) > 0 {
			p.Kind, p.ICMPType = ICMP, data[0]
		}
	}
}

const tcpMinLength = 20

// tcp decodes a TCP header (RFC 9293, section 3.1). One that lies about its
// own length is no TCP.
func (p *Packet) tcp(data []byte) {
	if len(data) < tcpMinLength {
		return
	}
	header := int(data[12]>>4) * 4
	if header < tcpMinLength || header > len(data) {
		return
	}
	p.Kind = TCP
	p.SrcPort = binary.BigEndian.Uint16(data[0:2])
	p.DstPort = binary.BigEndian.Uint16(data[2:4])
	p.Seq = binary.BigEndian.Uint32(data[4:8])
	p.Ack = binary.BigEndian.Uint32(data[8:12])
	p.Flags = data[13]
	p.Window = binary.BigEndian.Uint16(data[14:16])
	p.Payload = p.L4 + uint32(header)
}
