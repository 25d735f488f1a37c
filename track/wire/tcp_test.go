package wire_test

import (
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/track/wire"
)

func TestWindowScale(t *testing.T) {
	for _, c := range []struct {
		name, options string
		shift         uint8
		ok            bool
	}{
		{"no options", "", 0, false},
		{"MSS only", "02040586", 0, false},
		{"behind MSS and NOP", "02040586 01030307", 7, true},
		{"shift 0", "03030001", 0, true},
		{"above 14 counts as 14 (RFC 7323, section 2.3)", "0303ff01", 14, true},
		{"the last of two", "03030e01 03030201", 2, true},
		{"behind the end of the list", "00030307", 0, false},
		{"before the end of the list", "03030500", 5, true},
		{"length 2", "01010302", 0, false},
		{"length 4", "03040700", 0, false},
		{"longer than the header", "01010304", 0, false},
		{"option of length 0", "08000000 03030701", 0, false},
		{"option of length 1", "08010000 03030701", 0, false},
		{"option cut behind it", "03030608", 6, true},
		{"one octet is left", "01010103", 0, false},
		{"an unknown option is stepped over", "fe04abcd 03030901", 9, true},
	} {
		frame := eth(ether4(ip4(6, "", tcp(c.options, "03030e"))))
		var p wire.Packet
		wire.Decode(frame, &p)
		if shift, ok := wire.WindowScale(frame, &p); shift != c.shift || ok != c.ok {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, shift, ok, c.shift, c.ok)
		}
	}
}

// serialize lets gopacket write the layers, with lengths and checksums.
func serialize(t interface{ Fatal(...any) }, parts ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// segments returns the same segment in IPv4 and in IPv6.
func segments(t interface{ Fatal(...any) }, segment *layers.TCP, payload []byte) [][]byte {
	link := layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	four := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: octets(client4), DstIP: octets(server4)}
	six := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: octets(client6), DstIP: octets(server6)}
	if err := segment.SetNetworkLayerForChecksum(four); err != nil {
		t.Fatal(err)
	}
	frame4 := serialize(t, &link, four, segment, gopacket.Payload(payload))
	link.EthernetType = layers.EthernetTypeIPv6
	if err := segment.SetNetworkLayerForChecksum(six); err != nil {
		t.Fatal(err)
	}
	return [][]byte{frame4, serialize(t, &link, six, segment, gopacket.Payload(payload))}
}

func TestTCPChecksumOK(t *testing.T) {
	for _, payload := range []string{"", "a", "ab", "abc", "\xff\xff\xff\xff", "\x00\x00\x00\x00\x00", strings.Repeat("\xff\xfe", 99)} {
		for _, frame := range segments(t, &layers.TCP{SrcPort: 1723, DstPort: 40000, Seq: 1, ACK: true, Window: 5}, []byte(payload)) {
			frame = append(frame, 0xde, 0xad) // a trailer is no part of it
			var p wire.Packet
			wire.Decode(frame, &p)
			if !wire.TCPChecksumOK(frame, &p) {
				t.Errorf("IPv%d, payload %q: right checksum called wrong", p.Version, payload)
			}
			for bit := p.L4 * 8; bit < p.End*8; bit++ {
				if bit/8 == p.L4+12 {
					continue // data offset: it would be another header
				}
				frame[bit/8] ^= 1 << (bit % 8)
				wire.Decode(frame, &p)
				if wire.TCPChecksumOK(frame, &p) {
					t.Errorf("IPv%d, payload %q: bit %d flipped, checksum still right", p.Version, payload, bit)
				}
				frame[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func TestUnfinished(t *testing.T) {
	for _, c := range []struct {
		offload wire.Offload
		want    bool
	}{
		{wire.Offload{}, false},
		{wire.Offload{Flags: 1}, true},
		{wire.Offload{Flags: 2}, true},
		{wire.Offload{Flags: 4}, false},
		{wire.Offload{GSOType: 1}, true},
	} {
		if got := c.offload.Unfinished(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.offload, got, c.want)
		}
	}
}
