package stream

import "math/bits"

// buffer holds the octets of a stream from some position on, with gaps.
type buffer struct {
	octets [BufferSize]byte
	have   marks
}

// marks has a bit for every octet of a buffer that is there.
type marks [BufferSize / 64]uint64

// there returns the octets before the first gap.
func (b *buffer) there() []byte { return b.octets[:b.have.prefix()] }

// fill copies data to offset at, as much as there is room for, and returns how
// much that is. Octets already there stay as they are.
func (b *buffer) fill(at int, data []byte) int {
	room := b.octets[at:]
	n := min(len(data), len(room))
	for i, octet := range data[:n] {
		if b.have.set(at + i) {
			room[i] = octet
		}
	}
	return n
}

// shift forgets the first n octets.
func (b *buffer) shift(n int) {
	copy(b.octets[:], b.octets[n:])
	b.have.shift(n)
}

// set marks octet i and reports whether it was not there before.
func (m *marks) set(i int) bool {
	bit := uint64(1) << (i % 64)
	fresh := m[i/64]&bit == 0
	m[i/64] |= bit
	return fresh
}

// prefix is the number of octets before the first gap.
func (m *marks) prefix() int {
	for i, word := range m {
		if word != ^uint64(0) {
			return i*64 + bits.TrailingZeros64(^word)
		}
	}
	return BufferSize
}

func (m *marks) empty() bool { return *m == marks{} }

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
