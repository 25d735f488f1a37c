package main

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFCS16(t *testing.T) {
	// The table's corners (RFC 1662, appendix C.2), and the check value of
	// this polynomial: the catalogues' CRC-16/X-25 of "123456789".
	for i, want := range map[int]uint16{0: 0x0000, 1: 0x1189, 2: 0x2312, 8: 0x8c48, 16: 0x1081, 128: 0x8408, 255: 0x0f78} {
		if fcsTable[i] != want {
			t.Errorf("fcsTable[%d] = %#04x, want %#04x", i, fcsTable[i], want)
		}
	}
	if got := ^fcs16(fcsInitial, []byte("123456789")); got != 0x906e {
		t.Errorf("FCS of 123456789 = %#04x, want 0x906e", got)
	}
}

func TestEscapes(t *testing.T) {
	// The examples of RFC 1662, section 4.2.
	for _, row := range []struct{ in, want []byte }{
		{[]byte{0x7e}, []byte{0x7d, 0x5e}},
		{[]byte{0x7d}, []byte{0x7d, 0x5d}},
		{[]byte{0x03}, []byte{0x7d, 0x23}},
		{[]byte{0x11}, []byte{0x7d, 0x31}},
		{[]byte{0x13}, []byte{0x7d, 0x33}},
		{[]byte{0x20, 0xff}, []byte{0x20, 0xff}},
	} {
		if got := appendEscaped(nil, row.in); !bytes.Equal(got, row.want) {
			t.Errorf("% x escaped is % x, want % x", row.in, got, row.want)
		}
	}
}

// deframe feeds all chunks and returns the frames.
func deframe(d *deframer, chunks ...[]byte) (frames [][]byte) {
	for _, chunk := range chunks {
		d.feed(chunk, func(frame []byte) { frames = append(frames, slices.Clone(frame)) })
	}
	return frames
}

func TestDeframe(t *testing.T) {
	good := appendHDLC(nil, []byte("good"))
	damaged := slices.Clone(good)
	damaged[2] ^= 1
	for _, row := range []struct {
		name   string
		in     []byte
		frames int
		bad    int
	}{
		{"one", good, 1, 0},
		{"two share a flag", append(slices.Clone(good), good[1:]...), 2, 0},
		{"nothing between flags", []byte{flagSequence, flagSequence, flagSequence}, 0, 0},
		{"damaged", append(damaged, good...), 1, 1},
		{"aborted", append([]byte{'x', controlEscape, flagSequence}, good...), 1, 1},
		{"noise before", append([]byte("noise"), good...), 1, 1},
		{"too long", append(bytes.Repeat([]byte{'x'}, maxFrame+1), good...), 1, 1},
		{"unfinished", good[:len(good)-1], 0, 0},
		{"check sequence alone", appendHDLC(nil, nil), 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var d deframer
			frames := deframe(&d, row.in)
			if len(frames) != row.frames || d.bad != row.bad {
				t.Errorf("%d frames and %d bad, want %d and %d", len(frames), d.bad, row.frames, row.bad)
			}
			for _, frame := range frames {
				if string(frame) != "good" {
					t.Errorf("frame %q", frame)
				}
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 1500)).Draw(t, "frames")
		var stream []byte
		for _, frame := range frames {
			stream = appendHDLC(stream, frame)
		}
		cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		var d deframer
		got := deframe(&d, stream[:cut], stream[cut:])
		if d.bad != 0 || !slices.EqualFunc(got, frames, bytes.Equal) {
			t.Fatalf("%d frames became %d, %d bad", len(frames), len(got), d.bad)
		}
	})
}

func FuzzDeframe(f *testing.F) {
	f.Add(appendHDLC(nil, []byte("frame")), 3)
	f.Add([]byte{flagSequence, controlEscape, flagSequence}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		var whole, parts deframer
		want := deframe(&whole, stream)
		cut = max(0, min(cut, len(stream)))
		if got := deframe(&parts, stream[:cut], stream[cut:]); !slices.EqualFunc(got, want, bytes.Equal) || parts.bad != whole.bad {
			t.Fatalf("cut at %d: %d frames and %d bad, want %d and %d", cut, len(got), parts.bad, len(want), whole.bad)
		}
		for _, frame := range want {
			if again := deframe(new(deframer), appendHDLC(nil, frame)); len(again) != 1 || !bytes.Equal(again[0], frame) {
				t.Fatalf("frame % x became % x", frame, again)
			}
		}
	})
}
