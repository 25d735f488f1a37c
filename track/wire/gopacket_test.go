package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/wire"
)

// dissect is what gopacket makes of a frame: nil if it panics or finds fault.
func dissect(frame []byte) (packet gopacket.Packet) {
	defer func() {
		if recover() != nil {
			packet = nil
		}
	}()
	packet = gopacket.NewPacket(frame, layers.LinkTypeEthernet, gopacket.NoCopy)
	return packet
}

// compare holds p against gopacket, for whatever both of them read: they must
// agree on where and what it is.
func compare(t interface{ Errorf(string, ...any) }, frame []byte, p *wire.Packet) {
	if p.Kind != wire.TCP && p.Kind != wire.EnhancedGRE {
		return
	}
	packet := dissect(frame)
	if packet == nil || packet.NetworkLayer() == nil {
		return
	}
	source, destination := packet.NetworkLayer().NetworkFlow().Endpoints()
	if !tail(p.Src, source.Raw()) || !tail(p.Dst, destination.Raw()) {
		t.Errorf("addresses %x, %x; gopacket says %v, %v", p.Src, p.Dst, source, destination)
	}
	if segment, ok := packet.TransportLayer().(*layers.TCP); ok && p.Kind == wire.TCP {
		compareTCP(t, p, segment)
		// Behind a Hop-by-Hop header gopacket takes the frame's trailer for
		// payload.
		trailer := packet.Layer(layers.LayerTypeIPv6HopByHop) != nil
		if got, want := p.PayloadLength(), len(segment.Payload); got != want && (!trailer || got > want) {
			t.Errorf("payload of %d octets; gopacket says %d", got, want)
		}
	}
	if gre, ok := packet.Layer(layers.LayerTypeGRE).(*layers.GRE); ok && p.Kind == wire.EnhancedGRE {
		compareGRE(t, p, gre)
	}
}

func tail(a wire.Addr, raw []byte) bool { o := a.Netip().AsSlice(); return bytes.HasSuffix(o, raw) }

func compareTCP(t interface{ Errorf(string, ...any) }, p *wire.Packet, s *layers.TCP) {
	if p.SrcPort != uint16(s.SrcPort) || p.DstPort != uint16(s.DstPort) || p.Seq != s.Seq || p.Ack != s.Ack || p.Window != s.Window {
		t.Errorf("%+v; gopacket says %+v", p, s)
	}
	if header := uint32(len(s.Contents)); p.Payload-p.L4 != header {
		t.Errorf("header of %d octets; gopacket says %d", p.Payload-p.L4, header)
	}
	flags := map[uint8]bool{wire.FIN: s.FIN, wire.SYN: s.SYN, wire.RST: s.RST, wire.PSH: s.PSH, wire.ACK: s.ACK}
	for flag, want := range flags {
		if p.Flags&flag != 0 != want {
			t.Errorf("flags %#x; gopacket says %+v", p.Flags, s)
		}
	}
}

func compareGRE(t interface{ Errorf(string, ...any) }, p *wire.Packet, g *layers.GRE) {
	if g.ChecksumPresent || g.RoutingPresent {
		return // it reads the fields that RFC 2637 does not have
	}
	if p.CallID != uint16(g.Key) || p.HasSeq && p.Seq != g.Seq || p.HasAck && p.Ack != g.Ack {
		t.Errorf("%+v; gopacket says %+v", p, g)
	}
	if p.Faults == 0 && p.Payload-p.L4 != uint32(len(g.Contents)) {
		t.Errorf("header of %d octets; gopacket says %d", p.Payload-p.L4, len(g.Contents))
	}
}

// TestAgainstGopacket lets gopacket write random valid frames and read them
// again.
func TestAgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		link, network := drawHeaders(t)
		payload := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "payload")
		transport := drawTransport(t, network[len(network)-1], len(payload))
		parts := append(append(link, network...), transport, gopacket.Payload(payload))
		frame := serialize(t, parts...)
		frame = append(frame, make([]byte, rapid.IntRange(0, 20).Draw(t, "trailer"))...)

		var p wire.Packet
		wire.Decode(frame, &p)
		want, layer := wire.TCP, layers.LayerTypeTCP
		if _, gre := transport.(*layers.GRE); gre {
			want, layer = wire.EnhancedGRE, layers.LayerTypeGRE
		}
		if p.Kind != want || p.Faults != 0 {
			t.Fatalf("%x is of kind %d with faults %d, want kind %d", frame, p.Kind, p.Faults, want)
		}
		if got := frame[p.Payload:p.End]; !bytes.Equal(got, payload) {
			t.Fatalf("payload %x, want %x", got, payload)
		}
		if p.Kind == wire.TCP && !wire.TCPChecksumOK(frame, &p) {
			t.Fatalf("checksum of %x called wrong", frame)
		}
		if packet := dissect(frame); packet == nil || packet.Layer(layer) == nil {
			t.Fatalf("gopacket does not read its own frame %x", frame)
		}
		compare(t, frame, &p)
	})
}

// drawHeaders draws the link layers, and the IP header as the last of the
// network layers.
func drawHeaders(t *rapid.T) (link, network []gopacket.SerializableLayer) {
	six := rapid.Bool().Draw(t, "IPv6")
	ether, ppp := layers.EthernetTypeIPv4, layers.PPPTypeIPv4
	if six {
		ether, ppp = layers.EthernetTypeIPv6, layers.PPPTypeIPv6
	}
	session := rapid.Bool().Draw(t, "PPPoE")
	if session {
		ether = layers.EthernetTypePPPoESession
	}
	tags := rapid.SliceOfN(rapid.Uint16Range(0, 4095), 0, 2).Draw(t, "tags")
	types := []layers.EthernetType{ether}
	for range tags {
		types = append([]layers.EthernetType{layers.EthernetTypeDot1Q}, types...)
	}
	link = append(link, &layers.Ethernet{SrcMAC: octets("020000000001"), DstMAC: octets("020000000002"), EthernetType: types[0]})
	for i, vid := range tags {
		link = append(link, &layers.Dot1Q{VLANIdentifier: vid, Type: types[i+1]})
	}
	if session {
		link = append(link, &layers.PPPoE{Version: 1, Type: 1, SessionId: rapid.Uint16().Draw(t, "session")}, &layers.PPP{PPPType: ppp})
	}
	if six {
		return link, []gopacket.SerializableLayer{&layers.IPv6{Version: 6, HopLimit: 1, SrcIP: drawAddr(t, 16), DstIP: drawAddr(t, 16)}}
	}
	four := &layers.IPv4{Version: 4, TTL: 1, Id: rapid.Uint16().Draw(t, "id"), SrcIP: drawAddr(t, 4), DstIP: drawAddr(t, 4)}
	for range rapid.IntRange(0, 10).Draw(t, "options") {
		four.Options = append(four.Options, layers.IPv4Option{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}})
	}
	return link, []gopacket.SerializableLayer{four}
}

func drawAddr(t *rapid.T, n int) []byte {
	a := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address")
	a[0] |= 1 // never IPv4-mapped
	return a
}

// drawTransport draws what ip is to carry and enters its protocol there.
func drawTransport(t *rapid.T, ip gopacket.SerializableLayer, payload int) gopacket.SerializableLayer {
	proto := layers.IPProtocolTCP
	seq, ack := rapid.Uint32().Draw(t, "seq"), rapid.Uint32().Draw(t, "ack")
	var transport gopacket.SerializableLayer
	if rapid.Bool().Draw(t, "GRE") {
		proto = layers.IPProtocolGRE
		key := uint32(payload)<<16 | uint32(rapid.Uint16().Draw(t, "call"))
		transport = &layers.GRE{Version: 1, KeyPresent: true, Protocol: 0x880b, Key: key, Seq: seq, Ack: ack,
			SeqPresent: payload > 0 || rapid.Bool().Draw(t, "S"), AckPresent: rapid.Bool().Draw(t, "A")}
	} else {
		flags := rapid.SliceOfN(rapid.Bool(), 5, 5).Draw(t, "flags")
		s := &layers.TCP{SrcPort: layers.TCPPort(rapid.Uint16().Draw(t, "sport")), DstPort: layers.TCPPort(rapid.Uint16().Draw(t, "dport")),
			Seq: seq, Ack: ack, FIN: flags[0], SYN: flags[1], RST: flags[2], PSH: flags[3], ACK: flags[4], Window: rapid.Uint16().Draw(t, "window")}
		for range rapid.IntRange(0, 10).Draw(t, "TCP options") {
			s.Options = append(s.Options, layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{1, 2}})
		}
		_ = s.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
		transport = s
	}
	switch ip := ip.(type) {
	case *layers.IPv4:
		ip.Protocol = proto
	case *layers.IPv6:
		ip.NextHeader = proto
	}
	return transport
}
