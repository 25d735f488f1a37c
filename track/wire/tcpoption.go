package wire

import "encoding/binary"

// TCP options (RFC 9293, section 3.1; RFC 7323, section 2).
const (
	tcpOptionEnd    = 0
	tcpOptionNop    = 1
	tcpOptionWScale = 3

	maxWindowScale = 14
)

// WindowScale returns the shift that a TCP segment offers and whether it
// offers one; of several the last, as its receiver does. p is what Decode made
// of frame, of Kind TCP.
func WindowScale(frame []byte, p *Packet) (shift uint8, ok bool) {
	options := frame[p.L4+tcpMinLength : p.Payload]
	for len(options) >= 2 {
		kind, length := options[0], int(options[1])
		if kind == tcpOptionNop {
			options = options[1:]
			continue
		}
		if kind == tcpOptionEnd || length < 2 || length > len(options) {
			break
		}
		if kind == tcpOptionWScale && length == 3 {
			shift, ok = min(options[2], maxWindowScale), true
		}
		options = options[length:]
	}
	return shift, ok
}

// TCPChecksumOK reports whether the checksum of a whole TCP segment is right
// (RFC 9293, section 3.1; the pseudo-header of RFC 8200, section 8.1 sums to
// the same for IPv4). p is what Decode made of frame, of Kind TCP and no
// Fragment.
func TCPChecksumOK(frame []byte, p *Packet) bool {
	segment := frame[p.L4:p.End]
	return foldSum(p.pseudoHeader()+uint64(len(segment))+sumWords(segment)) == 0xffff
}

// pseudoHeader sums the pseudo-header of TCP without the segment's length.
func (p *Packet) pseudoHeader() uint64 {
	// The prefix of an IPv4-mapped Addr adds 0xffff: nothing, in one's complement.
	return ProtocolTCP + p.Src.sum() + p.Dst.sum()
}

// TCPChecksumPartial reports whether the checksum field of a whole TCP segment
// holds the sum of the pseudo-header, from which the sender's NIC computes the
// checksum. For segmentation by the NIC, the sum is without the length. p is as
// for TCPChecksumOK.
func TCPChecksumPartial(frame []byte, p *Packet) bool {
	sum, field := p.pseudoHeader(), tcpChecksum(frame, p)
	return field == foldSum(sum+uint64(p.End-p.L4)) || field == foldSum(sum)
}

// TCPChecksumZero reports whether the checksum field of a whole TCP segment is
// zero: some drivers have their NIC compute the checksum from that.
func TCPChecksumZero(frame []byte, p *Packet) bool { return tcpChecksum(frame, p) == 0 }

func tcpChecksum(frame []byte, p *Packet) uint64 {
	return uint64(binary.BigEndian.Uint16(frame[p.L4+tcpChecksumOffset:]))
}

// foldSum adds the carries of a sum in one's complement.
func foldSum(sum uint64) uint64 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// sumWords adds up the 16-bit words of b, the last one padded, as far as a
// checksum goes: it takes 32 bits at a time, which foldSum makes 16 of (RFC
// 1071, section 2).
func sumWords(b []byte) (sum uint64) {
	for ; len(b) >= 8; b = b[8:] {
		words := binary.BigEndian.Uint64(b)
		sum += words>>32 + words&0xffffffff
	}
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}
