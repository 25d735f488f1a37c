package pptp

import "fmt"

// outcome says which Result Codes a row of a state table applies to.
type outcome uint8

const (
	anyResult outcome = iota // also for messages without a Result Code
	granted                  // see grants
	refused                  // all others
)

// covers reports whether a row for o applies to a message of type t with this
// Result Code.
func (o outcome) covers(t ControlType, result uint8) bool {
	return o == anyResult || (o == granted) == grants(t, result)
}

// grants reports whether a reply of type t with this Result Code grants what was
// asked for: one with Result Code 1. Some modems put 0 into a
// Start-Control-Connection-Reply, and clients take that as 1.
func grants(t ControlType, result uint8) bool {
	return result == accepted || t == StartControlConnectionReply && result == uint8(StartResultUnset)
}

// end says whose messages a row of sessionTable applies to.
type end uint8

const (
	eitherEnd end = iota
	requester     // the one that sends the Start-Control-Connection-Request
	responder     // the other
)

// covers reports whether a row for e applies to a message of that end.
func (e end) covers(fromRequester bool) bool {
	return e == eitherEnd || (e == requester) == fromRequester
}

// SessionState is where a control connection stands, as someone sees it who
// follows both directions (RFC 2637, section 3.1).
type SessionState uint8

// The states of a control connection.
//
//	idle --> requested --> established --> stopping --> idle
//	  ^          |
//	  +-refused--+
const (
	SessionIdle        SessionState = iota
	SessionRequested                // Start-Control-Connection-Request seen
	SessionEstablished              // granted; calls may be made
	SessionStopping                 // Stop-Control-Connection-Request seen; its calls have ended
)

var sessionStateNames = [...]string{SessionIdle: "idle", SessionRequested: "requested", SessionEstablished: "established", SessionStopping: "stopping"}

// String returns the state's name.
func (s SessionState) String() string {
	if int(s) >= len(sessionStateNames) {
		return fmt.Sprintf("SessionState(%d)", uint8(s))
	}
	return sessionStateNames[s]
}

type sessionRow struct {
	state   SessionState
	message ControlType
	from    end
	result  outcome
	next    SessionState
}

// sessionTable has the messages that are legal in each state. The numbers are
// sections of RFC 2637.
var sessionTable = []sessionRow{
	{SessionIdle, StartControlConnectionRequest, requester, anyResult, SessionRequested},      // 3.1.1
	{SessionRequested, StartControlConnectionRequest, requester, anyResult, SessionRequested}, // 3.1.1, a repeat
	{SessionRequested, StartControlConnectionReply, responder, granted, SessionEstablished},   // 3.1.1
	{SessionRequested, StartControlConnectionReply, responder, refused, SessionIdle},          // 2.2, it may ask again
	{SessionEstablished, StartControlConnectionReply, responder, granted, SessionEstablished}, // 3.1.1, a repeat

	// Some clients ask for their call in one go with the start: it waits.
	{SessionRequested, OutgoingCallRequest, requester, anyResult, SessionRequested},
	{SessionRequested, IncomingCallRequest, requester, anyResult, SessionRequested},
	{SessionRequested, CallClearRequest, requester, anyResult, SessionRequested},

	{SessionIdle, StopControlConnectionRequest, eitherEnd, anyResult, SessionStopping},        // 2.3
	{SessionRequested, StopControlConnectionRequest, eitherEnd, anyResult, SessionStopping},   // 3.1.1, a version it cannot speak
	{SessionEstablished, StopControlConnectionRequest, eitherEnd, anyResult, SessionStopping}, // 3.1.1, 3.1.2
	{SessionStopping, StopControlConnectionRequest, eitherEnd, anyResult, SessionStopping},    // 2.3, both ends stop at once
	{SessionStopping, StopControlConnectionReply, eitherEnd, anyResult, SessionIdle},          // 2.4
	{SessionIdle, StopControlConnectionReply, eitherEnd, anyResult, SessionIdle},              // 2.4, the second when both stopped

	{SessionEstablished, EchoRequest, eitherEnd, anyResult, SessionEstablished}, // 3.1.4
	{SessionEstablished, EchoReply, eitherEnd, anyResult, SessionEstablished},   // 3.1.4
	{SessionStopping, EchoRequest, eitherEnd, anyResult, SessionStopping},       // 3.1.4, sent before the stop was seen
	{SessionStopping, EchoReply, eitherEnd, anyResult, SessionStopping},         // 3.1.4, sent before the stop was seen

	{SessionEstablished, OutgoingCallRequest, eitherEnd, anyResult, SessionEstablished},   // 3.2: calls need a connection
	{SessionEstablished, OutgoingCallReply, eitherEnd, anyResult, SessionEstablished},     // 3.2
	{SessionEstablished, IncomingCallRequest, eitherEnd, anyResult, SessionEstablished},   // 3.2
	{SessionEstablished, IncomingCallReply, eitherEnd, anyResult, SessionEstablished},     // 3.2
	{SessionEstablished, IncomingCallConnected, eitherEnd, anyResult, SessionEstablished}, // 3.2
	{SessionEstablished, CallClearRequest, eitherEnd, anyResult, SessionEstablished},      // 3.2
	{SessionEstablished, CallDisconnectNotify, eitherEnd, anyResult, SessionEstablished},  // 3.2
	{SessionEstablished, WANErrorNotify, eitherEnd, anyResult, SessionEstablished},        // 3.2
	{SessionEstablished, SetLinkInfo, eitherEnd, anyResult, SessionEstablished},           // 3.2
}

// Next returns the state after a message of type t. fromRequester says that
// the message comes from the end that sent the first
// Start-Control-Connection-Request, or sends it now. result is the message's
// Result Code; messages without one ignore it.
//
// It reports false for a message that is not legal in this state, which changes
// nothing. That goes for the messages about calls, too: they are legal only in
// SessionEstablished, but for requests that the requester sends while it waits
// for the answer to its start.
func (s SessionState) Next(t ControlType, fromRequester bool, result uint8) (SessionState, bool) {
	rows := sessionRows.of(int(s), t)
	for i := range rows {
		row := &rows[i]
		if row.from.covers(fromRequester) && row.result.covers(t, result) {
			return row.next, true
		}
	}
	return s, false
}

// CallKind is who asked for a call.
type CallKind uint8

// The kinds of call. The zero CallKind is none.
const (
	_ CallKind = iota
	// OutgoingCall is one that the PNS asked for.
	OutgoingCall
	// IncomingCall is one that the PAC offered.
	IncomingCall
)

// String returns "outgoing" or "incoming".
func (k CallKind) String() string {
	switch k {
	case OutgoingCall:
		return "outgoing"
	case IncomingCall:
		return "incoming"
	}
	return fmt.Sprintf("CallKind(%d)", uint8(k))
}

// KindOf returns the kind of call that messages of type t set up. It reports
// false for messages that are not about setting up a call.
func KindOf(t ControlType) (CallKind, bool) {
	switch t {
	case OutgoingCallRequest, OutgoingCallReply:
		return OutgoingCall, true
	case IncomingCallRequest, IncomingCallReply, IncomingCallConnected:
		return IncomingCall, true
	}
	return 0, false
}

// CallState is where a call stands, as someone sees it who follows both
// directions (RFC 2637, section 3.2).
type CallState uint8

// The states of a call. Only an incoming call is ever replied.
//
//	idle --> requested --> (replied) --> connected --> clearing --> ended
//	             |             |
//	             +-------------+--> aborting --> ended
//
// Every live state also leads straight to ended.
const (
	CallIdle      CallState = iota
	CallRequested           // Outgoing- or Incoming-Call-Request seen
	CallReplied             // Incoming-Call-Reply accepted; waits for Incoming-Call-Connected
	CallConnected           // agreed: its GRE may flow
	CallClearing            // was connected, Call-Clear-Request seen; its GRE still flows
	CallAborting            // was never connected, Call-Clear-Request seen
	CallEnded
)

var callStateNames = [...]string{
	CallIdle: "idle", CallRequested: "requested", CallReplied: "replied", CallConnected: "connected",
	CallClearing: "clearing", CallAborting: "aborting", CallEnded: "ended",
}

// String returns the state's name.
func (s CallState) String() string {
	if int(s) >= len(callStateNames) {
		return fmt.Sprintf("CallState(%d)", uint8(s))
	}
	return callStateNames[s]
}

// Live reports whether the call was asked for and has not ended.
func (s CallState) Live() bool { return s > CallIdle && s < CallEnded }

// CarriesGRE reports whether the call's GRE may flow: from when it is connected
// until the PAC confirms that it has ended.
func (s CallState) CarriesGRE() bool { return s == CallConnected || s == CallClearing }

// bothKinds is the kind of a row that applies to calls of either kind.
const bothKinds CallKind = 0

type callRow struct {
	kind    CallKind
	state   CallState
	message ControlType
	result  outcome
	next    CallState
}

// callTable has the messages that are legal in each state. The numbers are
// sections of RFC 2637; those of section 3.2.3 are about incoming calls, those
// of 3.2.4 about outgoing ones.
//
// A Call-Clear-Request is legal at any time (2.12). One before the call is
// connected aborts it: the PNS then waits for the Call-Disconnect-Notify alone
// (its state wait_disconnect), and a reply that crossed the request connects
// nothing any more.
var callTable = []callRow{
	{OutgoingCall, CallIdle, OutgoingCallRequest, anyResult, CallRequested},      // 3.2.4.2
	{OutgoingCall, CallRequested, OutgoingCallRequest, anyResult, CallRequested}, // 3.2.4.2, a repeat
	{OutgoingCall, CallRequested, OutgoingCallReply, granted, CallConnected},     // 3.2.4.2
	{OutgoingCall, CallRequested, OutgoingCallReply, refused, CallEnded},         // 3.2.4.2
	{OutgoingCall, CallConnected, OutgoingCallReply, granted, CallConnected},     // 2.8, a repeat
	{OutgoingCall, CallClearing, OutgoingCallReply, granted, CallClearing},       // 2.8, a repeat
	{OutgoingCall, CallAborting, OutgoingCallReply, granted, CallAborting},       // 3.2.4.2, crossed the Call-Clear-Request
	{OutgoingCall, CallAborting, OutgoingCallReply, refused, CallEnded},          // 3.2.4.1, the PAC has nothing to clear

	{IncomingCall, CallIdle, IncomingCallRequest, anyResult, CallRequested},        // 3.2.3.1
	{IncomingCall, CallRequested, IncomingCallRequest, anyResult, CallRequested},   // 3.2.3.1, a repeat
	{IncomingCall, CallRequested, IncomingCallReply, granted, CallReplied},         // 3.2.3.2
	{IncomingCall, CallRequested, IncomingCallReply, refused, CallEnded},           // 3.2.3.2
	{IncomingCall, CallReplied, IncomingCallRequest, anyResult, CallReplied},       // 3.2.3.1, a repeat that crossed the reply
	{IncomingCall, CallReplied, IncomingCallReply, granted, CallReplied},           // 2.10, a repeat
	{IncomingCall, CallConnected, IncomingCallReply, granted, CallConnected},       // 2.10, a repeat
	{IncomingCall, CallReplied, IncomingCallConnected, anyResult, CallConnected},   // 3.2.3.2
	{IncomingCall, CallConnected, IncomingCallConnected, anyResult, CallConnected}, // 2.11, a repeat
	{IncomingCall, CallClearing, IncomingCallConnected, anyResult, CallClearing},   // 2.11, a repeat
	{IncomingCall, CallAborting, IncomingCallConnected, anyResult, CallAborting},   // 3.2.3.2, crossed the Call-Clear-Request

	{bothKinds, CallRequested, CallClearRequest, anyResult, CallAborting}, // 3.2.3.2, 3.2.4.2
	{bothKinds, CallReplied, CallClearRequest, anyResult, CallAborting},   // 3.2.3.2
	{bothKinds, CallConnected, CallClearRequest, anyResult, CallClearing}, // 3.2.3.2, 3.2.4.2
	{bothKinds, CallClearing, CallClearRequest, anyResult, CallClearing},  // 2.12, a repeat
	{bothKinds, CallAborting, CallClearRequest, anyResult, CallAborting},  // 2.12, a repeat

	{bothKinds, CallRequested, CallDisconnectNotify, anyResult, CallEnded}, // 2.13, also unasked
	{bothKinds, CallReplied, CallDisconnectNotify, anyResult, CallEnded},   // 3.2.3.2
	{bothKinds, CallConnected, CallDisconnectNotify, anyResult, CallEnded}, // 3.2.3.2, 3.2.4.2
	{bothKinds, CallClearing, CallDisconnectNotify, anyResult, CallEnded},  // 3.2.3.2, 3.2.4.2
	{bothKinds, CallAborting, CallDisconnectNotify, anyResult, CallEnded},  // 3.2.3.2, 3.2.4.2

	{bothKinds, CallConnected, WANErrorNotify, anyResult, CallConnected}, // 2.14
	{bothKinds, CallClearing, WANErrorNotify, anyResult, CallClearing},   // 2.14
	{bothKinds, CallConnected, SetLinkInfo, anyResult, CallConnected},    // 2.15
	{bothKinds, CallClearing, SetLinkInfo, anyResult, CallClearing},      // 2.15
}

// Next returns the state of a call of this kind after a message of type t that
// is about it. result is the message's Result Code; messages without one ignore
// it. It reports false for a message that is not legal in this state, which
// changes nothing.
func (s CallState) Next(kind CallKind, t ControlType, result uint8) (CallState, bool) {
	rows := callRows.of(int(s), t)
	for i := range rows {
		row := &rows[i]
		if row.kind.covers(kind) && row.result.covers(t, result) {
			return row.next, true
		}
	}
	return s, false
}

// covers reports whether a row for k applies to a call of this kind.
func (k CallKind) covers(kind CallKind) bool { return k == bothKinds || k == kind }
