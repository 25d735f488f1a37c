package receive

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// Case is a datagram that random headers surround, in one frame or more.
type Case struct {
	Number uint32 // 24 bits, in its source address
	Frames []Frame
}

// Frame is what a packet socket is given.
type Frame struct {
	Data    []byte
	Offload []byte // a virtio_net_hdr, nil for none
}

// IP protocols and IPv6 extension headers.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	auth        = 51
	destination = 60
	mobility    = 135
	hip         = 139
	shim6       = 140
)

// builder makes the frames of one case.
type builder struct {
	r      *rand.Rand
	number uint32
	six    bool
	proto  uint8 // of what IP carries
}

func numberOf(addr []byte) uint32 {
	return binary.BigEndian.Uint32(addr[len(addr)-4:]) & 0xffffff
}

func (b *builder) source() []byte {
	if b.six {
		return binary.BigEndian.AppendUint32([]byte{0: 0xfd, 11: 0}, b.number)
	}
	return binary.BigEndian.AppendUint32(nil, 10<<24|b.number)
}

func (b *builder) destination() []byte {
	if b.six {
		return host6[:]
	}
	return host4[:]
}

func (b *builder) etherType() uint16 {
	if b.six {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

// ip is the packet of a payload, without anything odd.
func (b *builder) ip(payload []byte) []byte {
	if b.six {
		return b.ip6(b.proto, payload)
	}
	return b.ip4(b.proto, nil, 0, 0, payload)
}

// ip4 is an IPv4 packet; word has the flags and the offset of fragments.
func (b *builder) ip4(proto uint8, options []byte, id, word uint16, payload []byte) []byte {
	p := []byte{0: 0x45 + byte(len(options)/4), 8: 64, 9: proto, 11: 0}
	p = slices.Concat(p, b.source(), b.destination(), options, payload)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], word)
	finish4(p)
	return p
}

// finish4 enters the checksum of an IPv4 header.
func finish4(p []byte) {
	header := min(int(p[0]&0xf)*4, len(p))
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(0, p[:header])))
}

func (b *builder) ip6(next uint8, payload []byte) []byte {
	p := []byte{0: 0x60, 6: next, 7: 64}
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	return slices.Concat(p, b.source(), b.destination(), payload)
}

// syn is a SYN whose checksum is right.
func (b *builder) syn(from, to uint16) []byte {
	t := []byte{12: 5 << 4, 13: 2, 14: 0x10, 19: 0}
	binary.BigEndian.PutUint16(t, from)
	binary.BigEndian.PutUint16(t[2:], to)
	b.finishTCP(t)
	return t
}

// finishTCP enters the checksum of a segment.
func (b *builder) finishTCP(t []byte) {
	t[16], t[17] = 0, 0
	binary.BigEndian.PutUint16(t[16:], ^fold(sum(b.pseudo(len(t)), t)))
}

// pseudo is the sum of the pseudo-header of a segment.
func (b *builder) pseudo(length int) uint32 {
	return sum(sum(unix.IPPROTO_TCP+uint32(length), b.source()), b.destination())
}

func sum(start uint32, data []byte) uint32 {
	for ; len(data) >= 2; data = data[2:] {
		start += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		start += uint32(data[0]) << 8
	}
	return start
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// fragmentHeader is that of IPv6; word has the offset and the flag.
func fragmentHeader(next uint8, word uint16, id uint32) []byte {
	h := []byte{next, 0, 0, 0}
	binary.BigEndian.PutUint16(h[2:], word)
	return binary.BigEndian.AppendUint32(h, id)
}
