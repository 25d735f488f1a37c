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
	// ConfirmedKey is the ControlKey of a connection that both ends were heard
	// of, and AnyZoneKey the same without its zone.
	ConfirmedKey
	AnyZoneKey
	// GREKey names a direction of a call as its packets look on the side
	// where they come in: DstID is the call ID in their header.
	GREKey
	// FragmentKey names a fragmented datagram: SrcID and DstID are the high
	// and low half of its identification, Proto the IPv4 protocol.
	FragmentKey
	// HostKey names a host, Src.
	HostKey
	// PairKey names two hosts: Src on the LAN, Dst on the WAN.
	PairKey
	// AliasKey is a translated ControlKey as the WAN sees it: Src and SrcID are
	// the LAN end's alias.
	AliasKey
	// CallNameKey names a call ID that a host on the LAN assigned, DstID: Src is
	// the address by which its peer on the WAN, Dst, knows the host, both IPv4,
	// with the host's own in its high word.
	CallNameKey
	// QuoteKey is GRE towards the WAN as it looks there: Src is the alias of
	// the LAN's end, DstID the call ID in the header.
	QuoteKey
	// AsideKey names a direction of a call whose GREKey another call has got, by
	// the call's number, Src.Lo, and the side where its packets come in.
	AsideKey
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

// Seed is the secret of a hash: a word for each factor of its products, so
// that nobody who does not know it can make a factor zero, or otherwise choose
// keys that collide.
type Seed [6]uint64

// NewSeed draws a Seed out of one secret word, with the generator of SplitMix64.
func NewSeed(secret uint64) (s Seed) {
	for i := range s {
		secret += 0x9e3779b97f4a7c15
		z := secret
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		s[i] = z ^ z>>31
	}
	return s
}

// Hash mixes the key with the seed. The last word is put together in another
// order than the key's own, so that the compiler does not read two of its
// fields at once: they were just written one by one, and such a read has to
// wait until both are in the cache.
func (k *Key) Hash(s *Seed) uint64 {
	a := mix(k.Src.Hi^s[0], k.Src.Lo^s[1])
	b := mix(k.Dst.Hi^s[2], k.Dst.Lo^s[3])
	tail := uint64(k.DstID) | uint64(k.SrcID)<<16 | uint64(k.Kind)<<32 | uint64(k.Side)<<40 | uint64(k.Proto)<<48
	return mix(a^uint64(k.Zone)^s[4], b^tail^s[5])
}

// mix is the folded 128-bit product, the core of wyhash and its kin.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
