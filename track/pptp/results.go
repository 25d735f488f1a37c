package pptp

import "fmt"

// accepted is the Result Code that RFC 2637 has for every reply that grants what
// was asked for.
const accepted = 1

// codeNames has the texts of a code; those missing or empty are not defined.
type codeNames []string

// lookup returns the text of a code, or "" if it has none.
func (n codeNames) lookup(code uint8) string {
	if int(code) >= len(n) {
		return ""
	}
	return n[code]
}

// describe returns the text of a code, or typeName and the number.
func (n codeNames) describe(typeName string, code uint8) string {
	if text := n.lookup(code); text != "" {
		return text
	}
	return fmt.Sprintf("%s(%d)", typeName, code)
}

// StartResult is the Result Code of a Start-Control-Connection-Reply (RFC 2637, section 2.2).
type StartResult uint8

// The values of StartResult.
const (
	StartResultUnset StartResult = iota // not in RFC 2637: some modems grant with it
	StartResultOK
	StartResultGeneralError
	StartResultAlreadyExists
	StartResultNotAuthorized
	StartResultBadVersion
)

var startResultNames = codeNames{
	StartResultOK:            "Successful channel establishment",
	StartResultGeneralError:  "General error",
	StartResultAlreadyExists: "Command channel already exists",
	StartResultNotAuthorized: "Requester is not authorized to establish a command channel",
	StartResultBadVersion:    "The protocol version of the requester is not supported",
}

// String returns the code's text, or its number.
func (c StartResult) String() string { return startResultNames.describe("StartResult", uint8(c)) }

// StopReason is the Reason of a Stop-Control-Connection-Request (RFC 2637, section 2.3).
type StopReason uint8

// The values of StopReason.
const (
	StopReasonNone StopReason = 1 + iota
	StopReasonProtocol
	StopReasonLocalShutdown
)

var stopReasonNames = codeNames{
	StopReasonNone:          "None",
	StopReasonProtocol:      "Stop-Protocol",
	StopReasonLocalShutdown: "Stop-Local-Shutdown",
}

// String returns the code's text, or its number.
func (c StopReason) String() string { return stopReasonNames.describe("StopReason", uint8(c)) }

// StopResult is the Result Code of a Stop-Control-Connection-Reply (RFC 2637, section 2.4).
type StopResult uint8

// The values of StopResult.
const (
	StopResultOK StopResult = 1 + iota
	StopResultGeneralError
)

var stopResultNames = codeNames{
	StopResultOK:           "OK",
	StopResultGeneralError: "General Error",
}

// String returns the code's text, or its number.
func (c StopResult) String() string { return stopResultNames.describe("StopResult", uint8(c)) }

// EchoResult is the Result Code of an Echo-Reply (RFC 2637, section 2.6).
type EchoResult uint8

// The values of EchoResult.
const (
	EchoResultOK EchoResult = 1 + iota
	EchoResultGeneralError
)

var echoResultNames = codeNames{
	EchoResultOK:           "OK",
	EchoResultGeneralError: "General Error",
}

// String returns the code's text, or its number.
func (c EchoResult) String() string { return echoResultNames.describe("EchoResult", uint8(c)) }

// OutCallResult is the Result Code of an Outgoing-Call-Reply (RFC 2637, section 2.8).
type OutCallResult uint8

// The values of OutCallResult.
const (
	OutCallResultConnected OutCallResult = 1 + iota
	OutCallResultGeneralError
	OutCallResultNoCarrier
	OutCallResultBusy
	OutCallResultNoDialTone
	OutCallResultTimeOut
	OutCallResultDoNotAccept
)

var outCallResultNames = codeNames{
	OutCallResultConnected:    "Connected",
	OutCallResultGeneralError: "General Error",
	OutCallResultNoCarrier:    "No Carrier",
	OutCallResultBusy:         "Busy",
	OutCallResultNoDialTone:   "No Dial Tone",
	OutCallResultTimeOut:      "Time-out",
	OutCallResultDoNotAccept:  "Do Not Accept",
}

// String returns the code's text, or its number.
func (c OutCallResult) String() string { return outCallResultNames.describe("OutCallResult", uint8(c)) }

// InCallResult is the Result Code of an Incoming-Call-Reply (RFC 2637, section 2.10).
type InCallResult uint8

// The values of InCallResult.
const (
	InCallResultConnect InCallResult = 1 + iota
	InCallResultGeneralError
	InCallResultDoNotAccept
)

var inCallResultNames = codeNames{
	InCallResultConnect:      "Connect",
	InCallResultGeneralError: "General Error",
	InCallResultDoNotAccept:  "Do Not Accept",
}

// String returns the code's text, or its number.
func (c InCallResult) String() string { return inCallResultNames.describe("InCallResult", uint8(c)) }

// DisconnectResult is the Result Code of a Call-Disconnect-Notify (RFC 2637, section 2.13).
type DisconnectResult uint8

// The values of DisconnectResult.
const (
	DisconnectResultLostCarrier DisconnectResult = 1 + iota
	DisconnectResultGeneralError
	DisconnectResultAdminShutdown
	DisconnectResultRequest
)

var disconnectResultNames = codeNames{
	DisconnectResultLostCarrier:   "Lost Carrier",
	DisconnectResultGeneralError:  "General Error",
	DisconnectResultAdminShutdown: "Admin Shutdown",
	DisconnectResultRequest:       "Request",
}

// String returns the code's text, or its number.
func (c DisconnectResult) String() string {
	return disconnectResultNames.describe("DisconnectResult", uint8(c))
}

// ErrorCode is the General Error Code of a reply whose result says "general error" (RFC
// 2637, section 2.16).
type ErrorCode uint8

// The values of ErrorCode.
const (
	ErrorCodeNone ErrorCode = iota
	ErrorCodeNotConnected
	ErrorCodeBadFormat
	ErrorCodeBadValue
	ErrorCodeNoResource
	ErrorCodeBadCallID
	ErrorCodePACError
)

var errorCodeNames = codeNames{
	ErrorCodeNone:         "None",
	ErrorCodeNotConnected: "Not-Connected",
	ErrorCodeBadFormat:    "Bad-Format",
	ErrorCodeBadValue:     "Bad-Value",
	ErrorCodeNoResource:   "No-Resource",
	ErrorCodeBadCallID:    "Bad-Call-ID",
	ErrorCodePACError:     "PAC-Error",
}

// String returns the code's text, or its number.
func (c ErrorCode) String() string { return errorCodeNames.describe("ErrorCode", uint8(c)) }
