package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track/wire"
)

// vnetHdrLen is the size of struct virtio_net_hdr (linux/virtio_net.h) as
// PACKET_VNET_HDR puts it before every frame.
const vnetHdrLen = 10

// The offsets in struct virtio_net_hdr. Its fields are in host byte order on
// a packet socket (vio_le in net/packet/af_packet.c).
const (
	vnetFlags      = 0
	vnetGSOType    = 1
	vnetHeaderLen  = 2
	vnetGSOSize    = 4
	vnetCsumStart  = 6
	vnetCsumOffset = 8
)

// decodeVnetHdr reads what is left to be done for a frame. Of the flags only
// VIRTIO_NET_HDR_F_NEEDS_CSUM is work to do; DATA_VALID is a remark of the
// ingress NIC and RSC_INFO gives csum_start another meaning, so that both end
// here.
func decodeVnetHdr(h *[vnetHdrLen]byte) wire.Offload {
	o := wire.Offload{
		Flags:   h[vnetFlags] & unix.VIRTIO_NET_HDR_F_NEEDS_CSUM,
		GSOType: h[vnetGSOType],
	}
	if o.GSOType != unix.VIRTIO_NET_HDR_GSO_NONE {
		o.HeaderLen = binary.NativeEndian.Uint16(h[vnetHeaderLen:])
		o.GSOSize = binary.NativeEndian.Uint16(h[vnetGSOSize:])
	}
	if o.Flags != 0 {
		o.CsumStart = binary.NativeEndian.Uint16(h[vnetCsumStart:])
		o.CsumOffset = binary.NativeEndian.Uint16(h[vnetCsumOffset:])
	}
	return o
}

// nothingLeft tells at a glance what nearly all frames are like.
func nothingLeft(h *[vnetHdrLen]byte) bool {
	return h[vnetFlags]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM == 0 && h[vnetGSOType] == unix.VIRTIO_NET_HDR_GSO_NONE
}

// encodeVnetHdr is the inverse of decodeVnetHdr.
func encodeVnetHdr(h *[vnetHdrLen]byte, o *wire.Offload) {
	*h = [vnetHdrLen]byte{}
	if o.GSOType != unix.VIRTIO_NET_HDR_GSO_NONE {
		h[vnetGSOType] = o.GSOType
		binary.NativeEndian.PutUint16(h[vnetHeaderLen:], o.HeaderLen)
		binary.NativeEndian.PutUint16(h[vnetGSOSize:], o.GSOSize)
	}
	if o.Flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		h[vnetFlags] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(h[vnetCsumStart:], o.CsumStart)
		binary.NativeEndian.PutUint16(h[vnetCsumOffset:], o.CsumOffset)
	}
}

// shiftOffload moves the offsets of o by the n bytes put into the frame before
// its network header. HeaderLen is a hint that the kernel takes from its
// buffer's linear part; it saturates.
func shiftOffload(o *wire.Offload, n uint16) {
	if o.GSOType != unix.VIRTIO_NET_HDR_GSO_NONE {
		o.HeaderLen = max(o.HeaderLen, o.HeaderLen+n)
	}
	if o.Flags != 0 {
		o.CsumStart += n
	}
}

// segmentLen returns the length of the longest frame that the kernel will make
// of data, Ethernet header included: its own, or a full segment's. What cannot be told
// (fragmentation offload, a super-frame with finished checksum) counts as 0.
func segmentLen(data []byte, o *wire.Offload) int {
	l4 := int(o.CsumStart)
	switch o.GSOType &^ unix.VIRTIO_NET_HDR_GSO_ECN {
	case unix.VIRTIO_NET_HDR_GSO_NONE:
		return len(data)
	case unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV6:
		const dataOffset = 12 // RFC 9293, section 3.1
		if o.Flags == 0 || l4+dataOffset >= len(data) {
			return 0
		}
		return min(len(data), l4+int(data[l4+dataOffset]>>4)*4+int(o.GSOSize))
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		const udpHeaderLen = 8
		if o.Flags == 0 {
			return 0
		}
		return min(len(data), l4+udpHeaderLen+int(o.GSOSize))
	}
	return 0
}
