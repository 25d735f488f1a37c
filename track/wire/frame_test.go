package wire_test

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/grewire/grewire/track/wire"
)

// The frames of the tests are put together from layers: each function returns
// its header with what it carries behind it.

// octets reads hex with blanks between groups.
func octets(text string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// set overwrites the octets of b from at on.
func set(b []byte, at int, text string) []byte {
	b = slices.Clone(b)
	copy(b[at:], octets(text))
	return b
}

const macs = "020000000002 020000000001"

// eth is a frame whose first ethertype is at the start of body.
func eth(body []byte) []byte { return cat(octets(macs), body) }

func ether4(packet []byte) []byte { return cat(octets("0800"), packet) }
func ether6(packet []byte) []byte { return cat(octets("86dd"), packet) }

func word(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// tag is a VLAN tag in front of an ethertype.
func tag(tpid, tci int, body []byte) []byte { return cat(word(tpid), word(tci), body) }

// snap is an 802.3 length with LLC and SNAP headers in front of an ethertype.
func snap(length int, oui string, body []byte) []byte {
	return cat(word(length), octets("aaaa03"), octets(oui), body)
}

// pppoe is a PPPoE session frame from the ethertype on.
func pppoe(session int, ppp []byte) []byte {
	return cat(octets("8864 1100"), word(session), word(len(ppp)), ppp)
}

const (
	client4, server4 = "c0000201", "c6336402"
	client6, server6 = "20010db8000000000000000000000001", "20010db8000000000000000000000002"
)

// ip4 is an IPv4 packet with the given options.
func ip4(proto int, options string, payload []byte) []byte {
	o := octets(options)
	b := cat(octets("4500 0000 1234 0000 40"), []byte{byte(proto)}, octets("0000"), octets(client4), octets(server4), o, payload)
	b[0] += byte(len(o) / 4)
	copy(b[2:], word(len(b)))
	return b
}

// fragment4 is an IPv4 packet that is a fragment: offset in octets.
func fragment4(proto, offset int, more bool, payload []byte) []byte {
	b := ip4(proto, "", payload)
	copy(b[6:], word(fragmentWord(offset/8, more, 13)))
	return b
}

func fragmentWord(offset int, more bool, moreBit int) int {
	if more {
		offset |= 1 << moreBit
	}
	return offset
}

func ip6(proto int, payload []byte) []byte {
	return cat(octets("60000000"), word(len(payload)), []byte{byte(proto), 64}, octets(client6), octets(server6), payload)
}

// extension is an IPv6 extension header of 8 octets and words more.
func extension(next, words int, payload []byte) []byte {
	b := make([]byte, 8+8*words)
	b[0], b[1] = byte(next), byte(words)
	return cat(b, payload)
}

// authentication is an Authentication Header of 12 octets.
func authentication(next int, payload []byte) []byte {
	return cat([]byte{byte(next), 1}, make([]byte, 10), payload)
}

// fragment6 is a Fragment header: offset in octets.
func fragment6(next, offset int, more bool, payload []byte) []byte {
	flags := offset
	if more {
		flags |= 1
	}
	return cat([]byte{byte(next), 0}, word(flags), octets("89abcdef"), payload)
}

// tcp is a segment from port 1723 to port 40000.
func tcp(options string, payload string) []byte {
	o := octets(options)
	b := cat(octets("06bb 9c40 01020304 05060708 5018 1000 0000 0000"), o, []byte(payload))
	b[12] += byte(len(o) / 4 << 4)
	return b
}

// packet4 is what Decode makes of an IPv4 packet, before its transport header.
func packet4(kind wire.Kind, proto uint8, l3, header, total uint32) wire.Packet {
	return wire.Packet{
		Kind: kind, Version: 4, Proto: proto, L3: l3, L4: l3 + header, FragmentData: l3 + header, End: l3 + total, IPLength: total,
		Src: addr("00000000000000000000ffff" + client4), Dst: addr("00000000000000000000ffff" + server4),
	}
}

// packet6 is packet4 for IPv6; header counts the extension headers, too.
func packet6(kind wire.Kind, proto uint8, l3, header, total uint32) wire.Packet {
	return wire.Packet{
		Kind: kind, Version: 6, Proto: proto, L3: l3, L4: l3 + header, FragmentData: l3 + 40, End: l3 + total, IPLength: total,
		Src: addr(client6), Dst: addr(server6),
	}
}

func addr(text string) wire.Addr { return wire.AddrFrom(netip.AddrFrom16([16]byte(octets(text)))) }

// withTCP adds what tcp has; header counts its options, too.
func withTCP(p wire.Packet, header uint32) wire.Packet {
	p.Kind, p.Payload = wire.TCP, p.L4+header
	p.SrcPort, p.DstPort, p.Seq, p.Ack = 1723, 40000, 0x01020304, 0x05060708
	p.Flags, p.Window = wire.PSH|wire.ACK, 0x1000
	return p
}

// withGRE adds what every EnhancedGRE packet of the tests has.
func withGRE(p wire.Packet, header uint32, faults wire.Faults) wire.Packet {
	p.Kind, p.Payload, p.CallID, p.Faults = wire.EnhancedGRE, p.L4+header, 0xabcd, faults
	return p
}

func withSeq(p wire.Packet) wire.Packet {
	p.HasSeq, p.Seq = true, 0x11121314
	return p
}

func withAck(p wire.Packet) wire.Packet {
	p.HasAck, p.Ack = true, 0x21222324
	return p
}

// withFragment makes p a fragment as fragment4 or fragment6 make it.
func withFragment(p wire.Packet, offset uint16, more bool) wire.Packet {
	p.Fragment, p.FragmentOffset, p.MoreFragments, p.FragmentID = true, offset, more, 0x1234
	if p.Version == 6 {
		p.FragmentID = 0x89abcdef
	}
	return p
}
