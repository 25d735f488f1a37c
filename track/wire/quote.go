package wire

import "encoding/binary"

// QuotedPacket is an IPv4 packet that an ICMP error quotes, as much of it as a
// translator has to know (RFC 792: its header and at least 8 octets more).
type QuotedPacket struct {
	Src, Dst Addr
	// L3, L4 and End are where its header and what it carries start, and where
	// the quote ends, counted from the start of the frame.
	L3, L4, End uint32
	Proto       uint8
	// SrcPort and DstPort are TCP's, CallID is the key of enhanced GRE. They are
	// valid iff Named is set.
	SrcPort, DstPort uint16
	CallID           uint16
	Named            bool
}

// quoteMinimum is how many octets of a quoted packet behind its header tell the
// ports, or the call ID.
const quoteMinimum = 8

// QuotedIPv4 returns the TCP or enhanced GRE packet that an ICMPv4 error, p of
// Kind ICMP, quotes. It reports false if it quotes none.
func QuotedIPv4(frame []byte, p *Packet) (q QuotedPacket, ok bool) {
	if p.Version != 4 || p.Fragment || !isICMPError(p) || p.End < p.L4+icmpHeaderLength+ipv4MinLength {
		return q, false
	}
	q.L3, q.End = p.L4+icmpHeaderLength, p.End
	packet := frame[q.L3:q.End]
	header := int(packet[0]&0xf) * 4
	if packet[0]>>4 != 4 || header < ipv4MinLength || header > len(packet) {
		return q, false
	}
	q.Proto, q.L4 = packet[9], q.L3+uint32(header)
	q.Src, q.Dst = addr4(packet[12:]), addr4(packet[16:])
	if later := binary.BigEndian.Uint16(packet[6:])&0x1fff != 0; !later {
		q.transport(packet[header:])
	}
	return q, q.Proto == ProtocolTCP || q.Proto == ProtocolGRE
}

func (q *QuotedPacket) transport(b []byte) {
	switch {
	case len(b) < quoteMinimum:
	case q.Proto == ProtocolTCP:
		q.SrcPort, q.DstPort, q.Named = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), true
	case q.Proto == ProtocolGRE && isEnhancedGRE(b):
		q.CallID, q.Named = binary.BigEndian.Uint16(b[6:]), true
	}
}
