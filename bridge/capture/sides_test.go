package capture_test

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track/flow"
)

// survey surveys files in their order.
func survey(t testing.TB, lan []string, files ...[]byte) *capture.Sides {
	t.Helper()
	s, err := capture.NewSurvey(lan)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if r, err := capture.NewReader(bytes.NewReader(file)); err == nil {
			s.Read(r)
		}
	}
	return s.Sides()
}

// hostMAC is the MAC address that the test's hosts have, by the last octet of
// their IP address.
func hostMAC(ip string) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, 0, 0, net.ParseIP(ip).To4()[3]}
}

func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ip(src, dst string, protocol layers.IPProtocol) (*layers.Ethernet, *layers.IPv4) {
	return &layers.Ethernet{SrcMAC: hostMAC(src), DstMAC: hostMAC(dst), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst), Protocol: protocol}
}

func tcp(t testing.TB, src string, srcPort uint16, dst string, dstPort uint16, syn, ack bool) []byte {
	ether, v4 := ip(src, dst, layers.IPProtocolTCP)
	return serialize(t, ether, v4, &layers.TCP{SrcPort: layers.TCPPort(srcPort), DstPort: layers.TCPPort(dstPort), SYN: syn, ACK: ack})
}

func udp(t testing.TB, src, dst string) []byte {
	ether, v4 := ip(src, dst, layers.IPProtocolUDP)
	return serialize(t, ether, v4, &layers.UDP{SrcPort: 1, DstPort: 2})
}

func arp(t testing.TB, src string) []byte {
	return serialize(t, &layers.Ethernet{SrcMAC: hostMAC(src), DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{HwAddressSize: 6, ProtAddressSize: 4, SourceHwAddress: make([]byte, 6), SourceProtAddress: make([]byte, 4), DstHwAddress: make([]byte, 6), DstProtAddress: make([]byte, 4)})
}

func TestSides(t *testing.T) {
	const a, b, server, router = "10.0.0.11", "10.0.0.12", "10.0.0.2", "10.0.0.1"
	raw := func(frames ...[]byte) (all [][]byte) {
		for _, f := range frames {
			all = append(all, f[14:])
		}
		return all
	}
	foreign := udp(t, "192.0.2.9", a) // from beyond the router
	copy(foreign[6:12], hostMAC(router))
	v6 := []byte("\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x0b\x86\xdd\x60\x00\x00\x00\x00\x00\x3b\x01" +
		"\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b" + "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	open := tcp(t, a, 4000, server, 1723, true, false)
	tests := []struct {
		name string
		lan  []string
		link uint32
		in   [][]byte
		want string // one letter for each frame: l or w
	}{
		{"the opener is on the LAN, before and after", nil, 1, [][]byte{arp(t, server), arp(t, a), open, tcp(t, server, 1723, a, 4000, true, true), udp(t, server, a)}, "wllww"},
		{"a second client of the same server", nil, 1, [][]byte{open, tcp(t, b, 4001, server, 1723, true, false), arp(t, b), udp(t, server, b)}, "lllw"},
		{"the server dials another LAN host", nil, 1, [][]byte{open, tcp(t, server, 4001, b, 1723, true, false), udp(t, b, server)}, "lwl"},
		{"an unknown pair: the opener", nil, 1, [][]byte{open, tcp(t, "10.1.0.1", 1, "10.1.0.2", 1723, true, false), tcp(t, "10.1.0.2", 1723, "10.1.0.1", 1, true, true)}, "llw"},
		{"unknown hosts go by MAC, destination, then LAN", nil, 1, [][]byte{open, foreign, udp(t, "10.0.0.77", a), udp(t, "10.0.0.78", server), udp(t, "10.0.0.79", "10.0.0.80")}, "lwwll"},
		{"a connection met in mid-stream", nil, 1, [][]byte{tcp(t, server, 1723, a, 4000, false, true), tcp(t, a, 4000, server, 1723, false, true)}, "wl"},
		{"an opening goes before one met in mid-stream", nil, 1, [][]byte{tcp(t, server, 1723, a, 4000, false, true), tcp(t, server, 1, b, 1723, true, false)}, "ll"},
		{"no port 1723: the first source", nil, 1, [][]byte{udp(t, server, a), udp(t, a, server), arp(t, server), arp(t, a)}, "lwlw"},
		{"no port 1723, no IP", nil, 1, [][]byte{arp(t, server), arp(t, a), udp(t, server, a)}, "lll"},
		{"raw IP", nil, 101, raw(open, tcp(t, server, 1723, a, 4000, true, true), udp(t, server, b), udp(t, b, server)), "lwwl"},
		{"shorter than a header", nil, 1, [][]byte{open, {1}, {}}, "lll"},
		{"-lan prefix", []string{"10.0.0.0/28"}, 1, [][]byte{open, udp(t, server, a), udp(t, "192.0.2.1", a), arp(t, a), arp(t, "10.0.0.99"), v6}, "llwlwl"},
		{"-lan address", []string{server}, 1, [][]byte{open, udp(t, server, a), arp(t, server)}, "wll"},
		{"-lan MAC", []string{"02:00:00:00:00:02"}, 1, [][]byte{open, udp(t, server, a), arp(t, server), arp(t, a)}, "wllw"},
		{"-lan both", []string{"10.0.0.11/32", "02:00:00:00:00:02"}, 1, [][]byte{open, udp(t, server, a), udp(t, b, a)}, "llw"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := pcapOf(le, micro, test.link, test.in...)
			if got := letters(t, survey(t, test.lan, file), file); got != test.want {
				t.Errorf("sides %s, want %s", got, test.want)
			}
		})
	}
}

func letters(t testing.TB, sides *capture.Sides, file []byte) (got string) {
	t.Helper()
	all, _ := records(t, file)
	for i := range all {
		got += sides.Of(&all[i]).String()[:1]
	}
	return got
}

// TestSidesByInterface: interfaces named lan and wan decide, if both are there.
func TestSidesByInterface(t *testing.T) {
	n := newNG(le)
	n.iface(1, 0, n.option(2, []byte("wan"))).packet(0, 0, udp(t, "10.0.0.1", "10.0.0.2"))
	only := bytes.Clone(n.Bytes())
	n.iface(1, 0, n.option(2, []byte("lan"))).iface(1, 0).
		packet(1, 0, frameA).packet(0, 0, frameA, n.option(2, n.u32(1))).
		packet(1, 0, frameA, n.option(2, n.u32(2))).packet(0, 0, frameA, n.option(2, n.u32(2))).packet(2, 0, frameA)
	if got := letters(t, survey(t, nil, n.Bytes()), n.Bytes()); got != "wlwwlw" {
		t.Errorf("with both interfaces: %s", got)
	}
	if got := letters(t, survey(t, nil, only), only); got != "l" {
		t.Errorf("with wan alone: %s, want the first source on the LAN", got)
	}
	if got := letters(t, survey(t, []string{"02:00:00:00:00:02"}, n.Bytes()), n.Bytes()); got != "wlwwll" {
		t.Errorf("interfaces go before -lan: %s", got)
	}
}

func TestSurveyRefusesLAN(t *testing.T) {
	for _, lan := range []string{"", "10.0.0.0/33", "eth0", "0200.0000.0000.0001"} {
		if _, err := capture.NewSurvey([]string{lan}); err == nil || !strings.Contains(err.Error(), `"`+lan+`"`) {
			t.Errorf("-lan %q: %v", lan, err)
		}
	}
}

// TestSurveySuggestsLAN: of a prefix that means another one it says which.
func TestSurveySuggestsLAN(t *testing.T) {
	for lan, want := range map[string]string{
		"10.77.1.5/24": `write "10.77.1.0/24", or the address alone`, "2001:db8::1/32": `write "2001:db8::/32"`,
		"::ffff:10.0.0.0/104": "IPv4's form",
	} {
		if _, err := capture.NewSurvey([]string{lan}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), lan) {
			t.Errorf("-lan %q: %v, want %q", lan, err, want)
		}
	}
}

// TestGivenLAN counts what the user's prefixes match.
func TestGivenLAN(t *testing.T) {
	file := pcapOf(le, micro, 1, udp(t, "10.0.0.1", "10.0.0.2"), udp(t, "10.0.0.2", "10.0.0.1"), udp(t, "10.0.0.3", "10.0.0.1"))
	for lan, want := range map[string][2]uint64{"10.0.0.1": {1, 3}, "10.0.0.0/8": {3, 3}, "192.0.2.0/24": {0, 3}, "": {0, 0}} {
		sides := survey(t, strings.Fields(lan), file)
		letters(t, sides, file)
		if matched, judged := sides.GivenLAN(); matched != want[0] || judged != want[1] {
			t.Errorf("-lan %q: %d of %d frames, want %v", lan, matched, judged, want)
		}
	}
}

// TestSidesOfRealCaptures: in each of them every frame of a dialling client is
// from the LAN and every one of the server from the WAN.
func TestSidesOfRealCaptures(t *testing.T) {
	for name, server := range map[string]string{
		"real-bridge-twoclients.pcap": "10.77.0.2", "real-bridge-smallmtu.pcap": "10.77.0.2", "real-dnat-lan.pcap": "10.77.1.2",
		"real-dnat-wan.pcap": "10.77.2.1", "real-nat-lan.pcap": "10.77.2.2", "real-nat-wan.pcap": "10.77.2.2",
	} {
		path := filepath.Join("../../cmd/grewire/testdata/captures", name)
		s, err := capture.NewSurvey(nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Read(open(t, path))
		sides, r := s.Sides(), open(t, path)
		for rec, err := r.Next(); err == nil; rec, err = r.Next() {
			p := gopacket.NewPacket(rec.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
			v4, ok := p.NetworkLayer().(*layers.IPv4)
			if !ok {
				continue
			}
			want := flow.LAN
			if v4.SrcIP.String() == server {
				want = flow.WAN
			}
			if got := sides.Of(&rec); got != want {
				t.Errorf("%s: frame %d from %s is from %s, want %s", name, rec.Number, v4.SrcIP, got, want)
			}
		}
	}
}

func open(t *testing.T, path string) *capture.Reader {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}
