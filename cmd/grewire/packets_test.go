package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// packet is a frame of real content.
type packet struct {
	name    string
	parts   []gopacket.SerializableLayer
	trailer int // octets behind what the headers account for
	spoil   int // offset of an octet that is wrong; 0: none is
}

// frame returns the frame, with a trailer that is not zero.
func (p packet) frame(t testing.TB) []byte {
	f := append(frame(t, p.parts...), bytes.Repeat([]byte{0xa5}, p.trailer)...)
	if p.spoil > 0 {
		f[p.spoil] ^= 0xff
	}
	return f
}

func payload(octets int) gopacket.Payload {
	return bytes.Repeat([]byte("grewire!"), (octets+7)/8)[:octets]
}

// addresses are of no host of the lab, so that none answers.
var (
	address4 = [...]net.IP{track.LAN: {192, 0, 2, 11}, track.WAN: {192, 0, 2, 22}}
	address6 = [...]net.IP{track.LAN: net.ParseIP("2001:db8::11"), track.WAN: net.ParseIP("2001:db8::22")}
)

// overIPv4 is an IPv4 header and what is behind it, with its checksum.
func overIPv4(from track.Side, ttl uint8, options []layers.IPv4Option, protocol layers.IPProtocol, rest ...gopacket.SerializableLayer) []gopacket.SerializableLayer {
	ip := &layers.IPv4{Version: 4, TTL: ttl, Options: options, SrcIP: address4[from], DstIP: address4[from.Other()], Protocol: protocol}
	return append([]gopacket.SerializableLayer{ip}, summed(ip, rest)...)
}

// overIPv6 is the same for IPv6.
func overIPv6(from track.Side, to net.IP, protocol layers.IPProtocol, rest ...gopacket.SerializableLayer) []gopacket.SerializableLayer {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, SrcIP: address6[from], DstIP: to, NextHeader: protocol}
	return append([]gopacket.SerializableLayer{ip}, summed(ip, rest)...)
}

// summed has the checksums of what is behind an IP header cover that header.
func summed(ip gopacket.NetworkLayer, rest []gopacket.SerializableLayer) []gopacket.SerializableLayer {
	for _, part := range rest {
		if l, is := part.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); is {
			_ = l.SetNetworkLayerForChecksum(ip) // both are IP
		}
	}
	return rest
}

func datagram(octets int) []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{&layers.UDP{SrcPort: 4000, DstPort: 4001}, payload(octets)}
}

// packets are frames of real content that the host of a side sends: what
// network stacks, switches and routers say to each other.
func (l *wireLab) packets(side track.Side) (all []packet) {
	own, peer := l.hosts[side].HardwareAddr(bridgetest.HostNIC), l.hosts[side.Other()].HardwareAddr(bridgetest.HostNIC)
	box := l.top.Box.HardwareAddr([]string{bridgetest.LANNIC, bridgetest.WANNIC}[side])
	add := func(name string, trailer int, to net.HardwareAddr, ether layers.EthernetType, parts ...gopacket.SerializableLayer) *packet {
		head := &layers.Ethernet{SrcMAC: own, DstMAC: to, EthernetType: ether}
		all = append(all, packet{name: name, parts: append([]gopacket.SerializableLayer{head}, parts...), trailer: trailer})
		return &all[len(all)-1]
	}
	const v4, v6 = layers.EthernetTypeIPv4, layers.EthernetTypeIPv6
	udp4 := func(octets int) []gopacket.SerializableLayer {
		return overIPv4(side, 64, nil, layers.IPProtocolUDP, datagram(octets)...)
	}
	udp6 := overIPv6(side, address6[side.Other()], layers.IPProtocolUDP, datagram(100)...)
	tag := func(id uint16, of layers.EthernetType) *layers.Dot1Q {
		return &layers.Dot1Q{VLANIdentifier: id, Type: of}
	}
	with := func(first gopacket.SerializableLayer, rest []gopacket.SerializableLayer) []gopacket.SerializableLayer {
		return append([]gopacket.SerializableLayer{first}, rest...)
	}

	add("IPv4", 0, peer, v4, udp4(100)...)
	add("IPv4, padded", 0, peer, v4, udp4(1)...)
	add("IPv4, padding that is not zero", 20, peer, v4, udp4(1)...)
	add("IPv4 and a trailer", 4, peer, v4, udp4(100)...)
	add("IPv4 and a long trailer", 700, peer, v4, udp4(100)...)
	add("IPv6 and a trailer", 6, peer, v6, udp6...)
	add("IPv4 in a VLAN and a trailer", 8, peer, layers.EthernetTypeDot1Q, with(tag(100, v4), udp4(100))...)
	add("IPv6 in QinQ and a trailer", 8, peer, layers.EthernetTypeQinQ, with(tag(100, layers.EthernetTypeDot1Q), with(tag(200, v6), udp6))...)
	add("control connection and a trailer", 9, peer, v4,
		overIPv4(side, 64, nil, layers.IPProtocolTCP, &layers.TCP{SrcPort: 4000, DstPort: 1723, Seq: 99, SYN: true, Window: 1000})...)
	add("IPv4 with options", 0, peer, v4, overIPv4(side, 64, []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}, layers.IPProtocolUDP, datagram(50)...)...)
	add("IPv4 with a wrong checksum", 0, peer, v4, udp4(100)...).spoil = 24
	add("UDP with a wrong checksum", 0, peer, v4, udp4(100)...).spoil = 40
	add("IPv4 that lives no longer", 0, box, v4, overIPv4(side, 1, nil, layers.IPProtocolUDP, datagram(100)...)...)
	add("ICMP", 0, peer, v4, overIPv4(side, 64, nil, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, payload(56))...)
	add("ARP, padding that is not zero", 7, broadcast, layers.EthernetTypeARP, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: v4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: own, SourceProtAddress: address4[side], DstHwAddress: make([]byte, 6), DstProtAddress: address4[side.Other()],
	})
	add("neighbour solicitation", 0, net.HardwareAddr{0x33, 0x33, 0xff, 0, 0, 0x22}, v6, overIPv6(side, net.ParseIP("ff02::1:ff00:22"), layers.IPProtocolICMPv6,
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}, &layers.ICMPv6NeighborSolicitation{TargetAddress: address6[side.Other()]})...)
	add("OSPF to its group", 0, net.HardwareAddr{0x01, 0, 0x5e, 0, 0, 5}, v4, overIPv4(side, 1, nil, 89, payload(44))...)
	add("spanning tree", 0, linkLocal(0), 38, payload(38)) // its type is the length of what is behind it
	add("LLDP", 0, linkLocal(0x0e), layers.EthernetTypeLinkLayerDiscovery, payload(60))
	add("LACP", 0, linkLocal(2), 0x8809, payload(110))
	add("EAPOL start", 0, linkLocal(3), layers.EthernetTypeEAPOL, gopacket.Payload{2, 1, 0, 0})
	add("IPv4 over PPPoE and a trailer", 5, peer, layers.EthernetTypePPPoESession,
		with(&layers.PPPoE{Version: 1, Type: 1, SessionId: 7}, with(&layers.PPP{PPPType: layers.PPPTypeIPv4}, udp4(100)))...)
	return all
}
