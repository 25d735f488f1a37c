package afpacket

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// slotOf makes a slot as tpacket_rcv does.
func slotOf(aux auxdata, mac int, vnet wire.Offload, data []byte) []byte {
	slot := make([]byte, mac+len(data))
	binary.NativeEndian.PutUint32(slot[slotStatus:], aux.status)
	binary.NativeEndian.PutUint32(slot[slotLen:], aux.len)
	binary.NativeEndian.PutUint32(slot[slotSnaplen:], aux.snaplen)
	binary.NativeEndian.PutUint16(slot[slotMAC:], uint16(mac))
	binary.NativeEndian.PutUint16(slot[slotVLANTCI:], aux.vlanTCI)
	binary.NativeEndian.PutUint16(slot[slotVLANTPID:], aux.tpid)
	encodeVnetHdr((*[vnetHdrLen]byte)(slot[mac-vnetHdrLen:]), &vnet)
	copy(slot[mac:], data)
	return slot
}

func TestFillSlot(t *testing.T) {
	const user, tagged = unix.TP_STATUS_USER, unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID
	plain := frame(60, unicast, testEtherType)
	checksum := wire.Offload{Flags: needsCsum, CsumStart: 34, CsumOffset: 6}
	shifted := wire.Offload{Flags: needsCsum, CsumStart: 38, CsumOffset: 6}
	tests := []struct {
		name string
		slot []byte
		want track.Frame
	}{
		{"plain", slotOf(auxdata{status: user, len: 60, snaplen: 60}, slotOverhead, wire.Offload{}, plain), track.Frame{Data: plain}},
		{"tag and checksum", slotOf(auxdata{status: user | tagged, len: 60, snaplen: 60, vlanTCI: 0xE064, tpid: 0x88A8}, slotOverhead, checksum, plain),
			track.Frame{Data: append(bytes.Clone(plain[:12]), append([]byte{0x88, 0xA8, 0xE0, 0x64}, plain[12:]...)...), Offload: shifted}},
		{"cut", slotOf(auxdata{status: user, len: 61, snaplen: 60}, slotOverhead, wire.Offload{}, plain), track.Frame{Data: plain, Truncated: true}},
		{"begins in the header", slotOf(auxdata{status: user, len: 60, snaplen: 60}, slotHdrLen, wire.Offload{}, plain), track.Frame{Truncated: true}},
		{"ends behind the slot", slotOf(auxdata{status: user, len: 61, snaplen: 61}, slotOverhead, wire.Offload{}, plain), track.Frame{Truncated: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f track.Frame
			aux := parseSlot(tt.slot)
			fillSlot(&f, tt.slot, &aux)
			if !bytes.Equal(f.Data, tt.want.Data) || f.Offload != tt.want.Offload || f.Truncated != tt.want.Truncated {
				t.Errorf("got % x, %+v, truncated %v\nwant % x, %+v, truncated %v", f.Data, f.Offload, f.Truncated, tt.want.Data, tt.want.Offload, tt.want.Truncated)
			}
		})
	}
}

// Whatever a slot says, its frame lies within it, or is Truncated.
func FuzzFillSlot(f *testing.F) {
	f.Add(slotOf(auxdata{status: unix.TP_STATUS_USER | unix.TP_STATUS_VLAN_VALID, len: 60, snaplen: 60}, slotOverhead, wire.Offload{}, make([]byte, 60)))
	f.Add(make([]byte, slotOverhead))
	f.Fuzz(func(t *testing.T, slot []byte) {
		if len(slot) < slotOverhead {
			return
		}
		var got track.Frame
		aux := parseSlot(slot)
		fillSlot(&got, slot, &aux)
		want := int(aux.snaplen)
		if _, ok := aux.vlan(); ok && want >= macsLen {
			want += vlanTagLen
		}
		if !got.Truncated && len(got.Data) != want {
			t.Errorf("got %d octets, want %d of % x", len(got.Data), want, slot)
		}
	})
}

// A ring never counts more slots than it has, and comes round.
func TestGeometry(t *testing.T) {
	for _, slots := range []int{1, 40, 41, 16384} {
		for _, mtu := range []int{68, 1500, 9000, 65535} {
			o := Options{RingSlots: slots}.withDefaults()
			g := o.geometry(mtu)
			if g.slots() < slots || g.slots() >= slots+g.perBlock || g.slotSize%tpacketAlign != 0 {
				t.Errorf("%d slots, MTU %d: %+v", slots, mtu, g)
			}
			at := 0
			for i := range g.slots() {
				if want := i/g.perBlock*blockSize + i%g.perBlock*g.slotSize; at != want {
					t.Fatalf("%d slots, MTU %d: slot %d begins at %d, want %d", slots, mtu, i, at, want)
				}
				at = g.behind(at)
			}
			if at != 0 {
				t.Errorf("%d slots, MTU %d: %d is behind the last one", slots, mtu, at)
			}
			if mtu <= 9000 && g.slotSize < slotOverhead+mtu+etherLen+vlanTagLen {
				t.Errorf("MTU %d does not fit a slot of %d", mtu, g.slotSize)
			}
		}
	}
}
