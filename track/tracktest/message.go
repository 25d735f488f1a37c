package tracktest

import "github.com/grewire/grewire/track/pptp"

var capabilities = pptp.Capabilities{
	FramingCapabilities: pptp.FramingCapabilitySync, BearerCapabilities: pptp.BearerCapabilityDigital,
	HostName: pptp.TextOf("host"), VendorString: pptp.TextOf("vendor"),
}

// StartRequest is an ordinary Start-Control-Connection-Request.
func StartRequest() *pptp.StartControlConnectionRequestMessage {
	return &pptp.StartControlConnectionRequestMessage{ProtocolVersion: pptp.Version, Capabilities: capabilities}
}

// StartReply is a Start-Control-Connection-Reply with this result.
func StartReply(result pptp.StartResult) *pptp.StartControlConnectionReplyMessage {
	return &pptp.StartControlConnectionReplyMessage{
		ProtocolVersion: pptp.Version, ResultCode: result, Capabilities: capabilities,
	}
}

// StopRequest is a Stop-Control-Connection-Request.
func StopRequest() *pptp.StopControlConnectionRequestMessage {
	return &pptp.StopControlConnectionRequestMessage{Reason: pptp.StopReasonNone}
}

// StopReply is a Stop-Control-Connection-Reply that agrees.
func StopReply() *pptp.StopControlConnectionReplyMessage {
	return &pptp.StopControlConnectionReplyMessage{ResultCode: pptp.StopResultOK}
}

// EchoRequest is an Echo-Request.
func EchoRequest(identifier uint32) *pptp.EchoRequestMessage {
	return &pptp.EchoRequestMessage{Identifier: identifier}
}

// EchoReply is the answer to an EchoRequest.
func EchoReply(identifier uint32) *pptp.EchoReplyMessage {
	return &pptp.EchoReplyMessage{Identifier: identifier, ResultCode: pptp.EchoResultOK}
}

// OutRequest is the Outgoing-Call-Request of a PNS.
func OutRequest(pnsID uint16) *pptp.OutgoingCallRequestMessage {
	return &pptp.OutgoingCallRequestMessage{
		CallID: pnsID, MinimumBPS: 2400, MaximumBPS: 10_000_000, BearerType: pptp.BearerTypeAny,
		FramingType: pptp.FramingTypeEither, PacketRecvWindowSize: 3,
	}
}

// OutReply is the Outgoing-Call-Reply of a PAC.
func OutReply(pacID, pnsID uint16, result pptp.OutCallResult) *pptp.OutgoingCallReplyMessage {
	return &pptp.OutgoingCallReplyMessage{
		CallID: pacID, PeerCallID: pnsID, ResultCode: result, ConnectSpeed: 10_000_000, PacketRecvWindowSize: 3,
	}
}

// InRequest is the Incoming-Call-Request of a PAC.
func InRequest(pacID uint16) *pptp.IncomingCallRequestMessage {
	return &pptp.IncomingCallRequestMessage{CallID: pacID, BearerType: pptp.BearerTypeDigital}
}

// InReply is the Incoming-Call-Reply of a PNS.
func InReply(pnsID, pacID uint16, result pptp.InCallResult) *pptp.IncomingCallReplyMessage {
	return &pptp.IncomingCallReplyMessage{CallID: pnsID, PeerCallID: pacID, ResultCode: result, PacketRecvWindowSize: 3}
}

// InConnected is the Incoming-Call-Connected of a PAC.
func InConnected(pnsID uint16) *pptp.IncomingCallConnectedMessage {
	return &pptp.IncomingCallConnectedMessage{PeerCallID: pnsID, ConnectSpeed: 64000, FramingType: pptp.FramingTypeSync}
}

// ClearRequest is the Call-Clear-Request of a PNS.
func ClearRequest(pnsID uint16) *pptp.CallClearRequestMessage {
	return &pptp.CallClearRequestMessage{CallID: pnsID}
}

// Disconnect is a Call-Disconnect-Notify; by the RFC id is the PAC's.
func Disconnect(id uint16) *pptp.CallDisconnectNotifyMessage {
	return &pptp.CallDisconnectNotifyMessage{
		CallID: id, ResultCode: pptp.DisconnectResultRequest, CallStatistics: pptp.StatisticsOf("none"),
	}
}

// WANError is the WAN-Error-Notify of a PAC.
func WANError(pnsID uint16) *pptp.WANErrorNotifyMessage {
	return &pptp.WANErrorNotifyMessage{PeerCallID: pnsID, CRCErrors: 1}
}

// LinkInfo is a Set-Link-Info; peerID is the receiver's.
func LinkInfo(peerID uint16) *pptp.SetLinkInfoMessage {
	return &pptp.SetLinkInfoMessage{PeerCallID: peerID, SendACCM: 0xffffffff, ReceiveACCM: 0xffffffff}
}
