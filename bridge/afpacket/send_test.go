package afpacket

import (
	"bytes"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

func TestSendReasons(t *testing.T) {
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
	l := newInline(t, 1500, Options{})
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
func TestSendLongList(t *testing.T) {
	t.Parallel()
	l := newInline(t, 1500, Options{})
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
func TestSendFullQueue(t *testing.T) {
	t.Parallel()
	l := newInline(t, 1500, Options{QdiscBypass: true})
	check(t, l.server.nl.LinkSetDown(l.server.link(t, "s0")))
	expectFull(t, l.wan)
}

// A shaped NIC holds the frames, which fill the socket's send buffer (EAGAIN).
func TestSendFullBuffer(t *testing.T) {
	t.Parallel()
	l := newInline(t, 1500, Options{SendBuffer: 4096})
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

func TestMTUFollowsTheNIC(t *testing.T) {
	t.Parallel()
	l := newInline(t, 1500, Options{})
	long := frame(2014, unicast, testEtherType)
	for _, mtu := range []int{2000, 1999, 2000} {
		check(t, l.server.nl.LinkSetMTU(l.server.link(t, "s0"), mtu))
		check(t, l.box.nl.LinkSetMTU(l.box.link(t, "wan"), mtu))
		f := &track.Frame{Data: long}
		check(t, l.wan.Send([]*track.Frame{f}))
		if sent := f.Verdict != track.Drop; sent != (mtu == 2000) || !sent && f.Reason != track.ReasonEgressMTU {
			t.Errorf("MTU %d: got %v %v", mtu, f.Verdict, f.Reason)
		}
		if got := l.wan.MTU(); got != mtu {
			t.Errorf("got MTU %d, want %d", got, mtu)
		}
	}
}
