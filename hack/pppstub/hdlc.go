package main

import "encoding/binary"

// Octets of HDLC-like framing on an asynchronous line (RFC 1662, section 4).
const (
	flagSequence  = 0x7e
	controlEscape = 0x7d
	escapeBit     = 0x20
)

// maxFrame bounds a frame between two flags, in octets before the escapes are
// undone; what is longer is dropped.
const maxFrame = 4096

// FCS-16 (RFC 1662, appendix C).
const (
	fcsPolynomial = 0x8408
	fcsInitial    = 0xffff
	fcsGood       = 0xf0b8
	fcsLength     = 2
)

var fcsTable = makeFCSTable()

func makeFCSTable() (table [256]uint16) {
	for i := range table {
		v := uint16(i)
		for range 8 {
			carry := v & 1
			v >>= 1
			if carry != 0 {
				v ^= fcsPolynomial
			}
		}
		table[i] = v
	}
	return table
}

// fcs16 runs octets through the frame check sequence.
func fcs16(fcs uint16, octets []byte) uint16 {
	for _, b := range octets {
		fcs = fcs>>8 ^ fcsTable[byte(fcs)^b]
	}
	return fcs
}

// appendHDLC appends a frame with its check sequence, escapes and flags. All
// control characters are escaped, which every receiver understands whatever
// control character map was agreed.
func appendHDLC(dst, frame []byte) []byte {
	dst = append(dst, flagSequence)
	dst = appendEscaped(dst, frame)
	check := binary.LittleEndian.AppendUint16(nil, ^fcs16(fcsInitial, frame))
	return append(appendEscaped(dst, check), flagSequence)
}

func appendEscaped(dst, octets []byte) []byte {
	for _, b := range octets {
		if b < escapeBit || b == flagSequence || b == controlEscape {
			dst = append(dst, controlEscape)
			b ^= escapeBit
		}
		dst = append(dst, b)
	}
	return dst
}

// deframer takes frames out of a stream of octets. The zero value is ready.
type deframer struct {
	buf     []byte
	escaped bool
	tooLong bool
	bad     int // frames with a wrong check sequence, too long, or aborted
}

// feed calls frame with every good frame that the octets complete, without
// its check sequence. The frame is valid during the call.
func (d *deframer) feed(octets []byte, frame func([]byte)) {
	for _, b := range octets {
		switch {
		case b == flagSequence:
			d.end(frame)
		case b == controlEscape:
			d.escaped = true
		case d.escaped:
			d.escaped = false
			d.add(b ^ escapeBit)
		default:
			d.add(b)
		}
	}
}

func (d *deframer) add(b byte) {
	if len(d.buf) >= maxFrame {
		d.tooLong = true
		return
	}
	d.buf = append(d.buf, b)
}

// end ends a frame at a flag. An escape right before the flag aborts it
// (RFC 1662, section 4.3), and nothing between two flags is no frame.
func (d *deframer) end(frame func([]byte)) {
	switch {
	case d.tooLong, d.escaped, len(d.buf) > 0 && fcs16(fcsInitial, d.buf) != fcsGood:
		d.bad++
	case len(d.buf) > fcsLength:
		frame(d.buf[:len(d.buf)-fcsLength])
	}
	d.buf, d.escaped, d.tooLong = d.buf[:0], false, false
}
