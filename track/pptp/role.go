package pptp

import "fmt"

// Role is what an end is in a call. It belongs to the call, not to the
// connection: what an end sends decides, not who opened the connection (RFC
// 2637, section 1.2).
type Role uint8

// The roles. The zero Role is none.
const (
	_ Role = iota
	PNS
	PAC
)

// String returns "PNS" or "PAC".
func (r Role) String() string {
	switch r {
	case PNS:
		return "PNS"
	case PAC:
		return "PAC"
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Other returns the role of the other end of the call.
func (r Role) Other() Role { return PNS + PAC - r }

var senders = [numControlTypes]Role{
	OutgoingCallRequest:   PNS, // RFC 2637, section 2.7
	OutgoingCallReply:     PAC, // 2.8
	IncomingCallRequest:   PAC, // 2.9
	IncomingCallReply:     PNS, // 2.10
	IncomingCallConnected: PAC, // 2.11
	CallClearRequest:      PNS, // 2.12
	CallDisconnectNotify:  PAC, // 2.13
	WANErrorNotify:        PAC, // 2.14
}

// SenderOf returns the role that the sender of a message of type t has in the
// call which the message is about. It reports false for messages that either
// end may send. Set-Link-Info is one of them: by RFC 2637, section 2.15 only
// the PNS sends it, but servers that are a PAC do so as well.
func SenderOf(t ControlType) (Role, bool) {
	if t >= numControlTypes {
		return 0, false
	}
	return senders[t], senders[t] != 0
}
