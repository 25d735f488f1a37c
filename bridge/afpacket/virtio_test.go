package afpacket

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// cable is the far end of a NIC that a virtio_net_hdr goes with each frame of, as
// a hypervisor has it: a tap. Its kernel side makes of the header what the driver
// of a virtio NIC makes of it (virtio_net_hdr_to_skb), and the other way.
type cable struct {
	t  *testing.T
	fd int
}

// virtio makes such a NIC, with all offloads that the two can agree on.
func (ns *namespace) virtio(t *testing.T, name string) *cable {
	t.Helper()
	c := &cable{t: t}
	ns.do(t, func() {
		c.fd = must(unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))(t)
		request := must(unix.NewIfreq(name))(t)
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		check(t, unix.IoctlIfreq(c.fd, unix.TUNSETIFF, request))
		check(t, unix.IoctlSetInt(c.fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6|unix.TUN_F_USO4|unix.TUN_F_USO6))
	})
	t.Cleanup(func() { unix.Close(c.fd) })
	check(t, ns.nl.LinkSetUp(ns.link(t, name))) // it had its carrier from the start
	return c
}

func (c *cable) send(f *track.Frame) {
	c.t.Helper()
	var header [vnetHdrLen]byte
	encodeVnetHdr(&header, &f.Offload)
	_, err := unix.Write(c.fd, append(header[:], f.Data...))
	check(c.t, err)
}

// recv returns the next frame.
func (c *cable) recv() (f track.Frame) {
	c.t.Helper()
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		if n == 1 {
			break
		}
		if err != unix.EINTR {
			c.t.Fatalf("no frame within %v: %v", patience, err)
		}
	}
	data := make([]byte, 1<<17)
	n := must(unix.Read(c.fd, data))(c.t)
	f.Data = data[vnetHdrLen:n]
	f.Offload = decodeVnetHdr((*[vnetHdrLen]byte)(data))
	return f
}

// udpFrame puts an IPv4 UDP datagram behind eth, or a super-frame of several, its
// checksum left unfinished.
func udpFrame(eth []byte, octets int) []byte {
	f, udp, pseudo := ipv4Frame(eth, unix.IPPROTO_UDP, 8, octets)
	binary.BigEndian.PutUint16(udp, 4000)
	binary.BigEndian.PutUint16(udp[2:], 4001)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], pseudo)
	return f
}

// TestVirtio: super-frames of TCP and of UDP, unfinished checksums and plain
// frames cross between two NICs that virtio headers go with, tagged or not, and
// leave with the data and the header that they came with.
func TestVirtio(t *testing.T) { onBackends(t, testVirtio) }

func testVirtio(t *testing.T, on Backend) {
	t.Parallel()
	l := &inline{box: newNamespace(t)}
	far := [...]*cable{l.box.virtio(t, "lan"), l.box.virtio(t, "wan")}
	l.lan, l.wan = l.box.open(t, "lan", Options{Backend: on}), l.box.open(t, "wan", Options{Backend: on})
	l.forward(t, func(*Port, *track.Frame) {})
	udp := func(octets int, segment uint16, tags ...uint16) *track.Frame {
		eth := frame(12+2*len(tags)+2, unicast, append(tags, 0x0800)...)
		f := &track.Frame{Data: udpFrame(eth, octets)}
		l4 := uint16(len(eth) + 20)
		f.Offload = wire.Offload{Flags: needsCsum, CsumStart: l4, CsumOffset: 6}
		if segment > 0 {
			f.Offload.GSOType, f.Offload.GSOSize, f.Offload.HeaderLen = unix.VIRTIO_NET_HDR_GSO_UDP_L4, segment, l4+8
		}
		return f
	}
	tests := map[string]*track.Frame{
		"plain":                   {Data: frame(100, unicast, testEtherType)},
		"plain, tagged":           {Data: frame(100, unicast, 0x8100, 0xE064, testEtherType)},
		"UDP, checksum":           udp(1000, 0),
		"UDP, checksum, tagged":   udp(1000, 0, 0x8100, 100),
		"UDP super-frame":         udp(9000, 1000),
		"UDP super-frame, QinQ":   udp(9000, 1000, 0x88A8, 100, 0x8100, 200),
		"TCP super-frame":         superFrame(7, 6000),
		"TCP super-frame, 60 kB":  superFrame(7, 60000),
		"TCP super-frame, tagged": superFrame(7, 6000, 0x8100, 100),
	}
	for name, sent := range tests {
		for from, to := range []int{1, 0} {
			far[from].send(sent)
			got := far[to].recv()
			got.Offload.HeaderLen = sent.Offload.HeaderLen // a hint, which the kernel fills in anew
			if !bytes.Equal(got.Data, sent.Data) || got.Offload != sent.Offload {
				t.Errorf("%s: got %d octets, %+v\nwant %d octets, %+v", name, len(got.Data), got.Offload, len(sent.Data), sent.Offload)
			}
		}
	}
}
