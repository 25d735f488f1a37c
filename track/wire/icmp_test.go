package wire_test

import (
	"testing"

	"github.com/grewire/grewire/track/wire"
)

type quoteRow struct {
	name  string
	frame []byte
	want  wire.Quote
	ok    bool
}

func error4(kind string, quoted []byte) []byte {
	return eth(ether4(ip4(1, "", cat(octets(kind), octets("00 0000 00000000"), quoted))))
}

func error6(kind string, quoted []byte) []byte {
	return eth(ether6(ip6(58, cat(octets(kind), octets("00 0000 00000000"), quoted))))
}

func quoteRows() []quoteRow {
	ports := wire.Quote{Proto: 6, SrcPort: 1723, DstPort: 40000}
	segment, gre := ip4(6, "", tcp("", ""))[:28], wire.Quote{Proto: 47}
	rows := []quoteRow{
		{"TCP", error4("03", segment), ports, true},
		{"TCP behind options", error4("03", ip4(6, "01010101", tcp("", ""))[:32]), ports, true},
		{"TCP, ports cut", error4("03", segment[:23]), wire.Quote{Proto: 6}, true},
		{"TCP, options cut", error4("03", ip4(6, "01010101", nil)[:22]), wire.Quote{Proto: 6}, true},
		{"TCP, later fragment", error4("03", fragment4(6, 8, false, tcp("", ""))), wire.Quote{Proto: 6}, true},
		{"TCP, last fragment", error4("03", fragment4(6, 65528, false, tcp("", ""))), wire.Quote{Proto: 6}, true},
		{"TCP, first fragment", error4("03", fragment4(6, 0, true, tcp("", ""))), ports, true},
		{"GRE", error4("0b", ip4(47, "", data)[:28]), gre, true},
		{"quote cut", error4("03", segment[:19]), wire.Quote{}, false},
		{"no quote", error4("03", nil), wire.Quote{}, false},
		{"quotes IHL 4", error4("03", set(segment, 0, "44")), wire.Quote{}, false},
		{"quotes IPv6 in IPv4", error4("03", ip6(6, tcp("", ""))), wire.Quote{}, false},
		{"ICMP header cut", eth(ether4(ip4(1, "", octets("0300 0000 000000")))), wire.Quote{}, false},
		{"echo reply", error4("00", segment), wire.Quote{}, false},
		{"echo request", error4("08", segment), wire.Quote{}, false},
		{"ICMPv6 TCP", error6("02", ip6(6, tcp("", ""))[:48]), ports, true},
		{"ICMPv6 TCP behind extensions", error6("01", ip6(0, extension(44, 1, fragment6(6, 0, true, tcp("", ""))))), ports, true},
		{"ICMPv6 TCP, later fragment", error6("01", ip6(44, fragment6(6, 8, true, tcp("", "")))), wire.Quote{Proto: 6}, true},
		{"ICMPv6 extensions cut", error6("01", ip6(0, extension(6, 1, nil)[:12])), wire.Quote{}, true},
		{"ICMPv6 GRE", error6("02", ip6(47, data)), gre, true},
		{"ICMPv6 quote cut", error6("02", ip6(47, data)[:39]), wire.Quote{}, false},
		{"ICMPv6 quotes IPv4", error6("02", cat(segment, make([]byte, 20))), wire.Quote{}, false},
		{"ICMPv6 echo request", error6("80", ip6(47, data)), wire.Quote{}, false},
	}
	for _, kind := range []string{"03", "04", "05", "0b", "0c"} {
		rows = append(rows, quoteRow{"every type of error: " + kind, error4(kind, segment), ports, true})
	}
	return rows
}

func TestQuoted(t *testing.T) {
	for _, r := range quoteRows() {
		var p wire.Packet
		wire.Decode(r.frame, &p)
		if p.Kind != wire.ICMP {
			t.Errorf("%s: kind %d", r.name, p.Kind)
			continue
		}
		if got, ok := wire.Quoted(r.frame, &p); got != r.want || ok != r.ok {
			t.Errorf("%s: quote %+v, %v; want %+v, %v", r.name, got, ok, r.want, r.ok)
		}
	}
}

// TestQuotedCut cuts the quote, with lengths that fit, at every octet.
func TestQuotedCut(t *testing.T) {
	for n := range 60 {
		four, six := error4("03", ip4(6, "01010101", tcp("", ""))[:min(n, 44)]), error6("01", ip6(60, extension(6, 0, tcp("", "")))[:n])
		for _, frame := range [][]byte{four, six} {
			frame = append(make([]byte, 0, len(frame)), frame...)
			var p wire.Packet
			wire.Decode(frame, &p)
			wire.Quoted(frame, &p)
		}
	}
}

func TestIsNeighbourDiscovery(t *testing.T) {
	for kind := range 256 {
		want := kind >= 133 && kind <= 137 // RFC 4861, section 4
		var p wire.Packet
		wire.Decode(eth(ether6(ip6(58, []byte{byte(kind), 0, 0, 0}))), &p)
		if got := p.IsNeighbourDiscovery(); got != want {
			t.Errorf("ICMPv6 type %d: %v, want %v", kind, got, want)
		}
		for _, frame := range [][]byte{ether4(ip4(1, "", []byte{byte(kind), 0})), ether4(ip4(58, "", []byte{byte(kind), 0})), ether6(ip6(1, []byte{byte(kind), 0}))} {
			if wire.Decode(eth(frame), &p); p.IsNeighbourDiscovery() {
				t.Errorf("type %d in the wrong family of IP is neighbour discovery", kind)
			}
		}
	}
}
