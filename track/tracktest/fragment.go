package tracktest

import (
	"encoding/binary"

	"github.com/grewire/grewire/track/wire"
)

// Fragment cuts the IP packet p into fragments of at most size octets of
// payload each, a multiple of 8, and returns their frames in order.
func (p IP) Fragment(from, to *Host, size int) [][]byte {
	var cuts []int
	for at := size; at < len(p.Payload); at += size {
		cuts = append(cuts, at)
	}
	return p.Cut(from, to, cuts...)
}

// Cut is Fragment with cuts, multiples of 8, of the caller's choice.
func (p IP) Cut(from, to *Host, cuts ...int) [][]byte {
	if p.ID == 0 {
		from.lastID++
		p.ID = uint32(from.lastID)
	}
	var frames [][]byte
	start := 0
	for _, end := range append(cuts, len(p.Payload)) {
		frames = append(frames, p.Piece(from, to, start, end, end < len(p.Payload)))
		start = end
	}
	return frames
}

// Piece returns the fragment with the octets [start, end) of the payload. It
// says that more follow if more is set, whether or not they do. IPv6 headers
// that are part of what is cut belong into Payload; p has no Extensions.
func (p IP) Piece(from, to *Host, start, end int, more bool) []byte {
	piece := p
	piece.Payload = p.Payload[start:end]
	if from.Addr.Is4() {
		b := piece.bytes(from, to)
		setFragment(b, start, more)
		return from.Frame(to, b)
	}
	header := []byte{p.Proto, 0}
	header = binary.BigEndian.AppendUint16(header, uint16(start)|flag(more))
	header = binary.BigEndian.AppendUint32(header, p.ID)
	piece.FirstExtension, piece.Extensions = ipv6Fragment, header
	return piece.Frame(from, to)
}

const ipv6Fragment = 44

func flag(more bool) uint16 {
	if more {
		return 1
	}
	return 0
}

// setFragment makes the IPv4 packet b a fragment and repairs its checksum.
func setFragment(b []byte, offset int, more bool) {
	binary.BigEndian.PutUint16(b[6:], uint16(offset/8)|flag(more)<<13)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], checksum(b[:int(b[0]&0xf)*4]))
}

// IP returns the segment as an IP packet between two hosts.
func (s TCP) IP(from, to *Host) IP {
	return IP{Proto: wire.ProtocolTCP, Payload: s.Bytes(from.Addr, to.Addr)}
}

// IP returns the packet as an IP packet.
func (g GRE) IP() IP { return IP{Proto: wire.ProtocolGRE, Payload: g.Bytes()} }
