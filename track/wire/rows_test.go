package wire_test

import (
	"slices"

	"github.com/grewire/grewire/track/wire"
)

// row is a shape of frame and what Decode makes of it, the zone apart.
type row struct {
	name  string
	frame []byte
	zone  string
	want  wire.Packet
}

func allRows() []row {
	return slices.Concat(linkRows(), ipv4Rows(), ipv6Rows(), tcpRows(), greRows(), otherGRERows(), icmpRows(), mplsRows(), authenticationRows(), opaqueRows())
}

var other = wire.Packet{Kind: wire.Other}

// data is 12 octets of GRE with sequence number and the payload "data".
var data = octets("3001 880b 0004 abcd 11121314 64617461")

func greFrame(l3 uint32) wire.Packet {
	return withSeq(withGRE(packet4(0, 47, l3, 20, 36), 12, 0))
}

func linkRows() []row {
	packet := ether4(ip4(47, "", data))
	rows := []row{
		{"empty", nil, "", other},
		{"one octet short of Ethernet", make([]byte, 13), "", other},
		{"Ethernet alone", eth(octets("0800")), "", other},
		{"unknown ethertype", eth(octets("88b5 00010203")), "", other},
		{"untagged", eth(packet), "", greFrame(14)},
		{"padding after IP", eth(cat(packet, make([]byte, 10))), "", greFrame(14)},
		{"VID 0", eth(tag(0x8100, 0xe000, packet)), "", greFrame(18)},
		{"VID 0, VID 100", eth(tag(0x88a8, 0, tag(0x8100, 100, packet))), "100", greFrame(22)},
		{"VID 100, VID 0", eth(tag(0x8100, 100, tag(0x8100, 0, packet))), "100", greFrame(22)},
		{"VID 0 three times", eth(tag(0x8100, 0, tag(0x88a8, 0, tag(0x8100, 0, packet)))), "", greFrame(26)},
		{"two tags and VID 0 between", eth(tag(0x8100, 1, tag(0x8100, 0, tag(0x8100, 4095, packet)))), "1.4095", greFrame(26)},
		{"priority and DEI are no VID", eth(tag(0x8100, 0xf064, packet)), "100", greFrame(18)},
		{"third tag", eth(tag(0x88a8, 100, tag(0x8100, 200, tag(0x8100, 300, packet)))), "100.200", opaque(other)},
		{"tag cut", eth(octets("8100 0064 08")), "", other},
		{"second tag cut", eth(tag(0x88a8, 100, octets("8100 00c8"))), "100", other},
		{"tag and nothing else", eth(octets("8100 0064 0800")), "100", other},

		{"SNAP of RFC 1042", eth(snap(44, "000000", packet)), "", greFrame(22)},
		{"SNAP of 802.1H", eth(snap(44, "0000f8", packet)), "", greFrame(22)},
		{"SNAP of another organisation", eth(snap(44, "00000c", packet)), "", other},
		{"SNAP, length too small", eth(snap(3, "000000", packet)), "", greFrame(22)},
		{"SNAP, length too large", eth(snap(1500, "000000", packet)), "", greFrame(22)},
		{"SNAP in a tag", eth(tag(0x8100, 100, snap(44, "000000", packet))), "100", greFrame(26)},
		{"tag in SNAP", eth(snap(48, "000000", tag(0x8100, 100, packet))), "100", greFrame(26)},
		{"SNAP cut", eth(octets("0010 aaaa03000000 08")), "", other},
		{"LLC, no SNAP", eth(octets("0010 e0e003000000 0800 4500")), "", other},

		{"PPPoE IPv4", eth(pppoe(7, cat(octets("0021"), ip4(47, "", data)))), "ppp7", greFrame(22)},
		{"PPPoE session 0", eth(pppoe(0, cat(octets("0021"), ip4(47, "", data)))), "ppp0", greFrame(22)},
		{"PPPoE in a tag", eth(tag(0x8100, 100, pppoe(7, cat(octets("0021"), ip4(47, "", data))))), "100.ppp7", greFrame(26)},
		{"PPPoE in two tags", eth(tag(0x88a8, 100, tag(0x8100, 200, pppoe(65535, cat(octets("0021"), ip4(47, "", data)))))), "100.200.ppp65535", greFrame(30)},
		{"PPPoE padding", eth(cat(pppoe(7, cat(octets("0021"), ip4(47, "", data))), make([]byte, 6))), "ppp7", greFrame(22)},
		{"PPPoE compressed protocol", eth(pppoe(7, cat(octets("21"), ip4(47, "", data)))), "ppp7", greFrame(21)},
		{"PPPoE with Address and Control", eth(pppoe(7, cat(octets("ff030021"), ip4(47, "", data)))), "ppp7", greFrame(24)},
		{"PPPoE IPv6", eth(pppoe(7, cat(octets("0057"), ip6(6, tcp("", "x"))))), "ppp7", withTCP(packet6(0, 6, 22, 40, 61), 20)},
		{"PPPoE compressed IPv6", eth(pppoe(7, cat(octets("57"), ip6(6, tcp("", "x"))))), "ppp7", withTCP(packet6(0, 6, 21, 40, 61), 20)},
		{"PPPoE LCP", eth(pppoe(7, octets("c021 01010004"))), "ppp7", other},
		{"PPPoE empty", eth(pppoe(7, nil)), "ppp7", other},
		{"PPPoE one octet", eth(pppoe(7, octets("21"))), "ppp7", other},
		{"PPPoE with another version", eth(set(pppoe(7, cat(octets("0021"), ip4(47, "", data))), 2, "22")), "ppp7", greFrame(22)},
		{"PPPoE with a code", eth(set(pppoe(7, cat(octets("0021"), ip4(47, "", data))), 3, "a7")), "ppp7", greFrame(22)},
		{"PPPoE lies, GRE", eth(set(pppoe(7, cat(octets("0021"), ip4(47, "", data))), 6, "0027")), "ppp7",
			func() wire.Packet { p := greFrame(22); p.Kind = wire.MalformedGRE; return p }()},
		{"PPPoE lies, TCP", eth(set(pppoe(7, cat(octets("0021"), ip4(6, "", tcp("", "x")))), 6, "ffff")), "ppp7",
			func() wire.Packet { p := withTCP(packet4(0, 6, 22, 20, 41), 20); p.Kind = wire.OtherIP; return p }()},
		{"PPPoE lies, LCP", eth(set(pppoe(7, octets("c021 01010004")), 6, "ffff")), "ppp7", other},
		{"PPPoE ends before IP does", eth(set(pppoe(7, cat(octets("0021"), ip4(47, "", data))), 6, "0025")), "ppp7", wire.Packet{Kind: wire.MalformedGRE, Proto: 47}},
		{"PPPoE cut", eth(octets("8864 1100 0007 00")), "", other},
		{"PPPoE discovery", eth(octets("8863 1109 0000 0004 01010000")), "", other},

		{"ARP", eth(octets("0806 0001080006040001 020000000001 c0000201 000000000000 c0000202")), "",
			wire.Packet{Kind: wire.ARP, Src: wire.AddrFrom4(0xc0000201), Dst: wire.AddrFrom4(0xc0000202)}},
		{"tagged ARP", eth(tag(0x8100, 100, octets("0806 0001080006040001"))), "100", wire.Packet{Kind: wire.ARP}},
		{"STP", octets("0180c2000000 020000000001 0026 424203 0000000000"), "", wire.Packet{Kind: wire.LinkControl}},
		{"LLDP", octets("0180c200000e 020000000001 88cc 0207"), "", wire.Packet{Kind: wire.LinkControl}},
		{"LACP", octets("0180c2000002 020000000001 8809 0101"), "", wire.Packet{Kind: wire.LinkControl}},
		{"EAPOL", octets("0180c2000003 020000000001 888e 0101 0000"), "", wire.Packet{Kind: wire.LinkControl}},
		{"group address behind the reserved ones", octets("0180c2000010 020000000001 88cc 0207"), "", other},
		{"Pause", octets("0180c2000001 020000000001 8808 0001 ffff"), "", wire.Packet{Kind: wire.Pause}},
		{"Pause of priorities", octets("0180c2000001 020000000001 8808 0101 00ff"), "", wire.Packet{Kind: wire.Pause}},
		{"MAC control that stops nothing", octets("020000000002 020000000001 8808 0002 ffff"), "", wire.Packet{}},
		{"MAC control without an opcode", octets("020000000002 020000000001 8808 00"), "", wire.Packet{}},
		{"Pause to one station", octets("020000000002 020000000001 8808 0001 ffff"), "", wire.Packet{Kind: wire.Pause}},
		{"GRE to a link-local group", cat(octets("0180c200000e 020000000001"), packet), "", greFrame(14)},
		{"third tag to a link-local group", cat(octets("0180c200000e 020000000001"), tag(0x8100, 1, tag(0x8100, 2, tag(0x8100, 3, packet)))), "1.2", opaque(other)},
	}
	tpids := []int{0x8100, 0x88a8, 0x9100, 0x9200, 0x9300}
	for _, outer := range tpids {
		rows = append(rows, row{"one tag", eth(tag(outer, 100, packet)), "100", greFrame(18)})
		for _, inner := range tpids {
			rows = append(rows, row{"two tags", eth(tag(outer, 100, tag(inner, 200, packet))), "100.200", greFrame(22)})
		}
	}
	return rows
}

func ipv4Rows() []row {
	plain := ip4(17, "", octets("00010002 0008 0000"))
	gre := ip4(47, "", data)
	malformed := wire.Packet{Kind: wire.MalformedGRE, Proto: 47}
	unread := wire.Packet{Proto: 17}
	whole := packet4(wire.OtherIP, 17, 14, 20, 28)
	longest := "0101010101010101010101010101010101010101010101010101010101010101010101010101010100"[:80]
	return []row{
		{"UDP", eth(ether4(plain)), "", whole},
		{"protocol, no more", eth(ether4(plain[:10])), "", unread},
		{"not even the protocol", eth(ether4(plain[:9])), "", other},
		{"version 6 under 0800", eth(ether4(set(plain, 0, "65"))), "", unread},
		{"IHL 4", eth(ether4(set(plain, 0, "44"))), "", unread},
		{"IHL 0", eth(ether4(set(plain, 0, "40"))), "", unread},
		{"IHL beyond total length", eth(ether4(set(plain, 0, "48"))), "", unread},
		{"IHL beyond frame", eth(ether4(set(set(plain, 0, "4f"), 2, "003c"))), "", unread},
		{"IHL 15", eth(ether4(ip4(17, longest, octets("0001")))), "", packet4(wire.OtherIP, 17, 14, 60, 62)},
		{"IHL 15 and nothing", eth(ether4(ip4(17, longest, nil))), "", packet4(wire.OtherIP, 17, 14, 60, 60)},
		{"total length < header", eth(ether4(set(plain, 2, "0013"))), "", unread},
		{"total length 0", eth(ether4(set(plain, 2, "0000"))), "", unread},
		{"total length = header", eth(ether4(set(plain, 2, "0014"))), "", packet4(wire.OtherIP, 17, 14, 20, 20)},
		{"total length > frame", eth(ether4(set(plain, 2, "001d"))), "", unread},
		{"padding", eth(cat(ether4(plain), make([]byte, 18))), "", whole},
		{"DF and the reserved flag are no fragment", eth(ether4(set(plain, 6, "c000"))), "", whole},

		{"GRE with options", eth(ether4(ip4(47, "94040000", data))), "", withSeq(withGRE(packet4(0, 47, 14, 24, 40), 12, 0))},
		{"GRE, version 6 under 0800", eth(ether4(set(gre, 0, "65"))), "", malformed},
		{"GRE, IHL 4", eth(ether4(set(gre, 0, "44"))), "", malformed},
		{"GRE, IHL beyond total length", eth(ether4(set(gre, 0, "4f"))), "", malformed},
		{"GRE, total length < header", eth(ether4(set(gre, 2, "0013"))), "", malformed},
		{"GRE, total length 0", eth(ether4(set(gre, 2, "0000"))), "", malformed},
		{"GRE, total length > frame", eth(ether4(set(gre, 2, "0025"))), "", malformed},
		{"GRE, total length = header", eth(ether4(set(gre, 2, "0014"))), "", packet4(wire.MalformedGRE, 47, 14, 20, 20)},
		{"GRE, header cut", eth(ether4(gre[:19])), "", malformed},
		{"GRE, protocol and no more", eth(ether4(gre[:10])), "", malformed},
		{"GRE in stated length 0 and little of it", eth(cat(ether4(set(gre, 2, "0000")), make([]byte, 100))), "", malformed},

		{"first fragment of GRE", eth(ether4(fragment4(47, 0, true, data))), "", withFragment(greFrame(14), 0, true)},
		{"first fragment, payload elsewhere", eth(ether4(fragment4(47, 0, true, octets("3001 880b 05dc abcd 11121314 64617461")))), "", withFragment(greFrame(14), 0, true)},
		{"first fragment of 8 octets", eth(ether4(fragment4(47, 0, true, octets("2001 880b 0000 abcd")))), "", withFragment(withGRE(packet4(0, 47, 14, 20, 28), 8, 0), 0, true)},
		{"first fragment too short", eth(ether4(fragment4(47, 0, true, octets("3001 880b 0004 ab")))), "", withFragment(packet4(wire.MalformedGRE, 47, 14, 20, 27), 0, true)},
		{"empty first fragment", eth(ether4(fragment4(47, 0, true, nil))), "", withFragment(packet4(wire.MalformedGRE, 47, 14, 20, 20), 0, true)},
		{"middle fragment", eth(ether4(fragment4(47, 8, true, data))), "", withFragment(packet4(wire.LaterFragment, 47, 14, 20, 36), 8, true)},
		{"last fragment", eth(ether4(fragment4(47, 65528, false, data))), "", withFragment(packet4(wire.LaterFragment, 47, 14, 20, 36), 65528, false)},
		{"empty later fragment", eth(ether4(fragment4(47, 8, false, nil))), "", withFragment(packet4(wire.LaterFragment, 47, 14, 20, 20), 8, false)},
		{"later fragment of TCP", eth(ether4(fragment4(6, 24, false, data))), "", withFragment(packet4(wire.LaterFragment, 6, 14, 20, 36), 24, false)},
		{"first fragment of TCP", eth(ether4(fragment4(6, 0, true, tcp("", "abcd")))), "", withFragment(withTCP(packet4(0, 6, 14, 20, 44), 20), 0, true)},
		{"first fragment of TCP, header cut", eth(ether4(fragment4(6, 0, true, tcp("", "")[:16]))), "",
			withFragment(func() wire.Packet {
				p := packet4(wire.OtherIP, 6, 14, 20, 36)
				p.SrcPort, p.DstPort = 1723, 40000
				return p
			}(), 0, true)},

		{"BIG TCP", eth(cat(ether4(set(ip4(6, "", tcp("", "")), 2, "0000")), make([]byte, 70000))), "", withTCP(packet4(0, 6, 14, 20, 70040), 20)},
		{"stated length 0, one octet too few", eth(cat(ether4(set(ip4(6, "", tcp("", "")), 2, "0000")), make([]byte, 65535-40))), "", wire.Packet{Proto: 6}},
	}
}

func ipv6Rows() []row {
	plain := ip6(17, octets("00010002 0008 0000"))
	malformed := wire.Packet{Kind: wire.MalformedGRE, Proto: 47}
	gre := func(l4 uint32) wire.Packet { return withSeq(withGRE(packet6(0, 47, 14, l4, l4+16), 12, 0)) }
	piece := func(p wire.Packet, data uint32) wire.Packet { p.FragmentData = 14 + data; return p }
	mapped := set(ip6(47, data), 8, "00000000000000000000ffff c0000201")
	rows := []row{
		{"UDP", eth(ether6(plain)), "", packet6(wire.OtherIP, 17, 14, 40, 48)},
		{"IPv6 padding", eth(cat(ether6(plain), make([]byte, 9))), "", packet6(wire.OtherIP, 17, 14, 40, 48)},
		{"no next header", eth(ether6(ip6(59, octets("00")))), "", packet6(wire.OtherIP, 59, 14, 40, 41)},
		{"ESP", eth(ether6(ip6(50, octets("00000001")))), "", opaque(packet6(wire.OtherIP, 50, 14, 40, 44))},
		{"header and no more", eth(ether6(ip6(17, nil))), "", packet6(wire.OtherIP, 17, 14, 40, 40)},
		{"next header, no more", eth(ether6(plain[:7])), "", wire.Packet{Proto: 17}},
		{"not even the next header", eth(ether6(plain[:6])), "", other},
		{"IPv6 header cut", eth(ether6(plain[:39])), "", wire.Packet{Proto: 17}},
		{"version 4 under 86dd", eth(ether6(set(plain, 0, "45"))), "", wire.Packet{Proto: 17}},
		{"payload length > frame", eth(ether6(set(plain, 4, "0009"))), "", wire.Packet{Proto: 17}},
		{"payload length 0", eth(ether6(set(plain, 4, "0000"))), "", packet6(wire.OtherIP, 17, 14, 40, 40)},
		{"TCP", eth(ether6(ip6(6, tcp("", "abc")))), "", withTCP(packet6(0, 6, 14, 40, 63), 20)},
		{"GRE", eth(ether6(ip6(47, data))), "", gre(40)},
		{"GRE, version 4 under 86dd", eth(ether6(set(ip6(47, data), 0, "45"))), "", malformed},
		{"GRE, payload length > frame", eth(ether6(set(ip6(47, data), 4, "0011"))), "", malformed},
		{"GRE, IPv6 header cut", eth(ether6(ip6(47, data)[:39])), "", malformed},
		{"GRE, payload length 0", eth(ether6(set(ip6(47, data), 4, "0000"))), "", packet6(wire.MalformedGRE, 47, 14, 40, 40)},
		{"BIG TCP over IPv6", eth(cat(ether6(set(ip6(6, tcp("", "")), 4, "0000")), make([]byte, 70000))), "", withTCP(packet6(0, 6, 14, 40, 70060), 20)},
		{"payload length 0, Hop-by-Hop, GRE", eth(ether6(set(ip6(0, extension(47, 0, data)), 4, "0000"))), "", gre(48)},
		{"payload length 0, Jumbo option, GRE", eth(ether6(set(set(ip6(0, extension(47, 0, data)), 4, "0000"), 42, "c204 00000018"))), "", gre(48)},
		{"payload length 0, Hop-by-Hop, TCP", eth(ether6(set(ip6(0, extension(6, 0, tcp("", "abc"))), 4, "0000"))), "", withTCP(packet6(0, 6, 14, 48, 71), 20)},
		{"payload length 0, Hop-by-Hop, trailer", eth(cat(ether6(set(ip6(0, extension(6, 0, tcp("", ""))), 4, "0000")), make([]byte, 5))), "", withTCP(packet6(0, 6, 14, 48, 73), 20)},
		{"payload length 0, Hop-by-Hop elsewhere", eth(ether6(set(ip6(60, extension(0, 0, extension(47, 0, data))), 4, "0000"))), "", packet6(wire.OtherIP, 60, 14, 40, 40)},
		{"payload length 0, Hop-by-Hop cut", eth(ether6(set(ip6(0, octets("2f00 0104 000000")), 4, "0000"))), "", packet6(wire.OtherIP, 0, 14, 40, 47)},
		{"mapped source of GRE", eth(ether6(mapped)), "",
			func() wire.Packet {
				p := gre(40)
				p.Kind, p.Src = wire.MalformedGRE, addr("00000000000000000000ffff"+client4)
				return p
			}()},
		{"mapped destination of TCP", eth(ether6(set(ip6(6, tcp("", "")), 24, "00000000000000000000ffff c6336402"))), "",
			func() wire.Packet {
				p := withTCP(packet6(0, 6, 14, 40, 60), 20)
				p.Kind, p.Dst = wire.OtherIP, addr("00000000000000000000ffff"+server4)
				return p
			}()},

		{"all of them", eth(ether6(ip6(0, extension(60, 1, extension(43, 2, extension(44, 0, fragment6(51, 0, false, authentication(135, extension(139, 0, extension(140, 0, extension(60, 0, extension(47, 0, data)))))))))))), "", gre(40 + 16 + 24 + 8 + 8 + 12 + 8 + 8 + 8 + 8)},
		{"chain cut", eth(ether6(ip6(0, extension(47, 0, nil)[:7]))), "", packet6(wire.OtherIP, 0, 14, 40, 47)},
		{"extension longer than the packet", eth(ether6(set(ip6(60, extension(47, 0, data)), 41, "09"))), "", packet6(wire.OtherIP, 60, 14, 40, 64)},
		{"chain ends in nothing", eth(ether6(ip6(0, extension(60, 0, nil)))), "", packet6(wire.OtherIP, 60, 14, 48, 48)},
		{"chain ends in GRE without header", eth(ether6(ip6(0, extension(47, 0, nil)))), "", packet6(wire.MalformedGRE, 47, 14, 48, 48)},
		{"Fragment header cut", eth(ether6(ip6(44, fragment6(47, 0, true, nil)[:7]))), "", packet6(wire.OtherIP, 44, 14, 40, 47)},

		{"atomic fragment", eth(ether6(ip6(44, fragment6(47, 0, false, data)))), "", gre(48)},
		{"reserved bits of the Fragment header", eth(ether6(set(ip6(44, fragment6(47, 0, false, data)), 43, "06"))), "", gre(48)},
		{"first fragment over IPv6", eth(ether6(ip6(44, fragment6(47, 0, true, data)))), "", piece(withFragment(gre(48), 0, true), 48)},
		{"first fragment with options behind it", eth(ether6(ip6(0, extension(44, 0, fragment6(60, 0, true, extension(47, 0, data)))))), "", piece(withFragment(gre(64), 0, true), 56)},
		{"first fragment hides its protocol", eth(ether6(ip6(44, fragment6(60, 0, true, extension(47, 4, nil)[:16])))), "", piece(withFragment(packet6(wire.MalformedGRE, 60, 14, 48, 64), 0, true), 48)},
		{"first fragment is empty", eth(ether6(ip6(44, fragment6(60, 0, true, nil)))), "", piece(withFragment(packet6(wire.MalformedGRE, 60, 14, 48, 48), 0, true), 48)},
		{"middle fragment over IPv6", eth(ether6(ip6(44, fragment6(60, 1448, true, data)))), "", piece(withFragment(packet6(wire.LaterFragment, 60, 14, 48, 64), 1448, true), 48)},
		{"last fragment over IPv6", eth(ether6(ip6(44, fragment6(47, 65528, false, data)))), "", piece(withFragment(packet6(wire.LaterFragment, 47, 14, 48, 64), 65528, false), 48)},
		{"fragment in an atomic fragment", eth(ether6(ip6(44, fragment6(44, 0, false, fragment6(47, 8, false, data))))), "", packet6(wire.MalformedGRE, 44, 14, 48, 72)},
		{"fragment in a first fragment", eth(ether6(ip6(44, fragment6(44, 0, true, fragment6(17, 8, false, data))))), "", piece(withFragment(packet6(wire.MalformedGRE, 44, 14, 48, 72), 0, true), 48)},
	}
	for name, next := range map[string]int{"Hop-by-Hop": 0, "Routing": 43, "Destination": 60, "Mobility": 135, "HIP": 139, "Shim6": 140} {
		rows = append(rows, row{name, eth(ether6(ip6(next, extension(47, 3, data)))), "", gre(72)})
	}
	return append(rows, row{"Authentication", eth(ether6(ip6(51, authentication(47, data)))), "", gre(52)})
}

func tcpRows() []row {
	with := func(segment []byte) []byte { return eth(ether4(ip4(6, "", segment))) }
	ports := func(p wire.Packet) wire.Packet { p.SrcPort, p.DstPort = 1723, 40000; return p }
	refused := ports(packet4(wire.OtherIP, 6, 14, 20, 44))
	flags := withTCP(packet4(0, 6, 14, 20, 40), 20)
	flags.Flags = 0xff
	return []row{
		{"TCP", with(tcp("", "abcd")), "", withTCP(packet4(0, 6, 14, 20, 44), 20)},
		{"TCP without payload", with(tcp("", "")), "", withTCP(packet4(0, 6, 14, 20, 40), 20)},
		{"TCP padding", cat(with(tcp("", "")), make([]byte, 6)), "", withTCP(packet4(0, 6, 14, 20, 40), 20)},
		{"TCP options", with(tcp("02040586 01030307", "abcd")), "", withTCP(packet4(0, 6, 14, 20, 52), 28)},
		{"TCP data offset 15", with(tcp("00000000000000000000000000000000000000000000000000000000000000000000000000000000", "abcd")), "", withTCP(packet4(0, 6, 14, 20, 84), 60)},
		{"TCP data offset 4", with(set(tcp("", "abcd"), 12, "40")), "", refused},
		{"TCP data offset 0", with(set(tcp("", "abcd"), 12, "00")), "", refused},
		{"TCP data offset > payload", with(set(tcp("", "abcd"), 12, "70")), "", refused},
		{"TCP data offset one octet > payload", with(set(tcp("", "abc"), 12, "60")), "", ports(packet4(wire.OtherIP, 6, 14, 20, 43))},
		{"TCP header cut", with(tcp("", "")[:19]), "", ports(packet4(wire.OtherIP, 6, 14, 20, 39))},
		{"TCP ports alone", with(tcp("", "")[:4]), "", ports(packet4(wire.OtherIP, 6, 14, 20, 24))},
		{"TCP ports cut", with(tcp("", "")[:3]), "", packet4(wire.OtherIP, 6, 14, 20, 23)},
		{"TCP without anything", with(nil), "", packet4(wire.OtherIP, 6, 14, 20, 20)},
		{"TCP all flags", with(set(tcp("", ""), 13, "ff")), "", flags},
		{"TCP behind IPv4 options", eth(ether4(ip4(6, "01010101", tcp("", "abcd")))), "", withTCP(packet4(0, 6, 14, 24, 48), 20)},
	}
}

// greRow is a GRE packet in IPv4 and what is expected of its header.
func greRow(name, text string, header uint32, faults wire.Faults, with ...func(wire.Packet) wire.Packet) row {
	b := octets(text)
	want := withGRE(packet4(0, 47, 14, 20, uint32(20+len(b))), header, faults)
	for _, f := range with {
		want = f(want)
	}
	return row{name, eth(ether4(ip4(47, "", b))), "", want}
}

func greRows() []row {
	return []row{
		greRow("data", "3001 880b 0002 abcd 11121314 ff03", 12, 0, withSeq),
		greRow("data and ack", "3081 880b 0002 abcd 11121314 21222324 ff03", 16, 0, withSeq, withAck),
		greRow("ack only", "2081 880b 0000 abcd 21222324", 12, 0, withAck),
		greRow("neither", "2001 880b 0000 abcd", 8, 0),
		greRow("data of length 0", "3001 880b 0000 abcd 11121314", 12, 0, withSeq),
		greRow("trailer within IP", "3001 880b 0001 abcd 11121314 ff0304", 12, wire.FaultLength, withSeq),
		greRow("C", "b001 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("R", "7001 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("s", "3801 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("Recur 1", "3101 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("Recur 4", "3401 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("Flags 0x40", "3041 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("Flags 0x08", "3009 880b 0000 abcd 11121314", 12, wire.FaultFlags, withSeq),
		greRow("all of them", "ffF9 880b 0000 abcd 11121314 21222324", 16, wire.FaultFlags, withSeq, withAck),
		greRow("payload without S", "2001 880b 0002 abcd ff03", 8, wire.FaultNoSequence),
		greRow("payload length beyond IP", "3001 880b 0003 abcd 11121314 ff03", 12, wire.FaultLength, withSeq),
		greRow("payload length 65535", "3001 880b ffff abcd 11121314 ff03", 12, wire.FaultLength, withSeq),
		greRow("payload without S beyond IP", "2001 880b 0002 abcd", 8, wire.FaultNoSequence|wire.FaultLength),
		greRow("S cut to 0 octets", "3001 880b 0000 abcd", 8, wire.FaultShort|wire.FaultLength),
		greRow("S cut to 3 octets", "3001 880b 0000 abcd 111213", 11, wire.FaultShort|wire.FaultLength),
		greRow("A without room", "3081 880b 0000 abcd 11121314", 12, wire.FaultShort|wire.FaultLength, withSeq),
		greRow("A cut", "3081 880b 0000 abcd 11121314 212223", 15, wire.FaultShort|wire.FaultLength, withSeq),
		greRow("S cut and A", "3081 880b 0000 abcd 1112", 10, wire.FaultShort|wire.FaultLength),
		greRow("A alone cut", "2081 880b 0000 abcd 2122", 10, wire.FaultShort|wire.FaultLength),
	}
}

// ofKind is a frame with GRE that has no more to it than its kind.
func ofKind(name string, kind wire.Kind, gre []byte) row {
	return row{name, eth(ether4(ip4(47, "", gre))), "", packet4(kind, 47, 14, 20, uint32(20+len(gre)))}
}

func otherGRERows() []row {
	rows := []row{
		ofKind("v1 without K", wire.OddGRE, octets("1001 880b 0002 abcd 11121314 ff03")),
		ofKind("v1 without K, 4 octets", wire.OddGRE, octets("1001 880b")),
		ofKind("v1 with IPv4 inside", wire.OtherGRE, octets("3001 0800 0002 abcd 11121314 ff03")),
		ofKind("v1 with protocol 880c", wire.OtherGRE, octets("2001 880c")),
		ofKind("v0 with protocol 880b", wire.PlainGRE, octets("3000 880b 0002 abcd 11121314")),
	}
	for version := 2; version < 8; version++ {
		rows = append(rows, ofKind("version 2 to 7", wire.OddGRE, []byte{0x30, byte(version), 0x88, 0x0b}))
	}
	for n := range 8 {
		rows = append(rows, ofKind("v1 cut below 8 octets", wire.MalformedGRE, octets("3001 880b 0002 abcd")[:n]))
	}
	lengths := map[int]int{0x8000: 4, 0x4000: 4, 0xc000: 4, 0x2000: 4, 0x1000: 4, 0: 0}
	for _, first := range []int{0, 0x8000, 0x4000, 0xc000} {
		for _, key := range []int{0, 0x2000} {
			for _, sequence := range []int{0, 0x1000} {
				header := cat(word(first|key|sequence), octets("0800"), make([]byte, lengths[first]+lengths[key]+lengths[sequence]))
				rows = append(rows, ofKind("v0", wire.PlainGRE, header), ofKind("v0 cut", wire.MalformedGRE, header[:len(header)-1]))
			}
		}
	}
	return rows
}

func icmpRows() []row {
	icmp4 := func(kind uint8, total uint32) wire.Packet {
		p := packet4(wire.ICMP, 1, 14, 20, total)
		p.ICMPType = kind
		return p
	}
	icmp6 := func(kind uint8, total uint32) wire.Packet {
		p := packet6(wire.ICMP, 58, 14, 40, total)
		p.ICMPType = kind
		return p
	}
	return []row{
		{"echo request", eth(ether4(ip4(1, "", octets("0800 0000 0001 0001")))), "", icmp4(8, 28)},
		{"ICMP type alone", eth(ether4(ip4(1, "", octets("03")))), "", icmp4(3, 21)},
		{"ICMP without type", eth(ether4(ip4(1, "", nil))), "", packet4(wire.OtherIP, 1, 14, 20, 20)},
		{"ICMPv6 echo request", eth(ether6(ip6(58, octets("8000 0000 0001 0001")))), "", icmp6(128, 48)},
		{"neighbour solicitation", eth(ether6(ip6(58, octets("8700 0000 00000000")))), "", icmp6(135, 48)},
		{"ICMPv6 in IPv4", eth(ether4(ip4(58, "", octets("8700 0000")))), "", packet4(wire.OtherIP, 58, 14, 20, 24)},
		{"ICMPv4 in IPv6", eth(ether6(ip6(1, octets("8700 0000")))), "", packet6(wire.OtherIP, 1, 14, 40, 44)},
		{"later fragment of ICMP", eth(ether4(fragment4(1, 8, false, data))), "", withFragment(packet4(wire.LaterFragment, 1, 14, 20, 36), 8, false)},
	}
}
