package pptp

// OutgoingCallRequestMessage asks the PAC for a call; the PNS sends it (RFC
// 2637, section 2.7).
type OutgoingCallRequestMessage struct {
	Common
	CallID                uint16 // assigned by the PNS
	CallSerialNumber      uint16
	MinimumBPS            uint32 // bits per second
	MaximumBPS            uint32 // bits per second
	BearerType            BearerType
	FramingType           FramingType
	PacketRecvWindowSize  uint16 // packets
	PacketProcessingDelay uint16 // tenths of a second
	PhoneNumberLength     uint16 // octets of PhoneNumber that count
	Reserved1             uint16
	PhoneNumber           Text
	Subaddress            Text
}

// OutgoingCallReplyMessage answers an OutgoingCallRequestMessage; the PAC sends
// it (RFC 2637, section 2.8).
type OutgoingCallReplyMessage struct {
	Common
	CallID                uint16 // assigned by the PAC
	PeerCallID            uint16 // assigned by the PNS
	ResultCode            OutCallResult
	ErrorCode             ErrorCode
	CauseCode             uint16
	ConnectSpeed          uint32 // bits per second
	PacketRecvWindowSize  uint16 // packets
	PacketProcessingDelay uint16 // tenths of a second
	PhysicalChannelID     uint32
}

// IncomingCallRequestMessage offers a call to the PNS; the PAC sends it (RFC
// 2637, section 2.9).
type IncomingCallRequestMessage struct {
	Common
	CallID              uint16 // assigned by the PAC
	CallSerialNumber    uint16
	BearerType          BearerType
	PhysicalChannelID   uint32
	DialedNumberLength  uint16 // octets of DialedNumber that count
	DialingNumberLength uint16 // octets of DialingNumber that count
	DialedNumber        Text
	DialingNumber       Text
	Subaddress          Text
}

// IncomingCallReplyMessage answers an IncomingCallRequestMessage; the PNS sends
// it (RFC 2637, section 2.10). The RFC's text says that the PAC assigns its
// Call ID, which is a slip: the PNS does.
type IncomingCallReplyMessage struct {
	Common
	CallID               uint16 // assigned by the PNS
	PeerCallID           uint16 // assigned by the PAC
	ResultCode           InCallResult
	ErrorCode            ErrorCode
	PacketRecvWindowSize uint16 // packets
	PacketTransmitDelay  uint16 // tenths of a second
	Reserved1            uint16
}

// IncomingCallConnectedMessage says that an incoming call is through; the PAC
// sends it (RFC 2637, section 2.11).
type IncomingCallConnectedMessage struct {
	Common
	PeerCallID           uint16 // assigned by the PNS
	Reserved1            uint16
	ConnectSpeed         uint32 // bits per second
	PacketRecvWindowSize uint16 // packets
	PacketTransmitDelay  uint16 // tenths of a second
	FramingType          FramingType
}

// CallClearRequestMessage asks the PAC to end a call; the PNS sends it (RFC
// 2637, section 2.12).
type CallClearRequestMessage struct {
	Common
	CallID    uint16 // assigned by the PNS
	Reserved1 uint16
}

// CallDisconnectNotifyMessage says that a call has ended; the PAC sends it (RFC
// 2637, section 2.13).
type CallDisconnectNotifyMessage struct {
	Common
	CallID         uint16 // assigned by the PAC; some send the PNS's instead
	ResultCode     DisconnectResult
	ErrorCode      ErrorCode
	CauseCode      uint16
	Reserved1      uint16
	CallStatistics Statistics
}

// WANErrorNotifyMessage counts the errors on the PAC's side of a call since it
// began; the PAC sends it (RFC 2637, section 2.14).
type WANErrorNotifyMessage struct {
	Common
	PeerCallID       uint16 // assigned by the PNS
	Reserved1        uint16
	CRCErrors        uint32
	FramingErrors    uint32
	HardwareOverruns uint32
	BufferOverruns   uint32
	TimeOutErrors    uint32
	AlignmentErrors  uint32
}

// SetLinkInfoMessage sets PPP options of a call. By the RFC the PNS sends it,
// but servers that are a PAC do so too (RFC 2637, section 2.15).
type SetLinkInfoMessage struct {
	Common
	PeerCallID  uint16 // assigned by the receiver
	Reserved1   uint16
	SendACCM    uint32
	ReceiveACCM uint32
}

func (m *OutgoingCallRequestMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number16(w, callSerialNumber, &m.CallSerialNumber)
	number32(w, minimumBPS, &m.MinimumBPS)
	number32(w, maximumBPS, &m.MaximumBPS)
	number32(w, bearerType, &m.BearerType)
	number32(w, framingType, &m.FramingType)
	number16(w, recvWindowSize, &m.PacketRecvWindowSize)
	number16(w, processingDelay, &m.PacketProcessingDelay)
	number16(w, phoneNumberLength, &m.PhoneNumberLength)
	number16(w, reserved1, &m.Reserved1)
	w.octets(phoneNumber, m.PhoneNumber[:], int(m.PhoneNumberLength))
	w.octets(subaddress, m.Subaddress[:], len(m.Subaddress))
}

func (m *OutgoingCallReplyMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number16(w, peerCallID, &m.PeerCallID)
	number8(w, outCallResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	number16(w, causeCode, &m.CauseCode)
	number32(w, connectSpeed, &m.ConnectSpeed)
	number16(w, recvWindowSize, &m.PacketRecvWindowSize)
	number16(w, processingDelay, &m.PacketProcessingDelay)
	number32(w, physicalChannelID, &m.PhysicalChannelID)
}

func (m *IncomingCallRequestMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number16(w, callSerialNumber, &m.CallSerialNumber)
	number32(w, bearerType, &m.BearerType)
	number32(w, physicalChannelID, &m.PhysicalChannelID)
	number16(w, dialedLength, &m.DialedNumberLength)
	number16(w, dialingLength, &m.DialingNumberLength)
	w.octets(dialedNumber, m.DialedNumber[:], int(m.DialedNumberLength))
	w.octets(dialingNumber, m.DialingNumber[:], int(m.DialingNumberLength))
	w.octets(subaddress, m.Subaddress[:], len(m.Subaddress))
}

func (m *IncomingCallReplyMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number16(w, peerCallID, &m.PeerCallID)
	number8(w, inCallResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	number16(w, recvWindowSize, &m.PacketRecvWindowSize)
	number16(w, transmitDelay, &m.PacketTransmitDelay)
	number16(w, reserved1, &m.Reserved1)
}

func (m *IncomingCallConnectedMessage) walk(w walker) {
	number16(w, peerCallID, &m.PeerCallID)
	number16(w, reserved1, &m.Reserved1)
	number32(w, connectSpeed, &m.ConnectSpeed)
	number16(w, recvWindowSize, &m.PacketRecvWindowSize)
	number16(w, transmitDelay, &m.PacketTransmitDelay)
	number32(w, framingType, &m.FramingType)
}

func (m *CallClearRequestMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number16(w, reserved1, &m.Reserved1)
}

func (m *CallDisconnectNotifyMessage) walk(w walker) {
	number16(w, callID, &m.CallID)
	number8(w, disconnectResult, &m.ResultCode)
	number8(w, errorCode, &m.ErrorCode)
	number16(w, causeCode, &m.CauseCode)
	number16(w, reserved1, &m.Reserved1)
	w.octets(callStatistics, m.CallStatistics[:], len(m.CallStatistics))
}

func (m *WANErrorNotifyMessage) walk(w walker) {
	number16(w, peerCallID, &m.PeerCallID)
	number16(w, reserved1, &m.Reserved1)
	number32(w, crcErrors, &m.CRCErrors)
	number32(w, framingErrors, &m.FramingErrors)
	number32(w, hardwareOverrun, &m.HardwareOverruns)
	number32(w, bufferOverrun, &m.BufferOverruns)
	number32(w, timeOutErrors, &m.TimeOutErrors)
	number32(w, alignmentErrors, &m.AlignmentErrors)
}

func (m *SetLinkInfoMessage) walk(w walker) {
	number16(w, peerCallID, &m.PeerCallID)
	number16(w, reserved1, &m.Reserved1)
	number32(w, sendACCM, &m.SendACCM)
	number32(w, receiveACCM, &m.ReceiveACCM)
}

// ControlType returns OutgoingCallRequest.
func (*OutgoingCallRequestMessage) ControlType() ControlType { return OutgoingCallRequest }

// ControlType returns OutgoingCallReply.
func (*OutgoingCallReplyMessage) ControlType() ControlType { return OutgoingCallReply }

// ControlType returns IncomingCallRequest.
func (*IncomingCallRequestMessage) ControlType() ControlType { return IncomingCallRequest }

// ControlType returns IncomingCallReply.
func (*IncomingCallReplyMessage) ControlType() ControlType { return IncomingCallReply }

// ControlType returns IncomingCallConnected.
func (*IncomingCallConnectedMessage) ControlType() ControlType { return IncomingCallConnected }

// ControlType returns CallClearRequest.
func (*CallClearRequestMessage) ControlType() ControlType { return CallClearRequest }

// ControlType returns CallDisconnectNotify.
func (*CallDisconnectNotifyMessage) ControlType() ControlType { return CallDisconnectNotify }

// ControlType returns WANErrorNotify.
func (*WANErrorNotifyMessage) ControlType() ControlType { return WANErrorNotify }

// ControlType returns SetLinkInfo.
func (*SetLinkInfoMessage) ControlType() ControlType { return SetLinkInfo }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *OutgoingCallRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *OutgoingCallReplyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *IncomingCallRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *IncomingCallReplyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *IncomingCallConnectedMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *CallClearRequestMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *CallDisconnectNotifyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *WANErrorNotifyMessage) String() string { return render(m, false) }

// String returns the message as tcpdump prints it, see Verbose for more.
func (m *SetLinkInfoMessage) String() string { return render(m, false) }
