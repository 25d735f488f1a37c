package afpacket

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track/wire"
)

// cmsg makes one control message as the kernel does (put_cmsg).
func cmsg(level, kind uint32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	if sizeofPtr == 4 {
		binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(len(data))))
	} else {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	}
	binary.NativeEndian.PutUint32(b[sizeofPtr:], level)
	binary.NativeEndian.PutUint32(b[sizeofPtr+4:], kind)
	copy(b[cmsgHdrLen:], data)
	return b
}

func auxBytes(a auxdata) []byte {
	b := make([]byte, auxSize)
	binary.NativeEndian.PutUint32(b[auxStatus:], a.status)
	binary.NativeEndian.PutUint32(b[auxLen:], a.len)
	binary.NativeEndian.PutUint32(b[auxSnaplen:], a.snaplen)
	binary.NativeEndian.PutUint16(b[auxVLANTCI:], a.vlanTCI)
	binary.NativeEndian.PutUint16(b[auxVLANTPID:], a.tpid)
	return b
}

func TestParseAuxdata(t *testing.T) {
	want := auxdata{status: unix.TP_STATUS_VLAN_VALID, len: 1500, snaplen: 1400, vlanTCI: 0xE064, tpid: 0x88A8}
	aux := cmsg(unix.SOL_PACKET, unix.PACKET_AUXDATA, auxBytes(want))
	other := cmsg(unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 5))
	long := bytes.Clone(aux)
	long[0]++ // on a big endian machine this is longer still
	tests := []struct {
		name    string
		control []byte
		ok      bool
	}{
		{"alone", aux, true},
		{"after another", append(bytes.Clone(other), aux...), true},
		{"none", nil, false},
		{"another only", other, false},
		{"header cut", aux[:cmsgHdrLen-1], false},
		{"data cut", aux[:cmsgHdrLen+auxSize-1], false},
		{"says it is longer than it is", long[:cmsgHdrLen+auxSize], false},
		{"short data", cmsg(unix.SOL_PACKET, unix.PACKET_AUXDATA, make([]byte, auxSize-4)), false},
		{"length 0", make([]byte, controlLen), false},
		{"length of all ones", bytes.Repeat([]byte{0xFF}, controlLen), false},
		{"other level", cmsg(unix.SOL_SOCKET, unix.PACKET_AUXDATA, auxBytes(want)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseAuxdata(tt.control)
			if ok != tt.ok || ok && got != want {
				t.Errorf("got %+v %v, want %+v %v", got, ok, want, tt.ok)
			}
		})
	}
}

// x/sys is the oracle: what it finds first, parseAuxdata finds.
func FuzzParseAuxdata(f *testing.F) {
	aux := cmsg(unix.SOL_PACKET, unix.PACKET_AUXDATA, auxBytes(auxdata{status: 1, len: 60, snaplen: 60}))
	f.Add(aux)
	f.Add(append(cmsg(unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 3)), aux...))
	f.Add(aux[:len(aux)-3])
	f.Fuzz(func(t *testing.T, control []byte) {
		got, ok := parseAuxdata(control)
		messages, err := unix.ParseSocketControlMessage(control)
		if err != nil {
			return
		}
		for _, m := range messages {
			if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= auxSize {
				if want := decodeAuxdata(m.Data); !ok || got != want {
					t.Fatalf("%x: got %+v %v, want %+v", control, got, ok, want)
				}
				return
			}
		}
		if ok {
			t.Fatalf("%x: got %+v, want none", control, got)
		}
	})
}

func TestVLANTag(t *testing.T) {
	const valid, tpidValid = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
	tests := []struct {
		name string
		aux  auxdata
		tag  [4]byte
		ok   bool
	}{
		{"none", auxdata{vlanTCI: 5, tpid: 0x8100}, [4]byte{}, false},
		{"802.1Q, PCP 7, DEI", auxdata{status: valid | tpidValid, vlanTCI: 0xF064, tpid: 0x8100}, [4]byte{0x81, 0, 0xF0, 0x64}, true},
		{"802.1ad", auxdata{status: valid | tpidValid, vlanTCI: 100, tpid: 0x88A8}, [4]byte{0x88, 0xA8, 0, 100}, true},
		{"priority tag, all zero", auxdata{status: valid | tpidValid, tpid: 0x8100}, [4]byte{0x81, 0, 0, 0}, true},
		{"no TPID from the kernel", auxdata{status: valid, vlanTCI: 7}, [4]byte{0x81, 0, 0, 7}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tag, ok := tt.aux.vlan(); tag != tt.tag || ok != tt.ok {
				t.Errorf("got % x %v, want % x %v", tag, ok, tt.tag, tt.ok)
			}
		})
	}
}

func TestRestoreTag(t *testing.T) {
	slot := append(make([]byte, headroom), "DDDDDDSSSSSSttpayload"...)
	start := restoreTag(slot, headroom, [4]byte{0x88, 0xA8, 1, 2})
	if got, want := string(slot[start:]), "DDDDDDSSSSSS\x88\xA8\x01\x02ttpayload"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVnetHdr(t *testing.T) {
	const gsoTCP4 = unix.VIRTIO_NET_HDR_GSO_TCPV4
	tests := []struct {
		name string
		in   wire.Offload
		want wire.Offload // after a way through the kernel's form
	}{
		{"nothing to do", wire.Offload{}, wire.Offload{}},
		{"checksum", wire.Offload{Flags: needsCsum, CsumStart: 34, CsumOffset: 6}, wire.Offload{Flags: needsCsum, CsumStart: 34, CsumOffset: 6}},
		{"segmentation", wire.Offload{Flags: needsCsum, GSOType: gsoTCP4, HeaderLen: 66, GSOSize: 1448, CsumStart: 34, CsumOffset: 16},
			wire.Offload{Flags: needsCsum, GSOType: gsoTCP4, HeaderLen: 66, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}},
		{"remarks are no work", wire.Offload{Flags: unix.VIRTIO_NET_HDR_F_DATA_VALID | unix.VIRTIO_NET_HDR_F_RSC_INFO, CsumStart: 3}, wire.Offload{}},
		{"leftovers", wire.Offload{HeaderLen: 1, GSOSize: 2, CsumStart: 3, CsumOffset: 4}, wire.Offload{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h [vnetHdrLen]byte
			encodeVnetHdr(&h, &tt.in)
			if got := decodeVnetHdr(&h); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeVnetHdrIgnoresRemarks(t *testing.T) {
	h := [vnetHdrLen]byte{unix.VIRTIO_NET_HDR_F_DATA_VALID, 0, 9, 9, 9, 9, 9, 9, 9, 9}
	if got := decodeVnetHdr(&h); got != (wire.Offload{}) {
		t.Errorf("got %+v, want the zero Offload", got)
	}
}

func TestShiftOffload(t *testing.T) {
	const gsoTCP4 = unix.VIRTIO_NET_HDR_GSO_TCPV4
	tests := []struct {
		name     string
		in, want wire.Offload
	}{
		{"nothing to do", wire.Offload{}, wire.Offload{}},
		{"checksum", wire.Offload{Flags: needsCsum, CsumStart: 34}, wire.Offload{Flags: needsCsum, CsumStart: 38}},
		{"both", wire.Offload{Flags: needsCsum, GSOType: gsoTCP4, HeaderLen: 66, CsumStart: 34}, wire.Offload{Flags: needsCsum, GSOType: gsoTCP4, HeaderLen: 70, CsumStart: 38}},
		{"hint at its limit", wire.Offload{GSOType: gsoTCP4, HeaderLen: 65534}, wire.Offload{GSOType: gsoTCP4, HeaderLen: 65534}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if shiftOffload(&tt.in, 4); tt.in != tt.want {
				t.Errorf("got %+v, want %+v", tt.in, tt.want)
			}
		})
	}
}

func TestSegmentLen(t *testing.T) {
	tcp := make([]byte, 5000)
	tcp[34+12] = 8 << 4 // data offset: 32 octets
	tests := []struct {
		name string
		data []byte
		o    wire.Offload
		want int
	}{
		{"plain", tcp, wire.Offload{}, 5000},
		{"TCP", tcp, wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4 | unix.VIRTIO_NET_HDR_GSO_ECN, CsumStart: 34, GSOSize: 1448}, 34 + 32 + 1448},
		{"UDP", tcp, wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_UDP_L4, CsumStart: 34, GSOSize: 1400}, 34 + 8 + 1400},
		{"one segment only", tcp, wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV6, CsumStart: 34, GSOSize: 60000}, 5000},
		{"offset behind the end", tcp, wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV6, CsumStart: 65535, GSOSize: 1}, 0},
		{"cannot be told", tcp, wire.Offload{GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4, GSOSize: 1448}, 0},
		{"fragmentation", tcp, wire.Offload{GSOType: unix.VIRTIO_NET_HDR_GSO_UDP, GSOSize: 1448}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := segmentLen(tt.data, &tt.o); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
