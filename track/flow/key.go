package flow

import (
	"math/bits"

	"github.com/grewire/grewire/track/wire"
)

// Kind keeps the keys of different tables and purposes apart.
type Kind uint8

// The kinds of key.
const (
	_ Kind = iota
	// ControlKey names a control connection: Src and SrcID are the LAN
	// side's address and TCP port, Dst and DstID the WAN side's.
	ControlKey
	// AnyZoneKey is a ControlKey without its zone.
	AnyZoneKey
	// GREKey names a direction of a call as its packets look on the side
	// where they come in: DstID is the call ID in their header.
	GREKey
	// FragmentKey names a fragmented datagram: SrcID and DstID are the high
	// and low half of its identification, Proto the IPv4 protocol.
	FragmentKey
	// HostKey names a host, Src.
	HostKey
)

// Key is the identity of something in a table. It holds no pointers and no
// gaps, so that it can be compared and hashed as it lies.
type Key struct {
	Src, Dst     wire.Addr
	Zone         wire.Zone
	SrcID, DstID uint16
	Kind         Kind
	Side         Side
	Proto        uint8
	_            uint8
}

// equal reports whether two keys are the same, field by field: the key that is
// looked for was just made, and comparing it as a block would wait for that.
func (k *Key) equal(o *Key) bool {
	return k.Src == o.Src && k.Dst == o.Dst && k.Zone == o.Zone && k.SrcID == o.SrcID && k.DstID == o.DstID &&
		k.Kind == o.Kind && k.Side == o.Side && k.Proto == o.Proto
}

// Hash mixes the key with seed. Without knowing the seed nobody can choose
// keys that collide: each of the three products takes 64 secret bits in.
func (k *Key) Hash(seed uint64) uint64 {
	a := mix(k.Src.Hi^seed^0xa0761d6478bd642f, k.Src.Lo^0x9e3779b97f4a7c15)
	b := mix(k.Dst.Hi^seed^0xd1b54a32d192ed03, k.Dst.Lo^0x8cb92ba72f3d8dd7)
	tail := uint64(k.SrcID) | uint64(k.DstID)<<16 | uint64(k.Kind)<<32 | uint64(k.Side)<<40 | uint64(k.Proto)<<48
	return mix(a^uint64(k.Zone)^seed, b^tail^bits.RotateLeft64(seed, 32))
}

// mix is the folded 128-bit product, the core of wyhash and its kin.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
