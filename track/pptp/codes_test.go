package pptp

import (
	"fmt"
	"testing"
)

func TestControlTypeNames(t *testing.T) {
	names := map[string]bool{}
	for _, ct := range allTypes() {
		if !ct.Known() || ct.String() == "" || ct.Abbreviation() == "" {
			t.Errorf("%d has no name", uint16(ct))
		}
		names[ct.String()], names[ct.Abbreviation()] = true, true
	}
	if len(names) != 2*(numControlTypes-1) {
		t.Errorf("%d different names and abbreviations", len(names))
	}
}

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		value fmt.Stringer
		want  string
	}{
		{StartControlConnectionRequest, "Start-Control-Connection-Request"},
		{SetLinkInfo, "Set-Link-Info"},
		{ControlType(0), "ControlType(0)"},
		{ControlType(16), "ControlType(16)"},
		{ControlMessage, "control"},
		{ManagementMessage, "management"},
		{MessageType(3), "MessageType(3)"},
		{Version, "1.0"},
		{StartResultNotAuthorized, "Requester is not authorized to establish a command channel"},
		{StartResult(6), "StartResult(6)"},
		{StopReasonLocalShutdown, "Stop-Local-Shutdown"},
		{StopReason(0), "StopReason(0)"},
		{StopResultOK, "OK"},
		{StopResult(3), "StopResult(3)"},
		{EchoResultGeneralError, "General Error"},
		{EchoResult(3), "EchoResult(3)"},
		{OutCallResultDoNotAccept, "Do Not Accept"},
		{OutCallResult(8), "OutCallResult(8)"},
		{InCallResultDoNotAccept, "Do Not Accept"},
		{InCallResult(4), "InCallResult(4)"},
		{DisconnectResultRequest, "Request"},
		{DisconnectResult(255), "DisconnectResult(255)"},
		{ErrorCodeNone, "None"},
		{ErrorCodePACError, "PAC-Error"},
		{ErrorCode(7), "ErrorCode(7)"},
		{FramingCapabilityAsync | FramingCapabilitySync, "AS"},
		{FramingCapability(4), ""},
		{BearerCapabilityAnalog | BearerCapabilityDigital, "DA"},
		{BearerCapability(0xFFFFFFFF), "DA"},
		{FramingTypeEither, "E"},
		{FramingType(0x101), "FramingType(257)"},
		{BearerTypeAny, "Any"},
		{BearerType(4), "BearerType(4)"},
		{PNS, "PNS"},
		{PAC, "PAC"},
		{Role(0), "Role(0)"},
		{OutgoingCall, "outgoing"},
		{IncomingCall, "incoming"},
		{CallKind(0), "CallKind(0)"},
		{CallAborting, "aborting"},
		{CallState(7), "CallState(7)"},
		{SessionStopping, "stopping"},
		{SessionState(4), "SessionState(4)"},
	} {
		if got := c.value.String(); got != c.want {
			t.Errorf("%T: %q, want %q", c.value, got, c.want)
		}
	}
}
