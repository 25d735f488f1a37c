package wire

import "encoding/binary"

// TCP options (RFC 9293, section 3.1; RFC 7323, section 2).
const (
	tcpOptionEnd    = 0
	tcpOptionNop    = 1
	tcpOptionWScale = 3

	maxWindowScale = 14
)

// WindowScale returns the shift that a TCP segment offers and whether it
// offers one. p is what Decode made of frame, of Kind TCP.
func WindowScale(frame []byte, p *Packet) (shift uint8, ok bool) {
	options := frame[p.L4+tcpMinLength : p.Payload]
	for len(options) >= 2 {
		kind, length := options[0], int(options[1])
		switch {
		case kind == tcpOptionEnd:
			return 0, false
		case kind == tcpOptionNop:
			options = options[1:]
			continue
		case length < 2 || length > len(options):
			return 0, false
		case kind == tcpOptionWScale && length == 3:
			return min(options[2], maxWindowScale), true
		}
		options = options[length:]
	}
	return 0, false
}

// TCPChecksumOK reports whether the checksum of a whole TCP segment is right
// (RFC 9293, section 3.1; the pseudo-header of RFC 8200, section 8.1 sums to
// the same for IPv4). p is what Decode made of frame, of Kind TCP and no
// Fragment.
func TCPChecksumOK(frame []byte, p *Packet) bool {
	segment := frame[p.L4:p.End]
	sum := uint64(ProtocolTCP) + uint64(len(segment))
	sum += sumWords(p.Src[:]) + sumWords(p.Dst[:])
	if p.Version == 4 {
		sum -= 2 * 0xffff // of the two IPv4-mapped prefixes
	}
	sum += sumWords(segment)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum == 0xffff
}

// sumWords adds up the 16-bit words of b, the last one padded.
func sumWords(b []byte) (sum uint64) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// icmpHeaderLength is what stands before the packet that an ICMP error quotes
// (RFC 792, RFC 4443).
const icmpHeaderLength = 8

// Quote is what an ICMP error says about the packet that it quotes.
type Quote struct {
	Proto            uint8
	SrcPort, DstPort uint16 // of TCP
}

// Quoted returns the quote of an ICMP error message. It reports false if p,
// of Kind ICMP, is no error or quotes too little.
func Quoted(frame []byte, p *Packet) (q Quote, ok bool) {
	body := frame[p.L4:p.End]
	if !isICMPError(p) || len(body) < icmpHeaderLength {
		return q, false
	}
	packet := body[icmpHeaderLength:]
	header := 0
	switch {
	case p.Version == 4 && len(packet) >= ipv4MinLength:
		q.Proto, header = packet[9], int(packet[0]&0xf)*4
	case p.Version == 6 && len(packet) >= ipv6Length:
		q.Proto, header = packet[6], ipv6Length
	default:
		return q, false
	}
	if len(packet) >= header+4 && q.Proto == ProtocolTCP {
		q.SrcPort = binary.BigEndian.Uint16(packet[header:])
		q.DstPort = binary.BigEndian.Uint16(packet[header+2:])
	}
	return q, true
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
