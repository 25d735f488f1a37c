package receive

import (
	"slices"
)

// packets puts a transport header with its data into one IP packet or several.
func (b *builder) packets(transport []byte) [][]byte {
	if b.six {
		return b.packets6(transport)
	}
	return b.packets4(transport)
}

func (b *builder) packets4(transport []byte) (packets [][]byte) {
	options, id := b.options(), uint16(b.r.Uint32())
	proto := b.proto
	if b.one(20) {
		proto, transport = auth, b.extension(auth, b.proto, transport)
	}
	for _, p := range b.pieces(transport, proto) {
		word := uint16(p.offset / 8)
		if p.more {
			word |= 0x2000
		}
		if b.one(4) {
			word |= 0x4000 // don't fragment
		}
		packets = append(packets, b.ip4(p.proto, options, id, word, p.data))
	}
	return packets
}

// options are IPv4's.
func (b *builder) options() []byte {
	words := pick(b, 0, 0, 0, 1, 2, 10)
	o := make([]byte, words*4)
	for i := range o {
		o[i] = 1 // no operation
	}
	if words == 0 {
		return o
	}
	switch b.r.IntN(5) {
	case 0:
		copy(o, []byte{148, 4, 0, 0}) // router alert
	case 1:
		copy(o, []byte{7, byte(words * 4), 4}) // record route
	case 2:
		copy(o, []byte{pick[byte](b, 131, 137), byte(words * 4), byte(words*4 + 1)}) // source route, used up
	case 3:
		copy(o, b.octets(len(o)))
	}
	return o
}

// packets6 has a chain of extension headers, of which the first stand before
// the Fragment header, if there is one.
func (b *builder) packets6(transport []byte) (packets [][]byte) {
	chain := b.chain()
	before := b.r.IntN(len(chain) + 1)
	next, body := b.proto, transport
	for _, kind := range slices.Backward(chain[before:]) {
		body = b.extension(kind, next, body)
		next = kind
	}
	pieces, id := b.pieces(body, next), b.r.Uint32()
	for _, p := range pieces {
		next, body := p.proto, p.data
		if len(pieces) > 1 || b.one(6) {
			word := uint16(p.offset)
			if p.more {
				word |= 1
			}
			next, body = fragment, append(fragmentHeader(next, word, id), body...)
		}
		for _, kind := range slices.Backward(chain[:before]) {
			body = b.extension(kind, next, body)
			next = kind
		}
		packets = append(packets, b.ip6(next, body))
	}
	return packets
}

func (b *builder) chain() (chain []uint8) {
	if b.one(3) {
		chain = append(chain, hopByHop)
	}
	for b.one(3) {
		chain = append(chain, pick[uint8](b, destination, destination, destination, routing, routing, auth, mobility, hip, shim6, hopByHop, fragment))
	}
	return chain
}

// extension is an extension header with what follows it.
func (b *builder) extension(kind, next uint8, body []byte) []byte {
	words := pick(b, 0, 0, 1, 4)
	h := make([]byte, 8+8*words)
	h[0], h[1] = next, byte(words)
	switch kind {
	case fragment:
		h = fragmentHeader(next, pick[uint16](b, 0, 0, 1, 8), b.r.Uint32())
	case auth:
		h[1] = byte(len(h)/4 - 2)
	case routing:
		h[2], h[3] = pick[byte](b, 0, 2, 4, byte(b.r.Uint32())), pick[byte](b, 0, 0, 0, 1)
	case hopByHop, destination:
		b.fill(h[2:])
	}
	if b.one(30) {
		h[1] = byte(b.r.Uint32())
	}
	return append(h, body...)
}

// fill fills an extension header with options, padding most of all.
func (b *builder) fill(o []byte) {
	copy(o, []byte{1, byte(len(o) - 2)}) // PadN
	switch b.r.IntN(8) {
	case 0:
		copy(o, []byte{5, 2, 0, 0, 1, byte(len(o) - 6)}[:min(6, len(o))]) // router alert
	case 1:
		copy(o, []byte{0xc2, 4, 0, byte(b.r.IntN(3)), byte(b.r.Uint32()), byte(b.r.Uint32())}) // jumbo
	case 2:
		copy(o, []byte{pick[byte](b, 0x1e, 0x3e, 0x9e), byte(len(o) - 2)}) // unknown
	case 3:
		clear(o) // Pad1
	}
}

// piece is a part of a datagram, as a fragment has it.
type piece struct {
	offset int
	more   bool
	proto  uint8
	data   []byte
}

// pieces cuts the payload of a datagram, or does not.
func (b *builder) pieces(payload []byte, proto uint8) []piece {
	if !b.one(4) || len(payload) <= 8 {
		return []piece{{proto: proto, data: payload}}
	}
	size := pick(b, 8, 16, 24, 32, 64)
	var all []piece
	for at := 0; at < len(payload); at += size {
		end := min(at+size, len(payload))
		all = append(all, piece{at, end < len(payload), proto, payload[at:end]})
	}
	if len(all) > 1 && b.one(2) {
		all = b.spoil(all)
	}
	return all
}

// spoil changes what the fragments of a datagram say, or their order.
func (b *builder) spoil(all []piece) []piece {
	i := b.r.IntN(len(all))
	switch p := &all[i]; b.r.IntN(9) {
	case 0, 1:
		b.r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	case 2:
		slices.Reverse(all)
	case 3:
		all = append(all, all[i]) // twice
	case 4:
		p.offset = max(p.offset-8, 0) // overlaps
	case 5:
		all = slices.Delete(all, i, i+1)
	case 6:
		p.more = !p.more
	case 7:
		p.data = p.data[:b.r.IntN(len(p.data)+1)]
	case 8:
		p.proto = pick[uint8](b, 6, 17, 47, 59, destination)
	}
	return all
}
