package main

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var testRequest = echo{
	kind: icmpEchoRequest, src: netip.MustParseAddr("192.168.99.10"), dst: netip.MustParseAddr("192.168.99.1"),
	id: 0x1234, seq: 7, payload: []byte("payload"),
}

func TestEchoPacket(t *testing.T) {
	packet := gopacket.NewPacket(testRequest.packet(), layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	icmp, _ := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if packet.ErrorLayer() != nil || ip == nil || icmp == nil {
		t.Fatalf("gopacket reads %v", packet)
	}
	if ip.SrcIP.String() != "192.168.99.10" || ip.DstIP.String() != "192.168.99.1" || ip.TTL != timeToLive ||
		icmp.TypeCode.Type() != layers.ICMPv4TypeEchoRequest || icmp.Id != 0x1234 || icmp.Seq != 7 || string(icmp.Payload) != "payload" {
		t.Errorf("gopacket reads %v %v", ip, icmp)
	}
}

func TestParseEcho(t *testing.T) {
	packet := testRequest.packet()
	got, ok := parseEcho(append(bytes.Clone(packet), "padding"...))
	if !ok || got.seq != 7 || got.id != 0x1234 || string(got.payload) != "payload" {
		t.Errorf("parseEcho = %+v, %v", got, ok)
	}
	if reply, ok := parseEcho(got.reply().packet()); !ok || reply.kind != icmpEchoReply || reply.src != testRequest.dst {
		t.Errorf("the reply is %+v, %v", reply, ok)
	}
	for i := range packet {
		if _, ok := parseEcho(packet[:i]); ok {
			t.Errorf("cut to %d octets it is still an echo", i)
		}
		damaged := bytes.Clone(packet)
		damaged[i] ^= 0x10
		if _, ok := parseEcho(damaged); ok {
			t.Errorf("with octet %d damaged it is still an echo", i)
		}
	}
}
