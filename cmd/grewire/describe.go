package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// describe says in a line what a frame is, in the manner of tcpdump.
func describe(f *track.Frame) string {
	p := &f.Packet
	if p.Version != 0 {
		return describeIP(f)
	}
	switch p.Kind {
	case wire.ARP:
		return fmt.Sprintf("ARP, length %d", len(f.Data))
	case wire.LinkControl:
		return fmt.Sprintf("link control to %x, length %d", f.Data[:6], len(f.Data))
	case wire.MalformedGRE:
		return fmt.Sprintf("IP whose header lies or is cut, with GRE, length %d", len(f.Data))
	case wire.Pause:
		return fmt.Sprintf("MAC control, length %d", len(f.Data))
	}
	if len(f.Data) < 14 {
		return fmt.Sprintf("no Ethernet header, length %d", len(f.Data))
	}
	return fmt.Sprintf("ethertype 0x%04x, length %d", binary.BigEndian.Uint16(f.Data[12:]), len(f.Data))
}

func describeIP(f *track.Frame) string {
	p := &f.Packet
	src, dst := ipText(p.Src), ipText(p.Dst)
	switch p.Kind {
	case wire.TCP:
		return fmt.Sprintf("IP %s.%d > %s.%d: TCP %s, length %d%s", src, p.SrcPort, dst, p.DstPort, flagText(p.Flags), p.PayloadLength(), messages(f))
	case wire.EnhancedGRE:
		return fmt.Sprintf("IP %s > %s: GREv1, call ID %d%s, length %d", src, dst, p.CallID, numbers(p), p.PayloadLength())
	case wire.PlainGRE:
		return fmt.Sprintf("IP %s > %s: GREv0, length %d", src, dst, p.IPLength)
	case wire.OtherGRE:
		return fmt.Sprintf("IP %s > %s: GREv1 of another protocol, length %d", src, dst, p.IPLength)
	case wire.OddGRE, wire.MalformedGRE:
		return fmt.Sprintf("IP %s > %s: GRE of no known kind, length %d", src, dst, p.IPLength)
	case wire.ICMP:
		return fmt.Sprintf("IP %s > %s: ICMP type %d, length %d", src, dst, p.ICMPType, p.IPLength)
	case wire.LaterFragment:
		return fmt.Sprintf("IP %s > %s: fragment of protocol %d, id %d, offset %d, length %d", src, dst, p.Proto, p.FragmentID, p.FragmentOffset, p.IPLength)
	}
	return fmt.Sprintf("IP %s > %s: protocol %d, length %d", src, dst, p.Proto, p.IPLength)
}

func ipText(a wire.Addr) string { return a.Netip().String() }

// flagText writes TCP flags as tcpdump does: [S], [S.], [P.], [.].
func flagText(flags uint8) string {
	var b strings.Builder
	for _, flag := range []struct {
		bit    uint8
		letter byte
	}{{wire.FIN, 'F'}, {wire.SYN, 'S'}, {wire.RST, 'R'}, {wire.PSH, 'P'}, {wire.ACK, '.'}} {
		if flags&flag.bit != 0 {
			b.WriteByte(flag.letter)
		}
	}
	return "[" + b.String() + "]"
}

func numbers(p *wire.Packet) (s string) {
	if p.HasSeq {
		s += fmt.Sprintf(", seq %d", p.Seq)
	}
	if p.HasAck {
		s += fmt.Sprintf(", ack %d", p.Ack)
	}
	return s
}

// messages names the control messages that stand whole in a segment.
func messages(f *track.Frame) (s string) {
	const portPPTP = 1723
	p := &f.Packet
	if p.SrcPort != portPPTP && p.DstPort != portPPTP || p.Payload >= p.End {
		return ""
	}
	for rest := f.Data[p.Payload:p.End]; ; {
		m, err := pptp.Decode(rest)
		if err != nil {
			return s
		}
		s += ": " + printable(m.String())
		rest = rest[pptp.View(rest).Length():]
	}
}
