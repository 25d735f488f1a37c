package wire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/track/wire"
)

// TestDecodeSuper decodes frames that were left to be segmented: their IP
// length may be 0.
func TestDecodeSuper(t *testing.T) {
	segment := tcp("", "abcd")
	for _, r := range []row{
		{"IPv4", eth(ether4(ip4(6, "", segment))), "", withTCP(packet4(0, 6, 14, 20, 44), 20)},
		{"IPv4, length 0", eth(ether4(set(ip4(6, "", segment), 2, "0000"))), "", withTCP(packet4(0, 6, 14, 20, 44), 20)},
		{"IPv4, length 0, GRE", eth(ether4(set(ip4(47, "", data), 2, "0000"))), "", greFrame(14)},
		{"IPv4, length 0, header cut", eth(ether4(set(ip4(6, "", nil), 2, "0000")[:19])), "", wire.Packet{Proto: 6}},
		{"IPv4, length too large", eth(ether4(set(ip4(6, "", segment), 2, "002d"))), "", wire.Packet{Proto: 6}},
		{"IPv6, length 0", eth(ether6(set(ip6(6, segment), 4, "0000"))), "", withTCP(packet6(0, 6, 14, 40, 64), 20)},
		{"IPv6, length 0, Hop-by-Hop", eth(ether6(set(ip6(0, extension(6, 0, segment)), 4, "0000"))), "", withTCP(packet6(0, 6, 14, 48, 72), 20)},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := dirty()
			wire.DecodeSuper(r.frame, &got)
			r.want.Super = true
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("%x\n(-want +got)\n%s", r.frame, diff)
			}
			if fault := unsound(r.frame, &got); fault != "" {
				t.Error(fault)
			}
		})
	}
}
