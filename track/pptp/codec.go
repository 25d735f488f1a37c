package pptp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Message is a control message: one of the structs of this package whose name
// ends in Message.
type Message interface {
	ControlType() ControlType
	String() string

	common() *Common
	walk(walker)
}

// Common is what every message has beside its own fields. Length, PPTP Message
// Type and Magic Cookie are not kept: Decode accepts only the right ones, and
// Append writes them.
type Common struct {
	Reserved0 uint16
	// Trailing is what comes after the fields that the RFC defines, within the
	// message's Length.
	Trailing []byte
}

func (c *Common) common() *Common { return c }

// Reasons why Decode or Append fail. They come wrapped, with the message, the
// field and the lengths concerned.
var (
	ErrTruncated   = errors.New("pptp: message is cut short")
	ErrLength      = errors.New("pptp: Length does not fit the message")
	ErrMessageType = errors.New("pptp: not a control message")
	ErrMagicCookie = errors.New("pptp: wrong Magic Cookie")
	ErrControlType = errors.New("pptp: unknown Control Message Type")
)

// newMessage makes an empty message of each type.
var newMessage = [numControlTypes]func() Message{
	StartControlConnectionRequest: func() Message { return new(StartControlConnectionRequestMessage) },
	StartControlConnectionReply:   func() Message { return new(StartControlConnectionReplyMessage) },
	StopControlConnectionRequest:  func() Message { return new(StopControlConnectionRequestMessage) },
	StopControlConnectionReply:    func() Message { return new(StopControlConnectionReplyMessage) },
	EchoRequest:                   func() Message { return new(EchoRequestMessage) },
	EchoReply:                     func() Message { return new(EchoReplyMessage) },
	OutgoingCallRequest:           func() Message { return new(OutgoingCallRequestMessage) },
	OutgoingCallReply:             func() Message { return new(OutgoingCallReplyMessage) },
	IncomingCallRequest:           func() Message { return new(IncomingCallRequestMessage) },
	IncomingCallReply:             func() Message { return new(IncomingCallReplyMessage) },
	IncomingCallConnected:         func() Message { return new(IncomingCallConnectedMessage) },
	CallClearRequest:              func() Message { return new(CallClearRequestMessage) },
	CallDisconnectNotify:          func() Message { return new(CallDisconnectNotifyMessage) },
	WANErrorNotify:                func() Message { return new(WANErrorNotifyMessage) },
	SetLinkInfo:                   func() Message { return new(SetLinkInfoMessage) },
}

// Decode returns the message at the start of b. It reads as many octets as the
// message's Length says, View(b).Length(), and ignores what follows. The
// message keeps nothing of b. Append gives the same octets again.
//
// Values that the RFC does not define, nonzero reserved fields and octets after
// the RFC's fields are all accepted and kept.
func Decode(b []byte) (Message, error) {
	v := View(b)
	if err := checkHeader(v); err != nil {
		return nil, err
	}
	m := newMessage[v.ControlType()]()
	d := decoder{rest: b[HeaderLength:v.Length()]}
	m.common().Reserved0 = v.uint16At(10)
	m.walk(&d)
	if d.missing != nil {
		return nil, fmt.Errorf("%w: %s: %s is missing or cut: Length is %d, want %d or more octets",
			ErrLength, v.ControlType(), d.missing.name, v.Length(), FixedLength(v.ControlType()))
	}
	if len(d.rest) > 0 {
		m.common().Trailing = slices.Clone(d.rest)
	}
	return m, nil
}

// checkHeader makes sure that v has a header, as many octets as its Length
// says, and a type that can be decoded.
func checkHeader(v View) error {
	if len(v) < HeaderLength {
		return fmt.Errorf("%w: %d octets, the header has %d", ErrTruncated, len(v), HeaderLength)
	}
	if v.Magic() != MagicCookie {
		return fmt.Errorf("%w: %#08x, want %#08x", ErrMagicCookie, v.Magic(), uint32(MagicCookie))
	}
	if v.MessageType() != ControlMessage {
		return fmt.Errorf("%w: PPTP Message Type is %d, want %d", ErrMessageType, v.MessageType(), ControlMessage)
	}
	if !v.ControlType().Known() {
		return fmt.Errorf("%w: %d", ErrControlType, v.ControlType())
	}
	if v.Length() < HeaderLength {
		return fmt.Errorf("%w: %s: Length is %d, the header alone has %d octets", ErrLength, v.ControlType(), v.Length(), HeaderLength)
	}
	if int(v.Length()) > len(v) {
		return fmt.Errorf("%w: %s: Length is %d, but only %d octets are there", ErrTruncated, v.ControlType(), v.Length(), len(v))
	}
	return nil
}

// Append appends the octets of m to dst, with a Length that counts them all.
// It fails, and returns dst as it was, only if Trailing makes the message
// longer than Length can say.
func Append(dst []byte, m Message) ([]byte, error) {
	length := encodedLength(m)
	if length > math.MaxUint16 {
		return dst, fmt.Errorf("%w: %s: %d octets with Trailing, the most is %d", ErrLength, m.ControlType(), length, math.MaxUint16)
	}
	e := encoder{b: dst}
	e.number(nil, 2, uint32(length))
	e.number(nil, 2, uint32(ControlMessage))
	e.number(nil, 4, MagicCookie)
	e.number(nil, 2, uint32(m.ControlType()))
	e.number(nil, 2, uint32(m.common().Reserved0))
	m.walk(&e)
	return append(e.b, m.common().Trailing...), nil
}

// Encode returns the octets of m in a slice of their own, see Append.
func Encode(m Message) ([]byte, error) { return Append(nil, m) }

// encodedLength returns how many octets m has on the wire.
func encodedLength(m Message) int { return FixedLength(m.ControlType()) + len(m.common().Trailing) }

// decoder is the walker that fills a message in.
type decoder struct {
	rest    []byte // the octets not read yet
	missing *field // the first field that is not wholly there
}

func (d *decoder) number(f *field, width int, _ uint32) uint32 {
	var value [4]byte
	d.octets(f, value[4-width:], 0)
	return binary.BigEndian.Uint32(value[:])
}

func (d *decoder) octets(f *field, b []byte, _ int) {
	if d.missing != nil {
		return
	}
	if len(d.rest) < len(b) {
		d.missing = f
		return
	}
	d.rest = d.rest[copy(b, d.rest):]
}

// encoder is the walker that writes a message out.
type encoder struct{ b []byte }

func (e *encoder) number(_ *field, width int, value uint32) uint32 {
	var octets [4]byte
	binary.BigEndian.PutUint32(octets[:], value)
	e.b = append(e.b, octets[4-width:]...)
	return value
}

func (e *encoder) octets(_ *field, b []byte, _ int) { e.b = append(e.b, b...) }
