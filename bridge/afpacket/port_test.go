package afpacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

const testEtherType = 0x88B5 // IEEE 802 local experimental

var (
	unicast = []byte{2, 0, 0, 0, 0, 9}
	source  = []byte{2, 0, 0, 0, 0, 8}
)

// frame makes a frame of n octets: addresses, tags and ethertype as given,
// then numbers.
func frame(n int, dst []byte, typesAndTags ...uint16) []byte {
	b := append(append(make([]byte, 0, n), dst...), source...)
	for _, v := range typesAndTags {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i), byte(i>>8))
	}
	return b[:n]
}

func TestFramesCrossUnchanged(t *testing.T) { onBackends(t, testFramesCrossUnchanged) }

func testFramesCrossUnchanged(t *testing.T, on Backend) {
	t.Parallel()
	const mtu = 9000
	stp, lldp := []byte{1, 0x80, 0xC2, 0, 0, 0}, []byte{1, 0x80, 0xC2, 0, 0, 0x0E}
	tests := []struct {
		name  string
		frame []byte
	}{
		{"plain", frame(500, unicast, testEtherType)},
		{"broadcast", frame(60, bytes.Repeat([]byte{0xFF}, 6), testEtherType)},
		{"shortest on Ethernet", frame(60, unicast, testEtherType)},
		{"runt", frame(33, unicast, testEtherType)},
		{"header only", frame(14, unicast, testEtherType)},
		{"full MTU", frame(mtu+14, unicast, testEtherType)},
		{"tag", frame(100, unicast, 0x8100, 100, testEtherType)},
		{"tag with PCP and DEI", frame(100, unicast, 0x8100, 0xF064, testEtherType)},
		{"tag, full MTU", frame(mtu+18, unicast, 0x8100, 100, testEtherType)},
		{"priority tag", frame(100, unicast, 0x8100, 0xA000, testEtherType)},
		{"priority tag of priority 0", frame(100, unicast, 0x8100, 0, testEtherType)},
		{"tag and two octets", frame(20, unicast, 0x8100, 100, testEtherType)}, // skb_vlan_untag drops shorter ones
		{"802.1ad", frame(100, unicast, 0x88A8, 100, testEtherType)},
		{"802.1ad, full MTU less the tag", frame(mtu+14, unicast, 0x88A8, 100, testEtherType)},
		{"802.1ad, 802.1Q", frame(100, unicast, 0x88A8, 100, 0x8100, 200, testEtherType)},
		{"802.1Q twice", frame(100, unicast, 0x8100, 100, 0x8100, 200, testEtherType)},
		{"0x9100", frame(100, unicast, 0x9100, 100, 0x8100, 200, testEtherType)},
		{"three tags", frame(100, unicast, 0x88A8, 1, 0x88A8, 2, 0x8100, 3, testEtherType)},
		{"802.3 length", frame(64, stp, 50, 0x4242)},
		{"LLDP", frame(200, lldp, 0x88CC)},
		{"EAPOL", frame(60, []byte{1, 0x80, 0xC2, 0, 0, 3}, 0x888E)},
		{"IPv4 that lies", frame(80, unicast, 0x0800, 0x4FFF)},
	}
	l := newInline(t, mtu, Options{Backend: on})
	l.forward(t, func(_ *Port, f *track.Frame) {
		if f.Truncated || f.Offload != (wire.Offload{}) {
			t.Errorf("got truncated %v, offload %+v", f.Truncated, f.Offload)
		}
	})
	c0, s0 := l.client.tap(t, "c0"), l.server.tap(t, "s0")
	for _, way := range []struct {
		name     string
		from, to *tap
	}{{"lan to wan", c0, s0}, {"wan to lan", s0, c0}} {
		for _, tt := range tests {
			t.Run(way.name+"/"+tt.name, func(t *testing.T) {
				way.from.send(tt.frame)
				if diff := cmp.Diff(tt.frame, way.to.recv(patience)); diff != "" {
					t.Errorf("frame changed (-sent +received):\n%s", diff)
				}
			})
		}
	}
}

func TestOrderKept(t *testing.T) { onBackends(t, testOrderKept) }

func testOrderKept(t *testing.T, on Backend) {
	t.Parallel()
	const n = 5000
	l := newInline(t, 1500, Options{Backend: on})
	l.forward(t, func(*Port, *track.Frame) {})
	c0, s0 := l.client.tap(t, "c0"), l.server.tap(t, "s0")
	check(t, unix.SetsockoptInt(s0.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	for i := range n {
		f := frame(60, unicast, testEtherType)
		binary.BigEndian.PutUint32(f[14:], uint32(i))
		c0.send(f)
	}
	for i := range n {
		f := s0.recv(patience)
		if f == nil {
			t.Fatalf("frame %d of %d is missing; lan %+v, wan %+v", i, n, l.lan.Stats(), l.wan.Stats())
		}
		if got := binary.BigEndian.Uint32(f[14:]); got != uint32(i) {
			t.Fatalf("got frame %d, want %d", got, i)
		}
	}
	if s := l.lan.Stats(); s.Received < n || s.Drops != 0 {
		t.Errorf("lan: %+v, want %d received", s, n)
	}
	if s := l.wan.Stats(); s.Sent < n {
		t.Errorf("wan: %+v, want %d sent", s, n)
	}
}

// Neither the port's own frames nor those of others on the box come back.
func TestOwnTransmitNotReceived(t *testing.T) { onBackends(t, testOwnTransmitNotReceived) }

func testOwnTransmitNotReceived(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	check(t, l.lan.Send([]*track.Frame{{Data: frame(60, unicast, testEtherType, 1)}}))
	l.box.tap(t, "lan").send(frame(60, unicast, testEtherType, 2))
	want := frame(60, unicast, testEtherType, 3)
	l.client.tap(t, "c0").send(want)
	if got := receive(t, l.lan); len(got) != 1 || !bytes.Equal(got[0].Data, want) {
		t.Errorf("got %d frames, first % x, want only % x", len(got), got[0].Data, want)
	}
}

func TestTruncated(t *testing.T) { onBackends(t, testTruncated) }

func testTruncated(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on, frameSize: 110})
	c0 := l.client.tap(t, "c0")
	tests := []struct {
		name string
		sent []byte
		want bool
	}{
		{"fits", frame(110, unicast, testEtherType), false},
		{"one octet too long", frame(111, unicast, testEtherType), true},
		{"fits without its tag", frame(114, unicast, 0x8100, 1, testEtherType), false},
		{"tagged and too long", frame(115, unicast, 0x8100, 1, testEtherType), true},
	}
	truncated := uint64(0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c0.send(tt.sent)
			f := receive(t, l.lan)[0]
			if f.Truncated != tt.want {
				t.Fatalf("got truncated %v, want %v", f.Truncated, tt.want)
			}
			check(t, l.wan.Send([]*track.Frame{&f}))
			if tt.want && (f.Verdict != track.Drop || f.Reason != track.ReasonTruncated) {
				t.Errorf("sent a truncated frame: %v %v", f.Verdict, f.Reason)
			}
			if tt.want {
				truncated++
			}
		})
	}
	if got := l.lan.Stats().Truncated; got != truncated {
		t.Errorf("got %d truncated, want %d", got, truncated)
	}
}

func TestWakeAndClose(t *testing.T) { onBackends(t, testWakeAndClose) }

func testWakeAndClose(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	tests := []struct {
		name string
		end  func()
		want error
	}{
		{"Wake", l.lan.Wake, nil},
		{"Wake again", l.lan.Wake, nil},
		{"Close", func() { check(t, l.lan.Close()) }, net.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := make(chan error, 1)
			go func() {
				_, err := l.lan.Receive(time.Hour)
				result <- err
			}()
			tt.end()
			select {
			case err := <-result:
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			case <-time.After(patience):
				t.Fatal("Receive still waits")
			}
		})
	}
	late := &track.Frame{Data: frame(60, unicast, testEtherType), Verdict: track.Forward}
	if err := l.lan.Send([]*track.Frame{late}); !errors.Is(err, net.ErrClosed) || late.Verdict != track.Drop || late.Reason != track.ReasonEgressDown {
		t.Errorf("send: got %v, the frame %v %v, want %v and the frame dropped", err, late.Verdict, late.Reason, net.ErrClosed)
	}
	l.lan.Wake()
	if mtu := l.lan.MTU(); mtu != 1500 {
		t.Errorf("got MTU %d after Close, want the last one", mtu)
	}
	l.lan.Stats()
	check(t, l.lan.Close())
}

func TestReceiveTimesOut(t *testing.T) { onBackends(t, testReceiveTimesOut) }

func testReceiveTimesOut(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	for _, wait := range []time.Duration{0, -1, 30 * time.Millisecond} {
		start := time.Now()
		if frames, err := l.lan.Receive(wait); len(frames) != 0 || err != nil || time.Since(start) < wait {
			t.Errorf("wait %v: got %d frames, %v after %v", wait, len(frames), err, time.Since(start))
		}
	}
}

func TestKernelDropsAddUp(t *testing.T) { onBackends(t, testKernelDropsAddUp) }

func testKernelDropsAddUp(t *testing.T, on Backend) {
	t.Parallel()
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	p := ns.open(t, "nic", Options{Backend: on, ReceiveBuffer: 4096, RingSlots: 16})
	from := peer.tap(t, "peer")
	last := uint64(0)
	for range 3 {
		for range 200 {
			from.send(frame(1000, unicast, testEtherType))
		}
		drops := p.Stats().Drops
		if drops <= last {
			t.Fatalf("got %d drops after %d, want more", drops, last)
		}
		last = drops
	}
	received := 0
	for {
		frames, err := p.Receive(0)
		check(t, err)
		if len(frames) == 0 {
			break
		}
		received += len(frames)
	}
	if got := p.Stats(); got.Drops+uint64(received) != 600 || got.Received != uint64(received) {
		t.Errorf("%d received, stats %+v: want 600 in all", received, got)
	}
}

func TestOpenErrors(t *testing.T) { onBackends(t, testOpenErrors) }

func testOpenErrors(t *testing.T, on Backend) {
	t.Parallel()
	ns := newNamespace(t)
	ns.do(t, func() {
		if _, err := Open("nosuchnic", Options{Backend: on}); err == nil {
			t.Error("got no error for an unknown NIC")
		}
		check(t, ns.nl.LinkSetUp(ns.link(t, "lo")))
		p, err := Open("lo", Options{Backend: on})
		check(t, err)
		check(t, p.Close())
	})
}

func TestNoAllocation(t *testing.T) { onBackends(t, testNoAllocation) }

func testNoAllocation(t *testing.T, on Backend) {
	l := newInline(t, 1500, Options{Backend: on})
	c0 := l.client.open(t, "c0", Options{Backend: on})
	var batch []*track.Frame
	for i := range bridge.BatchSize {
		f := &track.Frame{Data: frame(200, unicast, testEtherType, uint16(i))}
		if i%2 == 0 {
			f.Data = frame(200, unicast, 0x88A8, 1, 0x8100, 2, testEtherType)
		}
		batch = append(batch, f)
	}
	out := make([]*track.Frame, 0, bridge.BatchSize)
	allocs := testing.AllocsPerRun(200, func() {
		check(t, c0.Send(batch))
		for got := 0; got < len(batch); {
			frames, err := l.lan.Receive(patience)
			check(t, err)
			if len(frames) == 0 {
				t.Fatal("no frames")
			}
			got += len(frames)
			out = out[:0]
			for i := range frames {
				out = append(out, &frames[i])
			}
			check(t, l.wan.Send(out))
		}
		if frames, err := l.lan.Receive(time.Microsecond); len(frames) != 0 || err != nil {
			t.Fatal(len(frames), err) // also the way through ppoll
		}
		l.lan.Wake()
		if frames, err := l.lan.Receive(time.Hour); len(frames) != 0 || err != nil {
			t.Fatal(len(frames), err)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations per batch, want 0", allocs)
	}
}
