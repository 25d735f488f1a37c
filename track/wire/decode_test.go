package wire_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/track/wire"
)

// dirty is a Packet in which every field is set.
func dirty() (p wire.Packet) {
	p = wire.Packet{
		Kind: 0xff, Version: 0xff, Proto: 0xff, Fragment: true, MoreFragments: true, FragmentOffset: 0xffff, FragmentID: 1, FragmentProto: 0xff, Zone: ^wire.Zone(0),
		L3: 1, L4: 2, Payload: 3, End: 4, FragmentData: 5, IPLength: 6, SrcPort: 7, DstPort: 8, Seq: 9, Ack: 10, Window: 11, Flags: 12,
		CallID: 13, HasSeq: true, HasAck: true, Faults: 0xff, ICMPType: 14, Super: true, Opaque: true,
	}
	p.Src.Hi, p.Dst.Lo = 15, 16
	return p
}

func TestDecode(t *testing.T) {
	for _, r := range allRows() {
		t.Run(r.name, func(t *testing.T) {
			got := dirty()
			wire.Decode(r.frame, &got)
			if got.Zone.String() != r.zone {
				t.Errorf("zone %q, want %q", got.Zone, r.zone)
			}
			got.Zone = 0
			r.want.FragmentProto = fragmentProto(&r)
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("%x\n(-want +got)\n%s", r.frame[:min(len(r.frame), 128)], diff)
			}
		})
	}
}

// fragmentProto is what the Fragment header of a row's frame names, which is 8
// octets, or its IPv4 header does.
func fragmentProto(r *row) uint8 {
	switch {
	case !r.want.Fragment:
		return 0
	case r.want.Version == 4:
		return r.frame[r.want.L3+9]
	}
	return r.frame[r.want.FragmentData-8]
}

// TestDecodeCut decodes every frame cut at every octet. What is left of it is
// never IP again, unless only padding was cut off, or the header does not say
// where the packet ends.
func TestDecodeCut(t *testing.T) {
	for _, r := range allRows() {
		if len(r.frame) > 0xffff {
			r.frame = r.frame[:200] // the rest is zeros
		}
		for n := range r.frame {
			frame := append(make([]byte, 0, n), r.frame[:n]...) // no room behind it
			p := dirty()
			wire.Decode(frame, &p)
			if fault := unsound(frame, &p); fault != "" {
				t.Errorf("%s, cut to %d octets: %s: %+v", r.name, n, fault, p)
			}
			if p.Version != 0 && uint32(n) < r.want.End && statesLength(&r) && p.Kind != wire.OtherIP && p.Kind != wire.MalformedGRE {
				t.Errorf("%s, cut to %d of %d octets, is still of kind %d", r.name, n, r.want.End, p.Kind)
			}
		}
	}
}

func statesLength(r *row) bool {
	return r.want.Version != 6 || r.frame[r.want.L3+4] != 0 || r.frame[r.want.L3+5] != 0
}

// unsound says what of p is not in the frame that it was made of.
func unsound(frame []byte, p *wire.Packet) string {
	if p.Version == 0 {
		switch p.Kind {
		case wire.Other, wire.ARP, wire.LinkControl, wire.Pause, wire.MalformedGRE:
			return ""
		}
		return "no IP, but of a kind that is IP"
	}
	header := map[uint8]uint32{4: 20, 6: 40}[p.Version]
	switch {
	case header == 0 || frame[p.L3]>>4 != p.Version:
		return "wrong version"
	case p.L3 < 14 || p.L3+header > p.L4 || p.L4 > p.End || int(p.End) > len(frame):
		return "layers out of order"
	case p.L3+p.IPLength != p.End:
		return "IP length and end differ"
	case p.Fragment && (p.FragmentData > p.L4 || p.FragmentData < p.L3+header):
		return "the fragment's data is elsewhere"
	case !p.Fragment && (p.MoreFragments || p.FragmentOffset != 0 || p.FragmentID != 0):
		return "no fragment, but a part of one"
	}
	return unsoundTransport(p)
}

func unsoundTransport(p *wire.Packet) string {
	least := uint32(0)
	switch p.Kind {
	case wire.TCP:
		least = 20
	case wire.EnhancedGRE:
		least = 8
		for _, has := range []bool{p.HasSeq, p.HasAck} {
			if has {
				least += 4
			}
		}
	case wire.PlainGRE, wire.OtherGRE, wire.OddGRE:
		least = 4
	case wire.ICMP:
		least = 1
	case wire.LaterFragment, wire.OtherIP, wire.MalformedGRE:
	default:
		return fmt.Sprintf("kind %d is no IP", p.Kind)
	}
	switch {
	case p.End-p.L4 < least:
		return "transport header is not there"
	case least >= 8 && (p.Payload < p.L4+least || p.Payload > p.End):
		return "payload out of place"
	case (p.Kind == wire.LaterFragment) != (p.Fragment && p.FragmentOffset != 0) && p.Kind != wire.OtherIP && p.Kind != wire.MalformedGRE:
		return "fragment of the wrong kind"
	}
	return ""
}

// helpers calls whatever else reads a frame.
func helpers(frame []byte, p *wire.Packet) {
	switch p.Kind {
	case wire.TCP:
		wire.WindowScale(frame, p)
		wire.TCPChecksumOK(frame, p)
	case wire.ICMP:
		wire.Quoted(frame, p)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	var p wire.Packet
	for _, r := range allRows() {
		if n := testing.AllocsPerRun(10, func() {
			wire.Decode(r.frame, &p)
			helpers(r.frame, &p)
		}); n != 0 {
			t.Errorf("%s: %v allocations", r.name, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range allRows() {
		f.Add(r.frame[:min(len(r.frame), 300)])
	}
	for _, r := range quoteRows() {
		f.Add(r.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		frame = append(make([]byte, 0, len(frame)), frame...)
		var p wire.Packet
		wire.Decode(frame, &p)
		if fault := unsound(frame, &p); fault != "" {
			t.Fatalf("%s: %+v", fault, p)
		}
		again := dirty()
		wire.Decode(frame, &again)
		if again != p {
			t.Fatalf("decoded into a dirty Packet: %s", cmp.Diff(p, again))
		}
		sameWithoutShortWay(t, frame)
		helpers(frame, &p)
		compare(t, frame, &p)
	})
}

func BenchmarkDecode(b *testing.B) {
	payload := make([]byte, 1400)
	v4 := ip4(47, "", cat(octets("3081 880b 0578 abcd 11121314 21222324"), payload))
	for _, c := range []struct {
		kind  string
		frame []byte
	}{
		{"gre", eth(ether4(v4))},
		{"gre-vlan", eth(tag(0x8100, 100, ether4(v4)))},
		{"gre-qinq", eth(tag(0x88a8, 100, tag(0x8100, 200, ether4(v4))))},
		{"gre-pppoe", eth(pppoe(7, cat(octets("0021"), v4)))},
		{"gre-ipv6", eth(ether6(ip6(47, v4[20:])))},
		{"gre-later-fragment", eth(ether4(fragment4(47, 1480, false, payload)))},
		{"tcp", eth(ether4(ip4(6, "", tcp("", string(payload)))))},
		{"tcp-ipv6-extensions", eth(ether6(ip6(0, extension(60, 0, extension(6, 0, tcp("", string(payload)))))))},
		{"udp", eth(ether4(ip4(17, "", payload)))},
		{"arp", eth(cat(octets("0806"), make([]byte, 28)))},
	} {
		b.Run(c.kind, func(b *testing.B) {
			b.ReportAllocs()
			var p wire.Packet
			for b.Loop() {
				wire.Decode(c.frame, &p)
			}
		})
	}
}
