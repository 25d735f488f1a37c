package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// auxdata is what the kernel knows about a received frame besides its bytes:
// the part of struct tpacket_auxdata (linux/if_packet.h) that is used here.
type auxdata struct {
	status  uint32
	len     uint32 // of the frame when it reached the socket, tag excluded
	snaplen uint32 // of what the socket kept of it
	vlanTCI uint16
	tpid    uint16
}

// The offsets in struct tpacket_auxdata and its size.
const (
	auxStatus   = 0
	auxLen      = 4
	auxSnaplen  = 8
	auxVLANTCI  = 16
	auxVLANTPID = 18
	auxSize     = 20
)

// sizeofPtr is the size of a long: that of cmsg_len and of the alignment of
// control messages (CMSG_ALIGN).
const sizeofPtr = 4 << (^uintptr(0) >> 63)

const (
	cmsgHdrLen = unix.SizeofCmsghdr
	// controlLen is room for the one control message there is, CMSG_SPACE.
	controlLen = cmsgHdrLen + (auxSize+sizeofPtr-1)&^(sizeofPtr-1)
)

// parseAuxdata finds the PACKET_AUXDATA message in the control messages of one
// frame. It takes any bytes; ok is false when there is none that is whole.
func parseAuxdata(control []byte) (aux auxdata, ok bool) {
	for len(control) >= cmsgHdrLen {
		n := cmsgLen(control)
		if n < cmsgHdrLen || n > uint64(len(control)) {
			return auxdata{}, false
		}
		level := binary.NativeEndian.Uint32(control[sizeofPtr:])
		kind := binary.NativeEndian.Uint32(control[sizeofPtr+4:])
		if level == unix.SOL_PACKET && kind == unix.PACKET_AUXDATA && n >= cmsgHdrLen+auxSize {
			return decodeAuxdata(control[cmsgHdrLen:]), true
		}
		next := (n + sizeofPtr - 1) &^ (sizeofPtr - 1)
		if next > uint64(len(control)) {
			break
		}
		control = control[next:]
	}
	return auxdata{}, false
}

func cmsgLen(control []byte) uint64 {
	if sizeofPtr == 4 {
		return uint64(binary.NativeEndian.Uint32(control))
	}
	return binary.NativeEndian.Uint64(control)
}

func decodeAuxdata(b []byte) auxdata {
	_ = b[auxSize-1]
	return auxdata{
		status:  binary.NativeEndian.Uint32(b[auxStatus:]),
		len:     binary.NativeEndian.Uint32(b[auxLen:]),
		snaplen: binary.NativeEndian.Uint32(b[auxSnaplen:]),
		vlanTCI: binary.NativeEndian.Uint16(b[auxVLANTCI:]),
		tpid:    binary.NativeEndian.Uint16(b[auxVLANTPID:]),
	}
}

// vlan returns the tag that the kernel took out of the frame. The status bit
// decides, not the TCI: a priority tag's may be 0.
func (a *auxdata) vlan() (tag [vlanTagLen]byte, ok bool) {
	if a.status&unix.TP_STATUS_VLAN_VALID == 0 {
		return tag, false
	}
	tpid := uint16(unix.ETH_P_8021Q)
	if a.status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = a.tpid
	}
	binary.BigEndian.PutUint16(tag[:], tpid)
	binary.BigEndian.PutUint16(tag[2:], a.vlanTCI)
	return tag, true
}

const (
	macsLen    = 12 // destination and source address
	etherLen   = 14
	vlanTagLen = 4
)

// restoreTag puts tag behind the two addresses of the frame in slot[at:end],
// for which it moves them into the four bytes before it. It returns the
// frame's new start.
func restoreTag(slot []byte, at int, tag [vlanTagLen]byte) int {
	start := at - vlanTagLen
	copy(slot[start:start+macsLen], slot[at:at+macsLen])
	copy(slot[start+macsLen:], tag[:])
	return start
}
