package main

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv4HeaderLength = 20
	icmpHeaderLength = 8
	protocolICMP     = 1
	icmpEchoReply    = 0
	icmpEchoRequest  = 8
	timeToLive       = 64
)

// echo is an ICMP echo request or reply in an IPv4 packet.
type echo struct {
	kind     byte // icmpEchoRequest or icmpEchoReply
	src, dst netip.Addr
	id, seq  uint16
	payload  []byte
}

// parseEcho reads an unfragmented IPv4 packet with good checksums; payload
// points into it.
func parseEcho(packet []byte) (echo, bool) {
	if len(packet) < ipv4HeaderLength || packet[0]>>4 != 4 || packet[9] != protocolICMP {
		return echo{}, false
	}
	header, length := int(packet[0]&0xf)*4, int(binary.BigEndian.Uint16(packet[2:]))
	fragment := binary.BigEndian.Uint16(packet[6:])&0x3fff != 0
	if header < ipv4HeaderLength || length < header+icmpHeaderLength || length > len(packet) || fragment {
		return echo{}, false
	}
	icmp := packet[header:length]
	if checksum(packet[:header]) != 0 || checksum(icmp) != 0 || icmp[0] != icmpEchoRequest && icmp[0] != icmpEchoReply {
		return echo{}, false
	}
	return echo{
		kind: icmp[0],
		src:  netip.AddrFrom4([4]byte(packet[12:16])), dst: netip.AddrFrom4([4]byte(packet[16:20])),
		id: binary.BigEndian.Uint16(icmp[4:]), seq: binary.BigEndian.Uint16(icmp[6:]),
		payload: icmp[icmpHeaderLength:],
	}, true
}

// reply is the answer to a request.
func (e echo) reply() echo {
	e.kind, e.src, e.dst = icmpEchoReply, e.dst, e.src
	return e
}

// packet builds the IPv4 packet (RFC 791, RFC 792).
func (e echo) packet() []byte {
	length := ipv4HeaderLength + icmpHeaderLength + len(e.payload)
	p := make([]byte, ipv4HeaderLength+icmpHeaderLength, length)
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(length))
	binary.BigEndian.PutUint16(p[4:], e.seq)
	p[8], p[9] = timeToLive, protocolICMP
	src, dst := e.src.As4(), e.dst.As4()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[10:], checksum(p[:ipv4HeaderLength]))

	p = append(p, e.payload...)
	icmp := p[ipv4HeaderLength:]
	icmp[0] = e.kind
	binary.BigEndian.PutUint16(icmp[4:], e.id)
	binary.BigEndian.PutUint16(icmp[6:], e.seq)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return p
}

// checksum is the Internet checksum (RFC 1071); over data with a good checksum
// in it, it is 0.
func checksum(data []byte) uint16 {
	var sum uint32
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
