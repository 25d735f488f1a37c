package wire_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/grewire/grewire/track/wire"
)

func opaque(p wire.Packet) wire.Packet {
	p.Opaque = true
	return p
}

// label is a label stack entry in front of what it announces.
func label(bottom int, body []byte) []byte {
	return cat([]byte{0, 1, 0x10 | byte(bottom), 64}, body)
}

func mpls(body []byte) []byte { return eth(cat(octets("8847"), body)) }

// sound is an IPv4 packet whose header checksum is right.
func sound(packet []byte) []byte {
	packet = set(packet, 10, "0000")
	var sum uint32
	for i := 0; i < int(packet[0]&0xf)*4; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(packet[i:]))
	}
	sum = sum&0xffff + sum>>16
	return set(packet, 10, fmt.Sprintf("%04x", ^uint16(sum+sum>>16)))
}

// labels is a stack of n labels in front of a packet.
func labels(n int, packet []byte) []byte {
	packet = label(1, packet)
	for range n - 1 {
		packet = label(0, packet)
	}
	return packet
}

func mplsRows() []row {
	gre, none := sound(ip4(47, "", data)), opaque(other)
	six := withSeq(withGRE(packet6(0, 47, 18, 40, 56), 12, 0))
	return []row{
		{"MPLS, IPv4", mpls(labels(1, gre)), "", greFrame(18)},
		{"MPLS multicast", eth(cat(octets("8848"), labels(1, gre))), "", greFrame(18)},
		{"MPLS in a tag", eth(tag(0x8100, 100, cat(octets("8847"), labels(1, gre)))), "100", greFrame(22)},
		{"MPLS, padding", cat(mpls(labels(1, gre)), make([]byte, 7)), "", greFrame(18)},
		{"MPLS, eight labels", mpls(labels(8, gre)), "", greFrame(46)},
		{"MPLS, nine labels", mpls(labels(9, gre)), "", none},
		{"MPLS, IPv6", mpls(labels(1, ip6(47, data))), "", six},
		{"MPLS, IPv4 with a wrong checksum", mpls(labels(1, ip4(47, "", data))), "", none},
		{"MPLS, IPv4 that lies", mpls(labels(1, sound(set(gre, 2, "0025")))), "", none},
		{"MPLS, IPv4 header cut", mpls(labels(1, gre[:19])), "", none},
		{"MPLS, IHL 4", mpls(labels(1, set(gre, 0, "44"))), "", none},
		{"MPLS, IPv6 that lies", mpls(labels(1, set(ip6(47, data), 4, "0011"))), "", none},
		{"MPLS, control word", mpls(labels(1, cat(octets("00000000"), eth(ether4(gre))))), "", none},
		{"MPLS, label and no more", mpls(labels(1, nil)), "", other},
		{"MPLS, label cut", mpls(octets("000111")), "", other},
		{"MPLS to a link-local group", cat(octets("0180c200000e 020000000001 8847"), labels(1, []byte{0})), "", opaque(wire.Packet{Kind: wire.LinkControl})},
	}
}

// authenticated4 is an IPv4 packet with an Authentication Header.
func authenticated4(next int, payload []byte) []byte {
	return ip4(51, "", authentication(next, payload))
}

func authenticationRows() []row {
	gre := withSeq(withGRE(packet4(0, 47, 14, 32, 48), 12, 0))
	gre.FragmentData = 34
	tcpIn := withTCP(packet4(0, 6, 14, 32, 53), 20)
	tcpIn.FragmentData = 34
	first := withFragment(gre, 0, true)
	twice := withSeq(withGRE(packet4(0, 47, 14, 44, 60), 12, 0))
	twice.FragmentData = 34
	at := func(p wire.Packet) wire.Packet { p.FragmentData = 34; return p }
	fragment := func(offset int, more bool, payload []byte) []byte {
		return eth(ether4(fragment4(51, offset, more, payload)))
	}
	return []row{
		{"AH, GRE", eth(ether4(authenticated4(47, data))), "", gre},
		{"AH, TCP", eth(ether4(authenticated4(6, tcp("", "x")))), "", tcpIn},
		{"AH twice, GRE", eth(ether4(ip4(51, "", authentication(51, authentication(47, data))))), "", twice},
		{"AH, IPv4 inside", eth(ether4(authenticated4(4, ip4(47, "", data)))), "", opaque(at(packet4(wire.OtherIP, 4, 14, 32, 68)))},
		{"AH, no IPv6 extension", eth(ether4(authenticated4(60, extension(47, 0, data)))), "", at(packet4(wire.OtherIP, 60, 14, 32, 56))},
		{"AH cut", eth(ether4(authenticated4(47, nil)[:31])), "", wire.Packet{Proto: 51}},
		{"AH longer than the packet", eth(ether4(set(authenticated4(47, data), 21, "40"))), "", at(packet4(wire.OtherIP, 51, 14, 20, 48))},
		{"AH, first fragment", fragment(0, true, authentication(47, data)), "", first},
		{"AH, first fragment that ends in it", fragment(0, true, authentication(47, nil)[:8]), "", withFragment(packet4(wire.MalformedGRE, 51, 14, 20, 28), 0, true)},
		{"AH, later fragment", fragment(24, false, data), "", withFragment(packet4(wire.LaterFragment, 51, 14, 20, 36), 24, false)},
	}
}

func opaqueRows() (rows []row) {
	for _, ether := range []int{0x22f3, 0x4305, 0x6558, 0x876b, 0x880b, 0x8909, 0x8926, 0x892f, 0x893f, 0x88e5, 0x88e7, 0x894f, 0xa0ed, 0xf1c1} {
		rows = append(rows, row{fmt.Sprintf("ethertype %04x", ether), eth(cat(word(ether), data)), "", opaque(other)})
	}
	for _, proto := range []int{4, 41, 50, 55, 94, 97, 98, 108, 115, 137, 141, 142, 143, 145} {
		p4, p6 := packet4(wire.OtherIP, uint8(proto), 14, 20, 36), packet6(wire.OtherIP, uint8(proto), 14, 40, 56)
		later := withFragment(packet4(wire.LaterFragment, uint8(proto), 14, 20, 36), 8, false)
		rows = append(rows,
			row{fmt.Sprintf("protocol %d", proto), eth(ether4(ip4(proto, "", data))), "", opaque(p4)},
			row{fmt.Sprintf("protocol %d, IPv6", proto), eth(ether6(ip6(proto, data))), "", opaque(p6)},
			row{fmt.Sprintf("protocol %d, later fragment", proto), eth(ether4(fragment4(proto, 8, false, data))), "", opaque(later)})
	}
	for _, ppp := range []string{"3d", "003d", "00fd", "0031", "0053", "002d", "0281", "ff03 003d"} {
		rows = append(rows, row{"PPP " + ppp, eth(pppoe(7, cat(octets(ppp), data))), "ppp7", opaque(other)})
	}
	for _, ppp := range []string{"c021", "8021", "80fd", "c223", "c025"} {
		rows = append(rows, row{"PPP " + ppp, eth(pppoe(7, cat(octets(ppp), data))), "ppp7", other})
	}
	return rows
}

// TestOpaqueIsAClosedList counts what is opaque of all ethertypes and protocols.
func TestOpaqueIsAClosedList(t *testing.T) {
	var p wire.Packet
	ethers, protocols := 0, 0
	for ether := range 1 << 16 {
		if wire.Decode(eth(cat(word(ether), make([]byte, 60))), &p); p.Opaque {
			ethers++
		}
	}
	for proto := range 256 {
		if wire.Decode(eth(ether4(ip4(proto, "", make([]byte, 60)))), &p); p.Opaque {
			protocols++
		}
	}
	// Zeros are a stack of too many labels, and no tag.
	if ethers != 14+2 || protocols != 14 {
		t.Errorf("%d ethertypes and %d protocols are opaque, want 16 and 14", ethers, protocols)
	}
}
