package pptp

// StartControlConnectionRequestMessage opens a control connection (RFC 2637,
// section 2.1). Either end may send it.
type StartControlConnectionRequestMessage struct {
	Common
	ProtocolVersion ProtocolVersion
	Reserved1       uint16
	Capabilities
}

// StartControlConnectionReplyMessage answers a
// StartControlConnectionRequestMessage (RFC 2637, section 2.2).
type StartControlConnectionReplyMessage struct {
	Common
	ProtocolVersion ProtocolVersion
	ResultCode      StartResult
	ErrorCode       ErrorCode
	Capabilities
}

// Capabilities is what an end of a control connection tells about itself.
type Capabilities struct {
	FramingCapabilities FramingCapability
	BearerCapabilities  BearerCapability
	MaximumChannels     uint16 // calls the PAC can carry; a PNS should send 0
	FirmwareRevision    uint16
	HostName            Text
	VendorString        Text
}

// StopControlConnectionRequestMessage closes a control connection and all its
// calls (RFC 2637, section 2.3). Either end may send it.
type StopControlConnectionRequestMessage struct {
	Common
	Reason    StopReason
	Reserved1 uint8
	Reserved2 uint16
}

// StopControlConnectionReplyMessage answers a
// StopControlConnectionRequestMessage (RFC 2637, section 2.4).
type StopControlConnectionReplyMessage struct {
	Common
	ResultCode StopResult
	ErrorCode  ErrorCode
	Reserved1  uint16
}

// EchoRequestMessage asks whether the control connection is alive (RFC 2637,
// section 2.5). Either end may send it.
type EchoRequestMessage struct {
	Common
	Identifier uint32
}

// EchoReplyMessage answers an EchoRequestMessage with the same Identifier (RFC
// 2637, section 2.6).
type EchoReplyMessage struct {
	Common
	Identifier uint32
	ResultCode EchoResult
	ErrorCode  ErrorCode
	Reserved1  uint16
}

func (m *StartControlConnectionRequestMessage) walk(w walker) {
	number16(w, protocolVersion, &m.ProtocolVersion)
	number16(w, reserved1, &m.Reserved1)
	m.Capabilities.walk(w)
}

func (m *StartControlConnectionReplyMessage) walk(w walker) {
	number16(w, protocolVersion, &m.ProtocolVersion)
	number8(w, startResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	m.Capabilities.walk(w)
}

func (c *Capabilities) walk(w walker) {
	number32(w, framingCapabilities, &c.FramingCapabilities)
	number32(w, bearerCapabilities, &c.BearerCapabilities)
	number16(w, maximumChannels, &c.MaximumChannels)
	number16(w, firmwareRevision, &c.FirmwareRevision)
	w.octets(hostName, c.HostName[:], len(c.HostName))
	w.octets(vendorString, c.VendorString[:], len(c.VendorString))
}

func (m *StopControlConnectionRequestMessage) walk(w walker) {
	number8(w, stopReason, &m.Reason)
	number8(w, reserved1, &m.Reserved1)
	number16(w, reserved2, &m.Reserved2)
}

func (m *StopControlConnectionReplyMessage) walk(w walker) {
	number8(w, stopResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	number16(w, reserved1, &m.Reserved1)
}

func (m *EchoRequestMessage) walk(w walker) {
	number32(w, identifier, &m.Identifier)
}

func (m *EchoReplyMessage) walk(w walker) {
	number32(w, identifier, &m.Identifier)
	number8(w, echoResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	number16(w, reserved1, &m.Reserved1)
}

// ControlType returns StartControlConnectionRequest.
func (*StartControlConnectionRequestMessage) ControlType() ControlType {
	return StartControlConnectionRequest
}

// ControlType returns StartControlConnectionReply.
func (*StartControlConnectionReplyMessage) ControlType() ControlType {
	return StartControlConnectionReply
}

// ControlType returns StopControlConnectionRequest.
func (*StopControlConnectionRequestMessage) ControlType() ControlType {
	return StopControlConnectionRequest
}

// ControlType returns StopControlConnectionReply.
func (*StopControlConnectionReplyMessage) ControlType() ControlType {
	return StopControlConnectionReply
}

// ControlType returns EchoRequest.
func (*EchoRequestMessage) ControlType() ControlType { return EchoRequest }

// ControlType returns EchoReply.
func (*EchoReplyMessage) ControlType() ControlType { return EchoReply }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *StartControlConnectionRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *StartControlConnectionReplyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *StopControlConnectionRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *StopControlConnectionReplyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *EchoRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *EchoReplyMessage) String() string { return render(m, false) }
