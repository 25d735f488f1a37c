package tracktest

import (
	"encoding/binary"
	"net/netip"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// IP is an IP packet between two hosts; their addresses say which version.
type IP struct {
	Proto   uint8
	ID      uint32 // identification; 0: the sender's next
	Options []byte // IPv4 options, a multiple of 4 octets
	// Extensions are IPv6 extension headers whose last next header field is
	// Proto; FirstExtension is the type of the first.
	Extensions     []byte
	FirstExtension uint8
	Payload        []byte
}

// Frame returns the packet in a frame from one host to another.
func (p IP) Frame(from, to *Host) []byte { return from.Frame(to, p.bytes(from, to)) }

func (p IP) bytes(from, to *Host) []byte {
	if p.ID == 0 {
		from.lastID++
		p.ID = uint32(from.lastID)
	}
	if from.Addr.Is4() {
		return p.v4(from.Addr, to.Addr)
	}
	return p.v6(from.Addr, to.Addr)
}

const timeToLive = 64

func (p IP) v4(src, dst netip.Addr) []byte {
	header := 20 + len(p.Options)
	b := make([]byte, 20, header+len(p.Payload))
	b[0] = 4<<4 | byte(header/4)
	binary.BigEndian.PutUint16(b[2:], uint16(header+len(p.Payload)))
	binary.BigEndian.PutUint16(b[4:], uint16(p.ID))
	b[8], b[9] = timeToLive, p.Proto
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	b = append(b, p.Options...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, p.Payload...)
}

func (p IP) v6(src, dst netip.Addr) []byte {
	b := make([]byte, 40, 40+len(p.Extensions)+len(p.Payload))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(p.Extensions)+len(p.Payload)))
	b[6], b[7] = p.Proto, timeToLive
	if len(p.Extensions) > 0 {
		b[6] = p.FirstExtension
	}
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(append(b, p.Extensions...), p.Payload...)
}

// checksum is the Internet checksum of b (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// TCP is a TCP segment.
type TCP struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16
	Options          []byte // a multiple of 4 octets
	Data             []byte
}

// Frame returns the segment, with its checksum, in a frame from one host to
// another.
func (s TCP) Frame(from, to *Host) []byte {
	return IP{Proto: wire.ProtocolTCP, Payload: s.Bytes(from.Addr, to.Addr)}.Frame(from, to)
}

// Bytes returns the segment with the checksum it has between two addresses.
func (s TCP) Bytes(src, dst netip.Addr) []byte {
	header := 20 + len(s.Options)
	b := make([]byte, 20, header+len(s.Data))
	binary.BigEndian.PutUint16(b[0:], s.SrcPort)
	binary.BigEndian.PutUint16(b[2:], s.DstPort)
	binary.BigEndian.PutUint32(b[4:], s.Seq)
	binary.BigEndian.PutUint32(b[8:], s.Ack)
	b[12], b[13] = byte(header/4)<<4, s.Flags
	binary.BigEndian.PutUint16(b[14:], s.Window)
	b = append(append(b, s.Options...), s.Data...)
	binary.BigEndian.PutUint16(b[16:], transportChecksum(src, dst, wire.ProtocolTCP, b))
	return b
}

// transportChecksum includes the pseudo-header of RFC 8200, section 8.1, which
// sums to the same as IPv4's.
func transportChecksum(src, dst netip.Addr, proto uint8, segment []byte) uint16 {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(segment)))
	b = append(b, 0, 0, 0, proto)
	return checksum(append(b, segment...))
}

// GRE is an enhanced GRE packet (RFC 2637, section 4.1).
type GRE struct {
	CallID         uint16
	HasSeq, HasAck bool
	Seq, Ack       uint32
	Payload        []byte
}

// The first two words of an enhanced GRE header.
const (
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080
	greVersion1 = 0x0001
	greProtocol = 0x880b
)

// Bytes returns the packet.
func (g GRE) Bytes() []byte {
	flags := uint16(greKey | greVersion1)
	if g.HasSeq {
		flags |= greSequence
	}
	if g.HasAck {
		flags |= greAck
	}
	b := binary.BigEndian.AppendUint16(nil, flags)
	b = binary.BigEndian.AppendUint16(b, greProtocol)
	b = binary.BigEndian.AppendUint16(b, uint16(len(g.Payload)))
	b = binary.BigEndian.AppendUint16(b, g.CallID)
	if g.HasSeq {
		b = binary.BigEndian.AppendUint32(b, g.Seq)
	}
	if g.HasAck {
		b = binary.BigEndian.AppendUint32(b, g.Ack)
	}
	return append(b, g.Payload...)
}

// Frame returns the packet in a frame from one host to another.
func (g GRE) Frame(from, to *Host) []byte { return GREFrame(from, to, g.Bytes()) }

// GREFrame returns a frame with any octets as IP protocol 47.
func GREFrame(from, to *Host, octets []byte) []byte {
	return IP{Proto: wire.ProtocolGRE, Payload: octets}.Frame(from, to)
}

// ICMPError is an ICMP error (RFC 792) that quotes a packet.
type ICMPError struct {
	Type, Code uint8
	Rest       [4]byte
	Quoted     []byte // an IPv4 packet, or the first octets of one
}

// Frame returns the error in a frame from one host to another.
func (e ICMPError) Frame(from, to *Host) []byte {
	b := append([]byte{e.Type, e.Code, 0, 0}, e.Rest[:]...)
	b = append(b, e.Quoted...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return IP{Proto: wire.ProtocolICMP, Payload: b}.Frame(from, to)
}

// Quote returns the first octets of the IPv4 packet in a frame without tags, its
// header and so many of what it carries: what an ICMP error about it quotes.
func Quote(frame []byte, carried int) []byte {
	packet := frame[14:]
	packet = packet[:binary.BigEndian.Uint16(packet[2:])]
	return packet[:min(int(packet[0]&0xf)*4+carried, len(packet))]
}

// Unfinished makes the checksum of a TCP segment in a frame one that is still to be
// finished, and returns what a port says of such a frame: with a size of segments,
// that it is still to be cut as well.
func Unfinished(frame []byte, segmentSize uint16) track.Frame {
	var p wire.Packet
	wire.Decode(frame, &p)
	binary.BigEndian.PutUint16(frame[p.L4+16:], pseudoHeaderSum(&p))
	o := wire.Offload{Flags: 1, CsumStart: uint16(p.L4), CsumOffset: 16, HeaderLen: uint16(p.Payload), GSOSize: segmentSize}
	if segmentSize > 0 {
		o.GSOType = 1
	}
	return track.Frame{Data: frame, Offload: o}
}

// pseudoHeaderSum is what a TCP checksum has before it is finished.
func pseudoHeaderSum(p *wire.Packet) uint16 {
	without := transportChecksum(p.Src.Netip(), p.Dst.Netip(), wire.ProtocolTCP, nil)
	sum := uint32(^without) + p.End - p.L4
	return uint16(sum + sum>>16)
}
