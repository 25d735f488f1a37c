package pptp

import "fmt"

// Numbers of the protocol (RFC 2637, sections 1.3.1, 2 and 2.1).
const (
	// Port is the TCP port of control connections.
	Port = 1723
	// MagicCookie stands in every message. It tells that the reader is in step
	// with the writer; one that is not must close the connection.
	MagicCookie = 0x1A2B3C4D
	// HeaderLength is the number of octets that all messages have in common.
	HeaderLength = 12
	// MaxMessageLength is the length in octets of the longest control message,
	// the Incoming-Call-Request.
	MaxMessageLength = 220
	// Version is the version of the protocol that RFC 2637 describes: 1.0.
	Version ProtocolVersion = 0x0100
)

// MessageType is the PPTP Message Type of a message (RFC 2637, section 2).
type MessageType uint16

// The message types. Management messages are not defined any further.
const (
	ControlMessage    MessageType = 1
	ManagementMessage MessageType = 2
)

// String returns "control", "management" or the number.
func (t MessageType) String() string {
	switch t {
	case ControlMessage:
		return "control"
	case ManagementMessage:
		return "management"
	}
	return fmt.Sprintf("MessageType(%d)", uint16(t))
}

// ControlType is the Control Message Type of a message (RFC 2637, section 1.4).
type ControlType uint16

// The control messages (RFC 2637, sections 2.1 to 2.15). The struct of a
// message has the same name with "Message" added.
const (
	StartControlConnectionRequest ControlType = 1 + iota
	StartControlConnectionReply
	StopControlConnectionRequest
	StopControlConnectionReply
	EchoRequest
	EchoReply
	OutgoingCallRequest
	OutgoingCallReply
	IncomingCallRequest
	IncomingCallReply
	IncomingCallConnected
	CallClearRequest
	CallDisconnectNotify
	WANErrorNotify
	SetLinkInfo
)

// numControlTypes is the length of an array indexed by ControlType.
const numControlTypes = 16

var controlTypeNames = [numControlTypes]struct{ name, abbreviation string }{
	StartControlConnectionRequest: {"Start-Control-Connection-Request", "SCCRQ"},
	StartControlConnectionReply:   {"Start-Control-Connection-Reply", "SCCRP"},
	StopControlConnectionRequest:  {"Stop-Control-Connection-Request", "StopCCRQ"},
	StopControlConnectionReply:    {"Stop-Control-Connection-Reply", "StopCCRP"},
	EchoRequest:                   {"Echo-Request", "ECHORQ"},
	EchoReply:                     {"Echo-Reply", "ECHORP"},
	OutgoingCallRequest:           {"Outgoing-Call-Request", "OCRQ"},
	OutgoingCallReply:             {"Outgoing-Call-Reply", "OCRP"},
	IncomingCallRequest:           {"Incoming-Call-Request", "ICRQ"},
	IncomingCallReply:             {"Incoming-Call-Reply", "ICRP"},
	IncomingCallConnected:         {"Incoming-Call-Connected", "ICCN"},
	CallClearRequest:              {"Call-Clear-Request", "CCRQ"},
	CallDisconnectNotify:          {"Call-Disconnect-Notify", "CDN"},
	WANErrorNotify:                {"WAN-Error-Notify", "WEN"},
	SetLinkInfo:                   {"Set-Link-Info", "SLI"},
}

// Known reports whether RFC 2637 defines a control message of this type.
func (t ControlType) Known() bool { return t != 0 && t < numControlTypes }

// String returns the RFC's name of the message, or the number.
func (t ControlType) String() string {
	if !t.Known() {
		return fmt.Sprintf("ControlType(%d)", uint16(t))
	}
	return controlTypeNames[t].name
}

// Abbreviation returns the short name that tcpdump prints, or the number.
func (t ControlType) Abbreviation() string {
	if !t.Known() {
		return fmt.Sprintf("ControlType(%d)", uint16(t))
	}
	return controlTypeNames[t].abbreviation
}

// ProtocolVersion is a version number: the high octet is the version, the low
// octet the revision.
type ProtocolVersion uint16

// String returns the form "1.0".
func (v ProtocolVersion) String() string { return fmt.Sprintf("%d.%d", uint16(v)>>8, uint16(v)&0xFF) }
