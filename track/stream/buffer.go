package stream

import "math/bits"

// buffer holds the octets of a stream from some position on, with gaps.
type buffer struct {
	octets [BufferSize]byte
	have   marks
}

// marks has a bit for every octet of a buffer that is there.
type marks [BufferSize / 64]uint64

// there returns the octets from offset at on before the first gap.
func (b *buffer) there(at int) []byte { return b.octets[at:b.have.gap(at)] }

// fill copies data to offset at, as much as there is room for, and returns how
// much that is. Octets already there stay as they are.
func (b *buffer) fill(at int, data []byte) int {
	n := min(len(data), len(b.octets)-at)
	data = data[:n]
	for len(data) > 0 {
		size := min(64-at%64, len(data))
		b.fillWord(at, data[:size])
		at, data = at+size, data[size:]
	}
	return n
}

// fillWord is fill for octets whose marks are in one word.
func (b *buffer) fillWord(at int, data []byte) {
	word, bits := &b.have[at/64], ^uint64(0)>>(64-len(data))<<(at%64)
	if *word&bits == 0 {
		copy(b.octets[at:], data)
	} else {
		for i, octet := range data {
			if *word>>((at+i)%64)&1 == 0 {
				b.octets[at+i] = octet
			}
		}
	}
	*word |= bits
}

// shift forgets the first n octets.
func (b *buffer) shift(n int) {
	copy(b.octets[:], b.octets[n:])
	b.have.shift(n)
}

// gap is the offset, from at on, of the first octet that is not there.
func (m *marks) gap(at int) int { return m.find(at, ^uint64(0)) }

// island is the offset of the first octet that is there behind the first gap
// from at on.
func (m *marks) island(at int) int { return m.find(m.gap(at), 0) }

// find is the offset, from at on, of the first mark that is set in m^flip, or
// BufferSize if none is.
func (m *marks) find(at int, flip uint64) int {
	from := ^uint64(0) << (at % 64)
	for i := at / 64; i < len(m); i++ {
		if word := (m[i] ^ flip) & from; word != 0 {
			return i*64 + bits.TrailingZeros64(word)
		}
		from = ^uint64(0)
	}
	return BufferSize
}

// end is the number of octets up to the last one that is there.
func (m *marks) end() int {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != 0 {
			return i*64 + bits.Len64(m[i])
		}
	}
	return 0
}

// shift moves every mark n octets towards the start.
func (m *marks) shift(n int) {
	words, rest := n/64, n%64
	for i := range m {
		var word uint64
		if from := i + words; from < len(m) {
			word = m[from] >> rest
			if rest != 0 && from+1 < len(m) {
				word |= m[from+1] << (64 - rest)
			}
		}
		m[i] = word
	}
}
