package csum_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/nat/csum"
)

// full computes a checksum from scratch, as plainly as RFC 1071 describes it,
// over parts as if they stood in a row; all but the last have an even length.
func full(parts ...[]byte) uint16 { return ^sum(parts...) }

func sum(parts ...[]byte) uint16 {
	total := uint32(0)
	for _, b := range parts {
		for i, octet := range b {
			total += uint32(octet) << (8 * (1 - i%2))
			total = total&0xffff + total>>16
		}
	}
	return uint16(total)
}

func put(field []byte, v uint16) { binary.BigEndian.PutUint16(field, v) }
func get(field []byte) uint16    { return binary.BigEndian.Uint16(field) }

// TestExamples has the worked examples of the RFCs and the ends of the range.
func TestExamples(t *testing.T) {
	for _, c := range []struct {
		name         string
		field        uint16
		change       csum.Sum
		want, wantUn uint16
	}{
		{"RFC 1624, section 4", 0xdd2f, csum.Word(0x5555, 0x3285), 0x0000, 0xba5f},
		{"back again", 0x0000, csum.Word(0x3285, 0x5555), 0xdd2f, 0x22d0},
		{"no change", 0x1234, 0, 0x1234, 0x1234},
		{"the same word", 0x1234, csum.Word(7, 7), 0x1234, 0x1234},
		{"the same word under 0xffff", 0xffff, csum.Word(7, 7), 0xffff, 0xffff},
		{"changes that cancel", 0xffff, csum.Word(1, 2) + csum.Word(2, 1), 0xffff, 0xffff},
		{"0xffff leaves as what it means", 0xffff, csum.Word(0, 1), 0xfffe, 0x0001},
		{"all ones to all zeros", 0x1234, csum.Word(0xffff, 0), 0x1234, 0x1234},
		{"all zeros to all ones", 0x0000, csum.Word(0, 0xffff), 0x0000, 0xffff},
		{"to 0xfffe", 0x0000, csum.Word(0xffff, 0x0001), 0xfffe, 0x0001},
		{"both halves of a long", 0x0000, csum.Long(0x00010002, 0x00030004), 0xfffb, 0x0004},
		{"a carry out of a long", 0x0000, csum.Long(0xffff0000, 0x0001ffff), 0xfffe, 0x0001},
	} {
		var field, unfinished [2]byte
		put(field[:], c.field)
		put(unfinished[:], c.field)
		c.change.Apply(field[:])
		c.change.ApplyUnfinished(unfinished[:])
		if get(field[:]) != c.want || get(unfinished[:]) != c.wantUn {
			t.Errorf("%s: finished %#04x, unfinished %#04x, want %#04x and %#04x",
				c.name, get(field[:]), get(unfinished[:]), c.want, c.wantUn)
		}
	}
}

// TestEveryWord replaces a word by every other value, next to words that make
// the checksum pass 0x0000 and what is beside it.
func TestEveryWord(t *testing.T) {
	for _, rest := range []uint16{1, 0x7fff, 0x8000, 0xfffe, 0xffff} {
		for _, from := range []uint16{0, 1, 0x00ff, 0xff00, 0xfffe, 0xffff} {
			before := []byte{byte(from >> 8), byte(from), byte(rest >> 8), byte(rest)}
			for to := range 1 << 16 {
				after := []byte{byte(to >> 8), byte(to), byte(rest >> 8), byte(rest)}
				var field [2]byte
				put(field[:], full(before))
				if csum.Word(from, uint16(to)).Apply(field[:]); get(field[:]) != full(after) {
					t.Fatalf("%x to %x: %#04x, want %#04x", before, after, get(field[:]), full(after))
				}
			}
		}
	}
}

// datagram is what a checksum covers: a pseudo-header and data, which has the
// field in it.
type datagram struct {
	pseudo, data []byte
	at           int
}

func (d datagram) field() []byte { return d.data[d.at : d.at+2] }

// checksum is what the field should hold.
func (d datagram) checksum() uint16 {
	data := bytes.Clone(d.data)
	put(data[d.at:], 0)
	return full(d.pseudo, data)
}

// octets are mostly of the kind that carries come from.
func octets(t *rapid.T, least, most int, name string) []byte {
	octet := rapid.OneOf(rapid.SampledFrom([]byte{0, 1, 0xfe, 0xff}), rapid.Byte())
	return rapid.SliceOfN(octet, least, most).Draw(t, name)
}

func drawDatagram(t *rapid.T) datagram {
	d := datagram{octets(t, 8, 8, "pseudo-header"), octets(t, 8, 45, "data"), 0}
	d.pseudo[0] |= 1 // never all zeros
	d.at = 2 * rapid.IntRange(0, len(d.data)/2-1).Draw(t, "field")
	put(d.field(), d.checksum())
	return d
}

// replace puts octets in the place of others in b, with the method that is
// meant for as many, and returns the change.
func replace(t *rapid.T, b []byte, offset int, name string) csum.Sum {
	at := rapid.IntRange(0, len(b)).Draw(t, name+" at")
	to := octets(t, 0, len(b)-at, name)
	from := bytes.Clone(b[at:])[:len(to)]
	copy(b[at:], to)
	whole := (offset+at)%2 == 0 && rapid.Bool().Draw(t, "as a word")
	switch {
	case whole && len(to) == 2:
		return csum.Word(get(from), get(to))
	case whole && len(to) == 4:
		return csum.Long(binary.BigEndian.Uint32(from), binary.BigEndian.Uint32(to))
	}
	return csum.Octets(offset+at, from, to)
}

// TestAgainstFull replaces any runs of octets, on both sides of the field and
// in the pseudo-header, and compares with a computation from scratch.
func TestAgainstFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDatagram(t)
		var change csum.Sum
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			change += replace(t, d.pseudo[2:], 2, "pseudo-header")
			change += replace(t, d.data[:d.at], 0, "before the field")
			change += replace(t, d.data[d.at+2:], d.at+2, "behind the field")
		}
		change.Apply(d.field())
		if got, want := get(d.field()), d.checksum(); got != want {
			t.Fatalf("checksum %#04x, want %#04x", got, want)
		}
	})
}

// TestToAnyChecksum has a last word make the checksum whatever is wanted, the
// ends of the range above all.
func TestToAnyChecksum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDatagram(t)
		want := rapid.OneOf(rapid.SampledFrom([]uint16{0, 1, 0xfffd, 0xfffe}), rapid.Uint16Range(0, 0xfffe)).Draw(t, "want")
		from := get(d.pseudo[4:])
		put(d.pseudo[4:], 0)
		others := ^d.checksum()
		put(d.pseudo[4:], sum([]byte{byte(^want >> 8), byte(^want), byte(^others >> 8), byte(^others)}))
		csum.Word(from, get(d.pseudo[4:])).Apply(d.field())
		if got := get(d.field()); got != want || got != d.checksum() {
			t.Fatalf("checksum %#04x, want %#04x, from scratch %#04x", got, want, d.checksum())
		}
	})
}

// TestUnfinished finishes a checksum as a sender's NIC does, after both its
// pseudo-header and its data were changed.
func TestUnfinished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDatagram(t)
		put(d.field(), sum(d.pseudo))
		change := replace(t, d.pseudo[2:], 2, "pseudo-header")
		replace(t, d.data[:d.at], 0, "before the field")
		replace(t, d.data[d.at+2:], d.at+2, "behind the field")
		change.ApplyUnfinished(d.field())
		put(d.field(), full(d.data))
		if got, want := get(d.field()), d.checksum(); got != want {
			t.Fatalf("finished, the checksum is %#04x, want %#04x", got, want)
		}
	})
}

// TestWrongStaysWrong changes a datagram with any wrong checksum.
func TestWrongStaysWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDatagram(t)
		right := get(d.field())
		wrong := rapid.Uint16().Filter(func(v uint16) bool { return v%0xffff != right%0xffff }).Draw(t, "wrong")
		put(d.field(), wrong)
		replace(t, d.pseudo[2:], 2, "pseudo-header").Apply(d.field())
		if got := get(d.field()); got%0xffff == d.checksum()%0xffff {
			t.Fatalf("%#04x instead of %#04x became right: %#04x", wrong, right, got)
		}
	})
}

// FuzzOctets replaces a run in the middle of what is covered.
func FuzzOctets(f *testing.F) {
	f.Add([]byte{}, []byte{1, 2}, []byte{3, 4}, []byte{})
	f.Add([]byte{1}, []byte{0xff}, []byte{0}, []byte{0xff, 0xff})
	f.Add([]byte{1, 2, 3}, []byte{0, 0, 0, 0, 0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff}, []byte{9})
	f.Fuzz(func(t *testing.T, ahead, from, to, behind []byte) {
		n := min(len(from), len(to))
		version := []byte{0x45, 0}
		before := bytes.Join([][]byte{ahead, from[:n], behind}, nil)
		after := bytes.Join([][]byte{ahead, to[:n], behind}, nil)
		var field [2]byte
		put(field[:], full(version, before))
		csum.Octets(len(ahead), from[:n], to[:n]).Apply(field[:])
		if got, want := get(field[:]), full(version, after); got != want {
			t.Fatalf("%x to %x: checksum %#04x, want %#04x", before, after, got, want)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	from, to, field := make([]byte, 1461), bytes.Repeat([]byte{0xff}, 1461), make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		s := csum.Octets(3, from, to) + csum.Long(1, 2) + csum.Word(3, 4)
		s.Apply(field)
		s.ApplyUnfinished(field)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkApply is what a rewrite costs: an address and a call ID.
func BenchmarkApply(b *testing.B) {
	field := []byte{0x12, 0x34}
	for i := 0; b.Loop(); i++ {
		s := csum.Long(0x0a000001, uint32(i)) + csum.Word(uint16(i), 7)
		s.Apply(field)
	}
}

// BenchmarkOctets is the change of a run, by its length: an ID, an address of
// either family, the longest request, and a whole segment, which is what two
// computations from scratch would take.
func BenchmarkOctets(b *testing.B) {
	for _, n := range []int{2, 4, 16, 168, 1460} {
		from, to, field := make([]byte, n), bytes.Repeat([]byte{0xa5}, n), []byte{0x12, 0x34}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for i := 0; b.Loop(); i++ {
				csum.Octets(i, from, to).Apply(field)
			}
		})
	}
}
