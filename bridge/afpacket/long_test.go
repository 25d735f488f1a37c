package afpacket

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// superFrame is a TCP super-frame, with numbers in its TCP sequence field.
func superFrame(number uint32, payload int, tags ...uint16) *track.Frame {
	eth := frame(12+2*len(tags)+2, unicast, append(tags, 0x0800)...)
	f := &track.Frame{Data: tcpFrame(eth, payload)}
	l4 := len(eth) + 20
	binary.BigEndian.PutUint32(f.Data[l4+4:], number)
	f.Offload = wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4,
		HeaderLen: uint16(l4 + 20), GSOSize: 1000, CsumStart: uint16(l4), CsumOffset: 16}
	return f
}

// Long frames and short ones, tagged and not, in one stream: all arrive whole,
// with their offloads, in their order, whatever way they took through the port.
func TestLongFramesInTheirPlace(t *testing.T) { onBackends(t, testLongFramesInTheirPlace) }

func testLongFramesInTheirPlace(t *testing.T, on Backend) {
	t.Parallel()
	const n = 600
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := newInline(t, 1500, Options{Backend: on, RingSlots: 200}) // several times round
	c0 := l.client.open(t, "c0", Options{})
	long := 0
	for sent := 0; sent < n; {
		var batch []*track.Frame
		for range min(1+random.IntN(bridge.BatchSize), n-sent) {
			f := &track.Frame{Data: frame(60+random.IntN(1400), unicast, testEtherType, uint16(sent))}
			switch random.IntN(4) {
			case 0:
				f = superFrame(uint32(sent), 2000+random.IntN(60000))
				long++
			case 1:
				f = superFrame(uint32(sent), 2000+random.IntN(60000), 0x88A8, 100, 0x8100, 200)
				long++
			case 2:
				f = &track.Frame{Data: frame(200, unicast, 0x8100, 7, testEtherType, uint16(sent))}
			}
			batch = append(batch, f)
			sent++
		}
		check(t, c0.Send(batch))
		expectFrames(t, l.lan, batch)
	}
	if copied := l.lan.Stats().Copied; copied != 0 != (on == Ring) || on == Ring && copied != uint64(long) {
		t.Errorf("%d of %d long frames came by the queue", copied, long)
	}
}

// expectFrames receives frames and compares them with those sent.
func expectFrames(t *testing.T, p *Port, want []*track.Frame) {
	t.Helper()
	for len(want) > 0 {
		for _, f := range receive(t, p) {
			if len(want) == 0 {
				t.Fatal("a frame that nobody sent")
			}
			f.Offload.HeaderLen = want[0].Offload.HeaderLen // a hint, which the kernel fills in anew
			if f.Truncated || !bytes.Equal(f.Data, want[0].Data) || f.Offload != want[0].Offload {
				t.Fatalf("got %d octets, truncated %v, %+v\nwant %d octets, %+v", len(f.Data), f.Truncated, f.Offload, len(want[0].Data), want[0].Offload)
			}
			want = want[1:]
		}
	}
}

// A queue that is full costs the long frames their end, not their place: they
// are Truncated, and what is behind them is whole.
func TestLongFramesWithoutRoom(t *testing.T) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: Ring, ReceiveBuffer: 100 << 10})
	c0 := l.client.open(t, "c0", Options{})
	for range 3 {
		var batch []*track.Frame
		for i := range 20 {
			batch = append(batch, superFrame(uint32(i), 60000))
		}
		batch = append(batch, &track.Frame{Data: frame(60, unicast, testEtherType)})
		check(t, c0.Send(batch))
		whole, cut := 0, 0
		for i := 0; i < len(batch); {
			for _, f := range receive(t, l.lan) {
				if f.Truncated {
					cut++
				} else if bytes.Equal(f.Data, batch[i].Data) {
					whole++
				} else {
					t.Errorf("frame %d changed", i)
				}
				i++
			}
		}
		if whole < 2 || cut == 0 {
			t.Errorf("%d whole, %d cut, want some of both", whole, cut)
		}
	}
	if frames, err := l.lan.Receive(0); len(frames) != 0 || err != nil {
		t.Errorf("got %d frames, %v, want none", len(frames), err)
	}
}

// An MTU that is raised later makes frames longer than slots.
func TestMTURaised(t *testing.T) { onBackends(t, testMTURaised) }

func testMTURaised(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	check(t, l.box.nl.LinkSetMTU(l.box.link(t, "lan"), 9000))
	check(t, l.client.nl.LinkSetMTU(l.client.link(t, "c0"), 9000))
	want := []*track.Frame{
		{Data: frame(9014, unicast, testEtherType)},
		{Data: frame(9018, unicast, 0x8100, 5, testEtherType)},
		{Data: frame(60, unicast, testEtherType)},
	}
	c0 := l.client.tap(t, "c0")
	for _, f := range want {
		c0.send(f.Data)
	}
	expectFrames(t, l.lan, want)
}

// The frames of a port that is closed may be looked at until the next Receive.
func TestFramesOutliveClose(t *testing.T) { onBackends(t, testFramesOutliveClose) }

func testFramesOutliveClose(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	l.client.tap(t, "c0").send(frame(60, unicast, testEtherType))
	f := receive(t, l.lan)[0]
	check(t, l.lan.Close())
	f.Data[0]++
	if len(f.Data) != 60 {
		t.Errorf("got %d octets", len(f.Data))
	}
}
