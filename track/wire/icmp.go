package wire

import "encoding/binary"

// icmpHeaderLength is what stands before the packet that an ICMP error quotes
// (RFC 792, RFC 4443).
const icmpHeaderLength = 8

// Quote is what an ICMP error says about the packet that it quotes.
type Quote struct {
	Proto            uint8
	SrcPort, DstPort uint16 // of TCP
}

// Quoted returns the quote of an ICMP error message. It reports false if p,
// of Kind ICMP, is no error or quotes too little. The ports are 0 if they are
// not in the quote.
func Quoted(frame []byte, p *Packet) (q Quote, ok bool) {
	body := frame[p.L4:p.End]
	if !isICMPError(p) || len(body) < icmpHeaderLength {
		return q, false
	}
	q.Proto, body, ok = quotedTransport(p.Version, body[icmpHeaderLength:])
	if q.Proto == ProtocolTCP && len(body) >= 4 {
		q.SrcPort = binary.BigEndian.Uint16(body[0:2])
		q.DstPort = binary.BigEndian.Uint16(body[2:4])
	}
	return q, ok
}

// quotedTransport returns the protocol that a quoted packet carries and what of
// it is there: nothing if the packet is a later fragment. The quote ends where
// the router stopped, so that its lengths tell nothing.
func quotedTransport(version uint8, packet []byte) (proto uint8, rest []byte, ok bool) {
	switch {
	case version == 4 && len(packet) >= ipv4MinLength && packet[0]>>4 == 4 && packet[0]&0xf >= 5:
		header := min(int(packet[0]&0xf)*4, len(packet))
		if binary.BigEndian.Uint16(packet[6:8])&0x1fff != 0 {
			header = len(packet)
		}
		return packet[9], packet[header:], true
	case version == 6 && len(packet) >= ipv6Length && packet[0]>>4 == 6:
		proto, rest = quotedExtensions(packet[6], packet[ipv6Length:])
		return proto, rest, true
	}
	return 0, nil, false
}

func quotedExtensions(proto uint8, rest []byte) (uint8, []byte) {
	for {
		length := extensionLength(proto, rest)
		switch {
		case length == 0:
			return proto, rest
		case length > len(rest):
			return proto, nil
		case proto == ipv6Fragment && binary.BigEndian.Uint16(rest[2:4])&0xfff8 != 0:
			return rest[0], nil
		}
		proto, rest = rest[0], rest[length:]
	}
}

// isICMPError tells errors from queries: types 3, 4, 5, 11 and 12 of ICMPv4
// (RFC 792), those below 128 of ICMPv6 (RFC 4443, section 2.1).
func isICMPError(p *Packet) bool {
	if p.Version == 6 {
		return p.ICMPType < 128
	}
	switch p.ICMPType {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// IsNeighbourDiscovery reports whether an ICMPv6 message belongs to neighbour
// discovery (RFC 4861, section 4).
func (p *Packet) IsNeighbourDiscovery() bool {
	return p.Kind == ICMP && p.Version == 6 && p.ICMPType >= 133 && p.ICMPType <= 137
}
