package wire_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/wire"
)

// commonFrame has every optional field of the common shape.
var commonFrame = eth(ether4(ip4(47, "", octets("3081 880b 0004 abcd 11121314 21222324 64617461"))))

// headers is the length of commonFrame's headers.
const headers = 14 + 20 + 16

// TestCommonShape decodes frames that are almost, or just, of the common shape
// by the short way and by the general one.
func TestCommonShape(t *testing.T) {
	short, frames := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		frame := slices.Clone(commonFrame)
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, headers-1).Draw(t, "at")
			frame[at] ^= rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{1, 2, 0x10, 0x80})).Draw(t, "change")
		}
		frame = append(frame, make([]byte, rapid.IntRange(0, 20).Draw(t, "padding"))...)
		frame = slices.Clip(frame[:rapid.OneOf(rapid.Just(len(frame)), rapid.IntRange(0, len(frame))).Draw(t, "length")])
		sameWithoutShortWay(t, frame)
		if frames++; wire.Common(frame) {
			short++
		}
	})
	if short == 0 || short == frames {
		t.Errorf("%d of %d frames took the short way: want some and not all", short, frames)
	}
}

// TestCommonShapeBitByBit turns every bit of the headers of the common frame.
func TestCommonShapeBitByBit(t *testing.T) {
	for bit := range headers * 8 {
		frame := slices.Clone(commonFrame)
		frame[bit/8] ^= 1 << (bit % 8)
		sameWithoutShortWay(t, frame)
	}
}

// TestCommonShapeRows says which of the known frames take the short way.
func TestCommonShapeRows(t *testing.T) {
	for _, r := range allRows() {
		sameWithoutShortWay(t, r.frame)
		p := &r.want
		want := p.Kind == wire.EnhancedGRE && p.Version == 4 && p.L3 == 14 && p.L4 == 34 && !p.Fragment
		if len(r.frame) <= 0xffff && wire.Common(r.frame) != want {
			t.Errorf("%s: short way %v, want %v", r.name, !want, want)
		}
	}
}

func sameWithoutShortWay(t interface{ Fatalf(string, ...any) }, frame []byte) {
	got, want := dirty(), dirty()
	wire.Decode(frame, &got)
	wire.General(frame, &want)
	if got != want {
		t.Fatalf("%x\n(-general +short)\n%s", frame, cmp.Diff(want, got))
	}
}
