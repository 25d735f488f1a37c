package tracktest

import (
	"encoding/binary"
	"fmt"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// span is octets of a frame, [from, to).
type span struct{ from, to uint32 }

// RewriteFault says what translation did to a frame that it may not do; "" if
// nothing. before is the frame as it came in by side. What may change
// is named here, and every checksum must be as right as it was.
func RewriteFault(side track.Side, f *track.Frame, before []byte) string {
	if len(f.Data) != len(before) {
		return fmt.Sprintf("it has %d octets, and had %d", len(f.Data), len(before))
	}
	var was, is wire.Packet
	wire.Decode(before, &was)
	wire.Decode(f.Data, &is)
	if was.Version != 4 || was.Zone.InSession() {
		return "what cannot be translated was"
	}
	spans := mayChange(side, f, &was)
	for i := range before {
		if before[i] != f.Data[i] && !within(spans, uint32(i)) {
			return fmt.Sprintf("octet %d was %02x and is %02x", i, before[i], f.Data[i])
		}
	}
	for name, right := range map[string]func([]byte, *wire.Packet, *wire.Offload) bool{
		"IPv4": ipv4SumOK, "TCP": tcpSumOK, "ICMP": icmpSumOK, "quoted IPv4": quotedSumOK,
	} {
		if right(before, &was, &f.Offload) != right(f.Data, &is, &f.Offload) {
			return "the " + name + " checksum does not go with the change"
		}
	}
	return ""
}

func within(spans []span, at uint32) bool {
	for _, s := range spans {
		if s.from <= at && at < s.to {
			return true
		}
	}
	return false
}

// mayChange names what may change of a frame that came in by side.
func mayChange(side track.Side, f *track.Frame, p *wire.Packet) []span {
	spans := append(endSpans(side, p.L3, p.L4, 0), macOf(side))
	switch p.Kind {
	case wire.TCP:
		spans = append(spans, endSpans(side, p.L3, p.L4, wire.ProtocolTCP)...)
		spans = append(spans, span{p.L4 + 16, p.L4 + 18})
		for _, o := range f.Change.Octets {
			if o.At >= p.Payload && o.At+uint32(o.N) <= p.End && o.N <= 2 {
				spans = append(spans, span{o.At, o.At + uint32(o.N)})
			}
		}
	case wire.EnhancedGRE:
		if side == track.WAN {
			spans = append(spans, span{p.L4 + 6, p.L4 + 8})
		}
	case wire.ICMP:
		spans = append(spans, quoteSpans(side, f.Data, p)...)
	}
	return spans
}

// macOf is the MAC address that may change.
func macOf(side track.Side) span {
	if side == track.LAN {
		return span{6, 12}
	}
	return span{0, 6}
}

// endSpans are address and, of TCP, port of the LAN's end in a packet that goes
// the way of those which come in by side, and the header's checksum.
func endSpans(side track.Side, l3, l4 uint32, proto uint8) []span {
	addr, port := l3+12, l4
	if side == track.WAN {
		addr, port = l3+16, l4+2
	}
	spans := []span{{addr, addr + 4}, {l3 + 10, l3 + 12}}
	if proto == wire.ProtocolTCP {
		spans = append(spans, span{port, port + 2})
	}
	return spans
}

// quoteSpans are what may change of an ICMP error and the packet that it quotes,
// which went the other way.
func quoteSpans(side track.Side, frame []byte, p *wire.Packet) []span {
	q, ok := wire.QuotedIPv4(frame, p)
	if !ok {
		return nil
	}
	spans := append(endSpans(side.Other(), q.L3, q.L4, q.Proto), span{p.L4 + 2, p.L4 + 4})
	switch {
	case q.Proto == wire.ProtocolTCP:
		spans = append(spans, span{q.L4 + 16, q.L4 + 18})
	case side == track.LAN:
		spans = append(spans, span{q.L4 + 6, q.L4 + 8})
	}
	return spans
}

func ipv4SumOK(b []byte, p *wire.Packet, _ *wire.Offload) bool {
	return checksum(b[p.L3:p.L3+uint32(b[p.L3]&0xf)*4]) == 0
}

// tcpSumOK computes the checksum from scratch. One that is still to be finished
// is right if it is the pseudo-header's sum.
func tcpSumOK(b []byte, p *wire.Packet, o *wire.Offload) bool {
	if p.Kind != wire.TCP || p.Fragment {
		return true
	}
	if o.NeedsChecksum() {
		return binary.BigEndian.Uint16(b[p.L4+16:]) == pseudoHeaderSum(p)
	}
	return transportChecksum(p.Src.Netip(), p.Dst.Netip(), wire.ProtocolTCP, b[p.L4:p.End]) == 0
}

func icmpSumOK(b []byte, p *wire.Packet, _ *wire.Offload) bool {
	return p.Kind != wire.ICMP || p.Version != 4 || p.Fragment || checksum(b[p.L4:p.End]) == 0
}

func quotedSumOK(b []byte, p *wire.Packet, _ *wire.Offload) bool {
	if p.Kind != wire.ICMP {
		return true
	}
	q, ok := wire.QuotedIPv4(b, p)
	return !ok || checksum(b[q.L3:q.L4]) == 0
}
