package afpacket

import (
	"bytes"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

func TestSendReasons(t *testing.T) { onBackends(t, testSendReasons) }

func testSendReasons(t *testing.T, on Backend) {
	t.Parallel()
	tests := []struct {
		name  string
		frame track.Frame
		want  track.Reason // 0: sent
	}{
		{"full MTU", track.Frame{Data: frame(1514, unicast, testEtherType)}, 0},
		{"MTU and one", track.Frame{Data: frame(1515, unicast, testEtherType)}, track.ReasonEgressMTU},
		{"tag, full MTU", track.Frame{Data: frame(1518, unicast, 0x8100, 1, testEtherType)}, 0},
		{"tag, MTU and one", track.Frame{Data: frame(1519, unicast, 0x8100, 1, testEtherType)}, track.ReasonEgressMTU},
		// packet_extra_vlan_len_allowed knows TPID 0x8100 only.
		{"802.1ad, full MTU", track.Frame{Data: frame(1518, unicast, 0x88A8, 1, testEtherType)}, track.ReasonEgressMTU},
		{"two tags, full MTU", track.Frame{Data: frame(1522, unicast, 0x8100, 1, 0x8100, 2, testEtherType)}, track.ReasonEgressMTU},
		{"13 octets", track.Frame{Data: frame(13, unicast, testEtherType)}, track.ReasonEgressFull},
		{"no octets", track.Frame{}, track.ReasonEgressFull},
		{"checksum behind the end", track.Frame{Data: frame(60, unicast, 0x0800),
			Offload: wire.Offload{Flags: needsCsum, CsumStart: 100, CsumOffset: 6}}, track.ReasonEgressFull},
		{"unknown segmentation", track.Frame{Data: frame(60, unicast, 0x0800),
			Offload: wire.Offload{GSOType: 0x3F, GSOSize: 10}}, track.ReasonEgressFull},
		{"segments beyond the MTU", track.Frame{Data: frame(9000, unicast, 0x0800),
			Offload: wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_UDP_L4, GSOSize: 4000, CsumStart: 34, CsumOffset: 6}}, track.ReasonEgressMTU},
		{"truncated", track.Frame{Data: frame(60, unicast, testEtherType), Truncated: true}, track.ReasonTruncated},
		{"dropped by policy", track.Frame{Data: frame(60, unicast, testEtherType), Verdict: track.Drop, Reason: track.ReasonPause}, track.ReasonPause},
	}
	l := newInline(t, 1500, Options{Backend: on})
	s0 := l.server.tap(t, "s0")
	marker := frame(60, unicast, testEtherType, 0xFFFF)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.frame
			check(t, l.wan.Send([]*track.Frame{&f, {Data: marker}}))
			if f.Reason != tt.want || (f.Verdict == track.Drop) != (tt.want != 0) {
				t.Errorf("got %v %v, want %v", f.Verdict, f.Reason, tt.want)
			}
			if tt.want == 0 && !bytes.Equal(s0.recv(patience), f.Data) {
				t.Error("the frame did not arrive")
			}
			if !bytes.Equal(s0.recv(patience), marker) {
				t.Error("the frame behind it did not arrive next")
			}
		})
	}
	if got := l.wan.Stats().Refused; got != 4 {
		t.Errorf("got %d refused, want 4", got)
	}
}

// More frames than a batch, refused ones in between: the others arrive, in
// their order.
func TestSendLongList(t *testing.T) { onBackends(t, testSendLongList) }

func testSendLongList(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	s0 := l.server.tap(t, "s0")
	var frames []*track.Frame
	for i := range 3*bridge.BatchSize + 7 {
		f := &track.Frame{Data: frame(60, unicast, testEtherType, uint16(i))}
		if i%5 == 0 {
			f.Offload = wire.Offload{Flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, CsumStart: 100}
		}
		frames = append(frames, f)
	}
	check(t, l.wan.Send(frames))
	for i, f := range frames {
		if dropped := f.Verdict == track.Drop; dropped != (i%5 == 0) {
			t.Errorf("frame %d: %v %v", i, f.Verdict, f.Reason)
		}
		if i%5 != 0 && !bytes.Equal(s0.recv(patience), f.Data) {
			t.Fatalf("frame %d did not arrive next", i)
		}
	}
}

// Without carrier a driver that is handed frames past the queue refuses them
// (ENOBUFS), and Send does not wait for each.
func TestSendFullQueue(t *testing.T) { onBackends(t, testSendFullQueue) }

func testSendFullQueue(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on, QdiscBypass: true})
	check(t, l.server.nl.LinkSetDown(l.server.link(t, "s0")))
	expectFull(t, l.wan)
}

// A shaped NIC holds the frames, which fill the socket's send buffer (EAGAIN).
func TestSendFullBuffer(t *testing.T) { onBackends(t, testSendFullBuffer) }

func testSendFullBuffer(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on, SendBuffer: 4096})
	check(t, l.box.nl.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.box.link(t, "wan").Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1000, Buffer: 100e6, Limit: 1 << 20, // octets/s, 64 ns, octets
	}))
	expectFull(t, l.wan)
}

func expectFull(t *testing.T, p *Port) {
	t.Helper()
	var frames []*track.Frame
	for range bridge.BatchSize {
		frames = append(frames, &track.Frame{Data: frame(1000, unicast, testEtherType)})
	}
	check(t, p.Send(frames))
	dropped := 0
	for _, f := range frames {
		if f.Verdict == track.Drop {
			dropped++
			if f.Reason != track.ReasonEgressFull {
				t.Errorf("got %v, want %v", f.Reason, track.ReasonEgressFull)
			}
		}
	}
	if sent := p.Stats().Sent; dropped == 0 || uint64(len(frames)-dropped) != sent {
		t.Errorf("%d dropped, %d sent, want %d in all and some dropped", dropped, sent, len(frames))
	}
}

// mtuLab is an inline lab whose wan has a clock that the test moves.
type mtuLab struct {
	*inline
	now time.Time
}

func newMTULab(t *testing.T, on Backend) *mtuLab {
	l := &mtuLab{inline: newInline(t, 1500, Options{Backend: on})}
	l.wan.tx.now = func() time.Time { return l.now }
	l.now = time.Unix(1e9, 0)
	return l
}

func (l *mtuLab) setMTU(t *testing.T, mtu int) {
	t.Helper()
	check(t, l.server.nl.LinkSetMTU(l.server.link(t, "s0"), mtu))
	check(t, l.box.nl.LinkSetMTU(l.box.link(t, "wan"), mtu))
}

// passes sends a frame and reports whether it went. A frame that did not was
// too long.
func (l *mtuLab) passes(t *testing.T, f track.Frame) bool {
	t.Helper()
	check(t, l.wan.Send([]*track.Frame{&f}))
	if f.Verdict == track.Drop && f.Reason != track.ReasonEgressMTU {
		t.Errorf("dropped for %v", f.Reason)
	}
	return f.Verdict != track.Drop
}

func TestMTUFollowsTheNIC(t *testing.T) { onBackends(t, testMTUFollowsTheNIC) }

func testMTUFollowsTheNIC(t *testing.T, on Backend) {
	t.Parallel()
	l := newMTULab(t, on)
	long := track.Frame{Data: frame(2014, unicast, testEtherType)}
	super := track.Frame{Data: tcpFrame(frame(14, unicast, 0x0800), 6000), // its segments are as long
		Offload: wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4, HeaderLen: 54, GSOSize: 2014 - 54, CsumStart: 34, CsumOffset: 16}}
	for _, f := range []track.Frame{long, super} {
		for _, mtu := range []int{2000, 1999, 2000, 1500} {
			l.setMTU(t, mtu)
			l.now = l.now.Add(mtuLife)
			if sent := l.passes(t, f); sent != (mtu == 2000) {
				t.Errorf("MTU %d, GSO type %d: sent %v", mtu, f.Offload.GSOType, sent)
			}
		}
	}
	l.setMTU(t, 1600)
	if got := l.wan.MTU(); got != 1600 {
		t.Errorf("got MTU %d, want 1600", got)
	}
}

// Within a second Send does not ask again; the kernel measures what it lets
// through.
func TestMTUChangesWithinASecond(t *testing.T) { onBackends(t, testMTUChangesWithinASecond) }

func testMTUChangesWithinASecond(t *testing.T, on Backend) {
	t.Parallel()
	l := newMTULab(t, on)
	long := track.Frame{Data: frame(2014, unicast, testEtherType)}
	steps := []struct {
		mtu  int
		wait time.Duration
		sent bool
	}{
		{1500, 0, false},            // asks
		{2000, mtuLife - 1, false},  // goes by the answer
		{2000, 1, true},             // asks
		{1999, mtuLife / 2, false},  // short enough by the answer; the kernel refuses it
		{2000, 0, true},             // and takes it
		{1500, mtuLife, false},      // likewise
		{1500, 10 * mtuLife, false}, // likewise
	}
	for i, step := range steps {
		l.setMTU(t, step.mtu)
		l.now = l.now.Add(step.wait)
		if sent := l.passes(t, long); sent != step.sent {
			t.Errorf("step %d, MTU %d: sent %v", i, step.mtu, sent)
		}
	}
}

func TestLongFramesAllocateNothing(t *testing.T) { onBackends(t, testLongFramesAllocateNothing) }

func testLongFramesAllocateNothing(t *testing.T, on Backend) {
	l := newMTULab(t, on)
	frames := make([]track.Frame, bridge.BatchSize)
	batch := pointers(frames)
	for i := range frames {
		frames[i].Data = frame(2014, unicast, testEtherType)
	}
	allocs := testing.AllocsPerRun(100, func() {
		for i := range frames {
			frames[i].Verdict = track.Forward
		}
		check(t, l.wan.Send(batch))
		if frames[0].Reason != track.ReasonEgressMTU {
			t.Fatal(frames[0].Reason)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations per batch, want 0", allocs)
	}
}
