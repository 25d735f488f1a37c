package wire

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address, its octets as two big-endian words; IPv4 in its
// IPv4-mapped form (RFC 4291, section 2.5.5.2), so that one key serves both
// families. Words, because keys of addresses are made and compared for every
// frame: to store octets and to load words right after stalls the processor.
type Addr struct{ Hi, Lo uint64 }

const mappedPrefix = 0xffff << 32

// addr4 returns the IPv4-mapped form of the 4 octets of b.
func addr4(b []byte) Addr { return Addr{Lo: mappedPrefix | uint64(binary.BigEndian.Uint32(b))} }

// addr6 returns the address in the 16 octets of b.
func addr6(b []byte) Addr {
	return Addr{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:16])}
}

// AddrFrom4 returns the IPv4-mapped form of an IPv4 address, given as a number.
func AddrFrom4(a uint32) Addr { return Addr{Lo: mappedPrefix | uint64(a)} }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.isMapped() }

// V4 returns the IPv4 address that a is, as a number.
func (a Addr) V4() uint32 { return uint32(a.Lo) }

// isMapped reports whether a is an IPv4-mapped address.
func (a Addr) isMapped() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// AddrFrom returns the Addr of an address without zone.
func AddrFrom(a netip.Addr) Addr {
	octets := a.As16()
	return addr6(octets[:])
}

// Netip returns the address as others know it, IPv4 as IPv4.
func (a Addr) Netip() netip.Addr {
	var octets [16]byte
	binary.BigEndian.PutUint64(octets[:8], a.Hi)
	binary.BigEndian.PutUint64(octets[8:], a.Lo)
	return netip.AddrFrom16(octets).Unmap()
}

// sum adds up the 16-bit words of a.
func (a Addr) sum() (sum uint64) {
	for _, word := range [...]uint64{a.Hi, a.Lo} {
		sum += word>>48 + word>>32&0xffff + word>>16&0xffff + word&0xffff
	}
	return sum
}
