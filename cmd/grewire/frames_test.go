package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Frames between a client on the LAN and a server on the WAN.
const (
	client = "10.0.0.11"
	server = "10.0.0.2"
)

func frame(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hostMAC(ip string) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, 0, 0, net.ParseIP(ip).To4()[3]}
}

func ether(src, dst string, t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: hostMAC(src), DstMAC: hostMAC(dst), EthernetType: t}
}

func ipv4(src, dst string, protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst), Protocol: protocol}
}

func synFrame(t testing.TB) []byte {
	ip := ipv4(client, server, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: 4000, DstPort: 1723, Seq: 99, SYN: true, Window: 1000}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return frame(t, ether(client, server, layers.EthernetTypeIPv4), ip, tcp)
}

// greFrame has flags and version in its first two octets, then a protocol.
func greFrame(t testing.TB, src, dst string, flags, protocol uint16) []byte {
	return frame(t, ether(src, dst, layers.EthernetTypeIPv4), ipv4(src, dst, layers.IPProtocolGRE),
		gopacket.Payload{byte(flags >> 8), byte(flags), byte(protocol >> 8), byte(protocol), 0, 4, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4})
}

// fragmentFrame is one of two parts of a GRE datagram; offset counts octets.
func fragmentFrame(t testing.TB, offset uint16, more bool) []byte {
	ip := ipv4(client, server, layers.IPProtocolGRE)
	ip.Id, ip.FragOffset = 77, offset/8
	if more {
		ip.Flags = layers.IPv4MoreFragments
	}
	payload := gopacket.Payload{0x30, 1, 0x88, 0x0b, 0, 16, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4}
	return frame(t, ether(client, server, layers.EthernetTypeIPv4), ip, payload)
}

var captureStart = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)

// captureOf writes frames, a second apart, to a capture in a directory of the
// test's own.
func captureOf(t testing.TB, name string, frames ...[]byte) string {
	t.Helper()
	return captureEvery(t, time.Second, name, frames...)
}

func captureEvery(t testing.TB, interval time.Duration, name string, frames ...[]byte) string {
	t.Helper()
	return captureAs(t, layers.LinkTypeEthernet, interval, name, frames...)
}

// captureAs writes packets of another link type.
func captureAs(t testing.TB, link layers.LinkType, interval time.Duration, name string, frames ...[]byte) string {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65535, link); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: captureStart.Add(time.Duration(i) * interval), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mixedCapture has a frame of every sort that a verdict tells apart.
func mixedCapture(t testing.TB) string {
	tagged := frame(t, ether(server, client, layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeIPv4},
		ipv4(server, client, layers.IPProtocolUDP), gopacket.Payload(make([]byte, 8)))
	malformed := greFrame(t, client, server, 0x3001, 0x880b)
	malformed[14] = 0x4f // a header of 60 octets, which are not there
	pause := make([]byte, 60)
	copy(pause, "\x01\x80\xc2\x00\x00\x01\x02\x00\x00\x00\x00\x01\x88\x08\x00\x01")
	return captureOf(t, "mixed.pcap",
		frame(t, ether(client, server, layers.EthernetTypeARP), gopacket.Payload(make([]byte, 46))),
		synFrame(t),
		greFrame(t, server, client, 0x3001, 0x880b),
		greFrame(t, client, server, 0, 0x0800),
		greFrame(t, client, server, 0x2002, 0x880b),
		malformed,
		tagged,
		pause,
		[]byte("\x01\x80\xc2\x00\x00\x0e\x02\x00\x00\x00\x00\x02\x88\xcclldp"),
		[]byte("x"),
		frame(t, ether(client, server, layers.EthernetTypeIPv4), ipv4(client, server, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}),
	)
}
