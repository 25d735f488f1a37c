// Package csum carries a change of a packet over into its checksums without
// reading the rest of the packet (RFC 1624). What a rewrite changed is a Sum,
// Sums of several changes add up, and a Sum is applied to the checksum field
// of every header that covers what was changed:
//
//	addresses := csum.Long(host, alias)
//	ids := csum.Octets(at, before, after)
//	addresses.Apply(ipv4[10:12])
//	(addresses + ids).Apply(tcp[16:18])
//
// A checksum that was wrong is wrong by as much afterwards: whoever receives
// the packet still finds out.
package csum

import "encoding/binary"

// Sum is what the 16-bit words under a checksum changed by: ~m + m' of
// RFC 1624, equation 3, for every word m that became m', carries not yet
// folded in. The zero Sum is no change. Sums add up with +; there is room for
// the carries of 2^31 changes.
type Sum uint64

// Word is the change of a 16-bit word at an even offset.
func Word(from, to uint16) Sum { return Sum(^from) + Sum(to) }

// Long is the change of a 32-bit word at an even offset.
func Long(from, to uint32) Sum { return Sum(^from) + Sum(to) }

// Octets is the change of a run of octets, from and to equally long, that
// starts offset octets behind the start of what the checksum covers. Of the
// offset only whether it is odd matters: then each octet of the run has the
// other place in its word, and the sum of the run its octets swapped
// (RFC 1071, section 2 (B)).
func Octets(offset int, from, to []byte) Sum {
	change := fold(uint64(^fold(add(from))) + add(to))
	if offset&1 != 0 {
		change = change<<8 | change>>8
	}
	return Sum(change)
}

// add adds up the 16-bit words of b, the last one padded with a zero octet. It
// takes two words at a time: the carries end up in the same sum (RFC 1071,
// section 2 (C)).
func add(b []byte) (sum uint64) {
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// fold is the one's complement sum of the 16-bit words of sum. It is 0 only of
// 0, which is why equation 3 comes out as a computation from scratch does.
func fold(sum uint64) uint16 {
	sum = sum&0xffffffff + sum>>32
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	return uint16(sum)
}

// Apply changes a checksum field, 2 octets, with what it covers: HC' =
// ~(~HC + ~m + m'). It leaves the field as a computation from scratch would
// (a sum of nothing but zeros aside, which no IPv4 header and no pseudo-header
// has): 0x0000 where the older equations give 0xffff. A field that should have
// been 0x0000 but came as 0xffff stays that way as long as nothing changes.
//
// It is right for IPv4, TCP, ICMP and ICMPv6. UDP is none of PPTP's business,
// and its field would need more: 0x0000 there means that there is no checksum,
// and 0xffff stands for it (RFC 768).
func (s Sum) Apply(field []byte) {
	change := fold(uint64(s))
	if change == 0 || change == 0xffff {
		return
	}
	sum := uint64(^binary.BigEndian.Uint16(field)) + uint64(change)
	binary.BigEndian.PutUint16(field, ^fold(sum))
}

// ApplyUnfinished is Apply for a checksum that whoever sends the packet has yet
// to finish (the kernel's CHECKSUM_PARTIAL). The field holds the sum of the
// pseudo-header until then, folded and not complemented, and the rest will be
// read as it is: so s is the change of the pseudo-header's words alone, the
// addresses.
func (s Sum) ApplyUnfinished(field []byte) {
	binary.BigEndian.PutUint16(field, fold(uint64(binary.BigEndian.Uint16(field))+uint64(s)))
}
