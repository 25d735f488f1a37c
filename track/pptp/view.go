package pptp

import "encoding/binary"

// offsets says where the fields stand that a tracker needs: octets from the
// start of the message. 0 means that the message has no such field, for every
// field comes after the header.
type offsets struct {
	length             uint8 // of the whole message, in octets
	callID, peerCallID uint8 // two octets each
	result, errorCode  uint8 // one octet each
	cause              uint8 // two octets
}

// layout is the shape of every control message (RFC 2637, sections 2.1 to
// 2.15).
var layout = [numControlTypes]offsets{
	StartControlConnectionRequest: {length: 156},
	StartControlConnectionReply:   {length: 156, result: 14, errorCode: 15},
	StopControlConnectionRequest:  {length: 16},
	StopControlConnectionReply:    {length: 16, result: 12, errorCode: 13},
	EchoRequest:                   {length: 16},
	EchoReply:                     {length: 20, result: 16, errorCode: 17},
	OutgoingCallRequest:           {length: 168, callID: 12},
	OutgoingCallReply:             {length: 32, callID: 12, peerCallID: 14, result: 16, errorCode: 17, cause: 18},
	IncomingCallRequest:           {length: MaxMessageLength, callID: 12},
	IncomingCallReply:             {length: 24, callID: 12, peerCallID: 14, result: 16, errorCode: 17},
	IncomingCallConnected:         {length: 28, peerCallID: 12},
	CallClearRequest:              {length: 16, callID: 12},
	CallDisconnectNotify:          {length: 148, callID: 12, result: 14, errorCode: 15, cause: 16},
	WANErrorNotify:                {length: 40, peerCallID: 12},
	SetLinkInfo:                   {length: 24, peerCallID: 12},
}

// offsetsOf returns the zero offsets for a type that the RFC does not define.
func offsetsOf(t ControlType) offsets {
	if t >= numControlTypes {
		return offsets{}
	}
	return layout[t]
}

// FixedLength returns the length in octets that the RFC gives a message of
// type t, 0 for a type that it does not define.
func FixedLength(t ControlType) int { return int(offsetsOf(t).length) }

// CallIDOffset returns where the two octets of the Call ID stand in a message
// of type t, counted from the message's first octet. It reports false if such
// a message has no Call ID.
func CallIDOffset(t ControlType) (int, bool) {
	at := int(offsetsOf(t).callID)
	return at, at != 0
}

// PeerCallIDOffset is CallIDOffset for the Peer's Call ID.
func PeerCallIDOffset(t ControlType) (int, bool) {
	at := int(offsetsOf(t).peerCallID)
	return at, at != 0
}

// View is a message in place, from its Length field on. It may be shorter or
// longer than the RFC's message: a method whose field is not wholly there
// returns 0, and false where it has a second result. What counts is the length
// of the slice, not the Length field. No method allocates.
type View []byte

// Length returns the Length field: the octets that the message claims to have,
// header included.
func (v View) Length() uint16 { return v.uint16At(0) }

// MessageType returns the PPTP Message Type.
func (v View) MessageType() MessageType { return MessageType(v.uint16At(2)) }

// Magic returns the Magic Cookie, which should be MagicCookie.
func (v View) Magic() uint32 {
	if len(v) < 8 {
		return 0
	}
	return binary.BigEndian.Uint32(v[4:])
}

// ControlType returns the Control Message Type.
func (v View) ControlType() ControlType { return ControlType(v.uint16At(8)) }

// Complete reports whether the slice has at least as many octets as the RFC
// gives a message of this type. It is false for a type the RFC does not define.
func (v View) Complete() bool {
	want := FixedLength(v.ControlType())
	return want != 0 && len(v) >= want
}

// CallID returns the Call ID: the one that the sender of the message assigned.
func (v View) CallID() (uint16, bool) { return v.field16(v.offsets().callID) }

// PeerCallID returns the Peer's Call ID: the one that the receiver of the
// message assigned.
func (v View) PeerCallID() (uint16, bool) { return v.field16(v.offsets().peerCallID) }

// Result returns the Result Code. What it means depends on the message, see
// StartResult and its like.
func (v View) Result() (uint8, bool) { return v.field8(v.offsets().result) }

// ErrorCode returns the General Error Code, which has a meaning where the
// Result Code says "general error".
func (v View) ErrorCode() (ErrorCode, bool) {
	code, ok := v.field8(v.offsets().errorCode)
	return ErrorCode(code), ok
}

// CauseCode returns the Cause Code: a Q.931 cause for ISDN calls, the vendor's
// own number otherwise (RFC 2637, sections 2.8 and 2.13).
func (v View) CauseCode() (uint16, bool) { return v.field16(v.offsets().cause) }

func (v View) offsets() offsets { return offsetsOf(v.ControlType()) }

func (v View) field8(at uint8) (uint8, bool) {
	if at == 0 || len(v) <= int(at) {
		return 0, false
	}
	return v[at], true
}

func (v View) field16(at uint8) (uint16, bool) {
	if at == 0 || len(v) < int(at)+2 {
		return 0, false
	}
	return v.uint16At(int(at)), true
}

func (v View) uint16At(at int) uint16 {
	if len(v) < at+2 {
		return 0
	}
	return binary.BigEndian.Uint16(v[at:])
}
