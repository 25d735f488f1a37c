package afpacket

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tun is the other end of a TAP NIC, which can hand the kernel super-frames of
// kinds that no packet socket can.
type tun struct {
	fd int
	t  testing.TB
}

func (ns *namespace) tun(t testing.TB, name string) *tun {
	t.Helper()
	u := &tun{t: t}
	ns.do(t, func() {
		var err error
		if u.fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); os.IsNotExist(err) {
			t.Skip("needs /dev/net/tun")
		} else {
			check(t, err)
		}
		ifr := must(unix.NewIfreq(name))(t)
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		check(t, unix.IoctlIfreq(u.fd, unix.TUNSETIFF, ifr))
	})
	t.Cleanup(func() { unix.Close(u.fd) })
	check(t, ns.nl.LinkSetUp(ns.link(t, name)))
	return u
}

func (u *tun) send(vnet [vnetHdrLen]byte, frame []byte) {
	u.t.Helper()
	_, err := unix.Write(u.fd, append(vnet[:], frame...))
	check(u.t, err)
}

// sendFragmented sends a datagram that is to be fragmented by the NIC
// (SKB_GSO_UDP), for which virtio_net_hdr_from_skb has no word.
func (u *tun) sendFragmented() {
	u.t.Helper()
	f := frame(14+20+8+4000, unicast, 0x0800)
	ip := f[14:]
	copy(ip, make([]byte, 28))
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	var h [vnetHdrLen]byte
	h[vnetFlags], h[vnetGSOType] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP
	binary.NativeEndian.PutUint16(h[vnetHeaderLen:], 42)
	binary.NativeEndian.PutUint16(h[vnetGSOSize:], 1480)
	binary.NativeEndian.PutUint16(h[vnetCsumStart:], 34)
	binary.NativeEndian.PutUint16(h[vnetCsumOffset:], 6)
	u.send(h, f)
}

// A super-frame that the kernel cannot describe is lost and counted. With a
// ring it takes the frames behind it along (see ring.idle), but not for long.
func TestIndescribableSuperFrame(t *testing.T) { onBackends(t, testIndescribableSuperFrame) }

func testIndescribableSuperFrame(t *testing.T, on Backend) {
	t.Parallel()
	ns := newNamespace(t)
	u := ns.tun(t, "tap0")
	p := ns.open(t, "tap0", Options{Backend: on})
	want := frame(60, unicast, testEtherType)
	for round := range uint64(3) {
		u.send([vnetHdrLen]byte{}, want)
		if got := receive(t, p)[0]; !bytes.Equal(got.Data, want) {
			t.Fatalf("got % x, want % x", got.Data, want)
		}
		u.sendFragmented()
		s := untilItPasses(t, p, func() { u.send([vnetHdrLen]byte{}, want) })
		if s.Unreadable+s.Drops <= round || on == Ring && s.Freezes != round+1 || on == MMsg && s.Unreadable != round+1 {
			t.Errorf("round %d: %+v", round, s)
		}
	}
}

// untilItPasses sends frames until the port receives one.
func untilItPasses(t *testing.T, p *Port, send func()) Stats {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		send()
		frames, err := p.Receive(20 * time.Millisecond)
		check(t, err)
		if len(frames) > 0 {
			return p.Stats()
		}
	}
	t.Fatalf("nothing passes any more: %+v", p.Stats())
	return Stats{}
}

func TestMemory(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		mtu  int
		want Memory
	}{
		{"default", Options{}, 1500, Memory{Ring: 205 * blockSize, Receive: 32 << 20, Send: 32 << 20, Frames: 64 * slotSize}},
		{"no ring", Options{Backend: MMsg, ReceiveBuffer: 1, SendBuffer: 2}, 1500, Memory{Receive: 2, Send: 8, Frames: 64 * slotSize}},
		{"jumbo", Options{RingSlots: 700}, 9000, Memory{Ring: 100 * blockSize, Receive: 32 << 20, Send: 32 << 20, Frames: 64 * slotSize}},
		{"enormous MTU", Options{RingSlots: 8}, 65535, Memory{Ring: 2 * blockSize, Receive: 32 << 20, Send: 32 << 20, Frames: 64 * slotSize}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.o.Memory(tt.mtu); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
