package pptp

import "bytes"

// Text is a text field of a message as it stands there: the text, and zeros
// up to the end. It may as well have no zero, or any octets behind the first.
type Text [64]byte

// TextOf returns the Text for s, cut to 64 octets.
func TextOf(s string) (t Text) {
	copy(t[:], s)
	return t
}

// Raw returns the octets before the first zero as they are. They come from the
// peer: use String for what people will read.
func (t Text) Raw() string { return string(beforeZero(t[:])) }

// String returns the octets before the first zero with those that cannot be
// printed escaped: "^A" for a control character, "M-" before the rest of an
// octet above 127.
func (t Text) String() string { return string(appendEscaped(nil, beforeZero(t[:]))) }

// Statistics is the Call Statistics field of a Call-Disconnect-Notify: text in
// a form that is the vendor's own (RFC 2637, section 2.13).
type Statistics [128]byte

// StatisticsOf returns the Statistics for s, cut to 128 octets.
func StatisticsOf(s string) (t Statistics) {
	copy(t[:], s)
	return t
}

// Raw is like Text.Raw.
func (t Statistics) Raw() string { return string(beforeZero(t[:])) }

// String is like Text.String.
func (t Statistics) String() string { return string(appendEscaped(nil, beforeZero(t[:]))) }

func beforeZero(b []byte) []byte {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		return b[:end]
	}
	return b
}

// appendEscaped appends b in the way of tcpdump and cat -v: the result is
// printable ASCII only.
func appendEscaped(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 0x80 {
			dst = append(dst, "M-"...)
			c &= 0x7F
		}
		if c < ' ' || c == 0x7F {
			dst = append(dst, '^')
			c ^= 0x40
		}
		dst = append(dst, c)
	}
	return dst
}
