package receive

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// Random makes the case with a number. The same seed makes the same.
func Random(seed uint64, number uint32, mac [6]byte) Case {
	r := rand.New(rand.NewPCG(seed, uint64(number)))
	b := &builder{r: r, number: number, six: r.IntN(2) == 0}
	if b.one(12) {
		return Case{number, []Frame{b.superFrame(mac)}}
	}
	transport := b.transport()
	packets := b.packets(transport)
	c := Case{Number: number}
	link := b.link(mac)
	for _, p := range packets {
		b.lie(p)
		data := slices.Concat(link, p, b.trailer())
		if b.one(8) {
			b.mutate(data, len(link))
		}
		c.Frames = append(c.Frames, Frame{Data: data})
	}
	return c
}

// one is true once in n times.
func (b *builder) one(n int) bool { return b.r.IntN(n) == 0 }

func (b *builder) octets(n int) []byte {
	o := make([]byte, n)
	for i := range o {
		o[i] = byte(b.r.Uint32())
	}
	return o
}

// pick returns one of the values.
func pick[T any](b *builder, values ...T) T { return values[b.r.IntN(len(values))] }

// transport is GRE or TCP, and now and then something else.
func (b *builder) transport() []byte {
	switch b.r.IntN(10) {
	case 0:
		b.proto = pick[uint8](b, 17, 4, 41, 50, 59, 1, 58)
		return b.octets(b.r.IntN(60))
	case 1, 2, 3, 4:
		b.proto = unix.IPPROTO_GRE
		return b.gre()
	}
	b.proto = unix.IPPROTO_TCP
	return b.tcp()
}

func (b *builder) gre() []byte {
	g := binary.BigEndian.AppendUint16(nil, pick[uint16](b, 0x3001, 0x3081, 0x2001, 0x2081, 0, 0x2000, 0xb000, uint16(b.r.Uint32())))
	g = binary.BigEndian.AppendUint16(g, pick[uint16](b, 0x880b, 0x880b, 0x0800, 0x6558))
	payload := b.octets(b.r.IntN(64))
	g = binary.BigEndian.AppendUint16(g, uint16(len(payload)))
	g = slices.Concat(g, b.octets(10), payload)
	if b.one(10) {
		return g[:b.r.IntN(16)]
	}
	return g
}

func (b *builder) tcp() []byte {
	from, to := uint16(40000), uint16(port)
	if b.one(4) {
		from, to = to, from
	}
	options := make([]byte, 4*pick(b, 0, 0, 0, 1, 5, 10))
	for i := range options {
		options[i] = 1 // no operation
	}
	t := slices.Concat(b.syn(from, to), options, b.octets(pick(b, 0, 0, b.r.IntN(80))))
	t[12] = byte(5+len(options)/4) << 4
	if b.one(4) {
		t[13] = byte(b.r.Uint32())
	}
	if b.one(12) {
		t[12] = byte(b.r.Uint32())
	}
	if b.one(20) {
		return t[:b.r.IntN(20)]
	}
	if b.finishTCP(t); b.one(12) {
		t[17]++
	}
	return t
}

// superFrame leaves segmentation to the receiver. Its IP header may say
// nothing about its length, as the kernel's own super-frames of more than 64
// KiB do.
func (b *builder) superFrame(mac [6]byte) Frame {
	b.proto = unix.IPPROTO_TCP
	t := append(b.syn(40000, port), b.octets(200+b.r.IntN(3000))...)
	t[13] = pick[byte](b, 2, 0x10, 0x18)
	binary.BigEndian.PutUint16(t[16:], fold(b.pseudo(len(t))))
	p := b.ip(t)
	if b.one(2) {
		b.setLength(p, 0)
	}
	link := append(append(mac[:], 2, 0, 0, 0, 0, 9), byte(b.etherType()>>8), byte(b.etherType()))
	header := len(link) + len(p) - len(t)
	kind := byte(1) // VIRTIO_NET_HDR_GSO_TCPV4
	if b.six {
		kind = 4
	}
	o := []byte{1, kind}
	for _, v := range []int{header + 20, 500, header, 16} {
		o = binary.NativeEndian.AppendUint16(o, uint16(v))
	}
	return Frame{Data: append(link, p...), Offload: o}
}

// link is what stands before IP: Ethernet, tags, and rarely something else.
func (b *builder) link(mac [6]byte) []byte {
	l := append(mac[:], 2, 0, 0, 0, 0, 9)
	for b.one(4) {
		l = binary.BigEndian.AppendUint16(l, pick[uint16](b, 0x8100, 0x8100, 0x88a8, 0x9100, 0x9200, 0x9300))
		l = binary.BigEndian.AppendUint16(l, pick[uint16](b, 0, 0, 100, 0xe064, 4095, 0xe000))
	}
	switch b.r.IntN(40) {
	case 0:
		l = append(binary.BigEndian.AppendUint16(l, uint16(b.r.IntN(0x600))), 0xaa, 0xaa, 3, 0, 0, pick[byte](b, 0, 0xf8))
	case 1:
		l = append(l, 0x88, 0x64, 0x11, 0, 0, 7, 0, byte(b.r.Uint32()), 0, pick[byte](b, 0x21, 0x57, 0x3d))
		return l
	case 2:
		return append(l, 0x88, 0x47, 0, 1, 1, 64)
	case 3:
		return binary.BigEndian.AppendUint16(l, uint16(b.r.Uint32()))
	}
	return binary.BigEndian.AppendUint16(l, b.etherType())
}

func (b *builder) trailer() []byte {
	if b.one(3) {
		return b.octets(b.r.IntN(24))
	}
	return nil
}

// lie changes what an IP header says of its length, or its checksum.
func (b *builder) lie(p []byte) {
	if b.one(6) {
		stated := len(p)
		if b.six {
			stated -= 40
		}
		b.setLength(p, pick(b, 0, 0, stated+1+b.r.IntN(16), b.r.IntN(stated+1), int(b.r.Uint32())))
	}
	if !b.six && b.one(20) {
		p[10] ^= 1
	}
}

// setLength states a length in an IP header.
func (b *builder) setLength(p []byte, stated int) {
	if b.six {
		binary.BigEndian.PutUint16(p[4:], uint16(stated))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(stated))
	finish4(p)
}

// mutate changes octets of the headers, but not those that name the case.
func (b *builder) mutate(frame []byte, l3 int) {
	from, to := l3+12, l3+16
	if b.six {
		from, to = l3+8, l3+24
	}
	for range 1 + b.r.IntN(3) {
		at := 12 + b.r.IntN(min(len(frame), l3+80)-12)
		if at < from || at >= to {
			frame[at] = pick(b, byte(b.r.Uint32()), frame[at]^1<<b.r.IntN(8))
		}
	}
	if header := int(frame[l3]&0xf) * 4; !b.six && b.one(2) && header >= 20 && l3+header <= len(frame) {
		finish4(frame[l3:])
	}
}
