package load

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

var testFlow = Flow{Source: netip.MustParseAddr("10.77.1.7"), Destination: netip.MustParseAddr("10.77.0.2"), CallID: 0x1234}

func made(t *testing.T, flow Flow, slot int, frameSizes []int) (*kernelFlow, []byte) {
	t.Helper()
	form := template([6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}, frameSizes)
	f, err := flow.entry(slot, form)
	if err != nil {
		t.Fatal(err)
	}
	return &f, form
}

// TestFrame holds the frames against those of package tracktest, which builds
// them another way.
func TestFrame(t *testing.T) {
	for _, size := range []int{64, 65, 128, 594, 1518, MaxSize} {
		f, form := made(t, testFlow, 0xbeef, []int{size})
		frame := form[:size-FCS]
		f.patch(frame, 0)
		f.patch(frame, 0x0123456789abcdef)
		if binary.BigEndian.Uint64(frame[atTime:]) != 0x0123456789abcdef || binary.BigEndian.Uint16(frame[atSlot:]) != 0xbeef {
			t.Errorf("size %d: time or slot are not in the frame: % x", size, frame[:headers])
		}
		from, to := tracktest.NewHost(track.LAN, "10.77.1.7"), tracktest.NewHost(track.WAN, "10.77.0.2")
		want := tracktest.GRE{CallID: testFlow.CallID, HasSeq: true, Seq: 2, Payload: frame[atPPP:]}.Frame(from, to)
		// Identification and fragmentation differ; the rest is the same but for their part of the checksum.
		copy(want[atIP+4:], []byte{0, 0, 0x40, 0})
		copy(want[atChecksum:], frame[atChecksum:atChecksum+2])
		if string(want[atIP:]) != string(frame[atIP:]) {
			t.Errorf("size %d:\n% x\nwant\n% x", size, frame[atIP:headers], want[atIP:headers])
		}
		if fold(sum(frame[atIP:atGRE])) != 0xffff {
			t.Errorf("size %d: wrong IP checksum", size)
		}
	}
}

func TestSizesTakeTurns(t *testing.T) {
	mix := PPTPMix()
	f, form := made(t, testFlow, 5, mix)
	count := map[int]int{}
	for range len(mix) {
		size := f.sizeOf(mix)
		f.patch(form[:size-FCS], 0)
		count[size]++
	}
	if len(count) != 3 || count[94] != 7 || count[630] != 4 || count[1454] != 1 {
		t.Errorf("sizes %v, want 7 of 94, 4 of 630, 1 of 1454", count)
	}
}

func TestBadSizesAndFlows(t *testing.T) {
	for _, sizes := range [][]int{nil, {63}, {MaxSize + 1}, make([]int, maxSizes+1)} {
		if checkSizes(sizes) == nil {
			t.Errorf("sizes %v are accepted", sizes)
		}
	}
	form := template([6]byte{}, [6]byte{}, []int{64})
	v6 := Flow{Source: netip.MustParseAddr("::1"), Destination: netip.MustParseAddr("::2")}
	if _, err := v6.entry(0, form); err == nil {
		t.Error("a flow of IPv6 is accepted")
	}
}

// TestPaceBatches has what is sent at once be of 20 us, so that a rate is no row of bursts.
func TestPaceBatches(t *testing.T) {
	for rate, want := range map[float64]int{0: packetBatch, 1000: 1, 49_000: 1, 500_000: 10, 1e9: packetBatch} {
		if p := newPace(&Load{Rate: rate}); p.batch != want {
			t.Errorf("%g frames/s go in batches of %d, want %d", rate, p.batch, want)
		}
	}
}
