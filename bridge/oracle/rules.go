package oracle

import (
	"math/bits"
	"strings"
)

// Flaws is a set of flaws of the kernel.
type Flaws uint32

// The flaws. Rules says what each of them is.
const (
	OneCall Flaws = 1 << iota
	KeysTakenBack
	OpenerIsPNS
	StopKeepsCalls
	FinKeepsCalls
	ResetKeepsCalls
	ReconnectKept
	FirstOnly
	SplitUnseen
	RepeatActs
	EarlyActs
	AnyDisconnect
	RestStays
	AnyClear
	ErrorSticks
	ZeroRefuses
	RequestTooSoon
	ReplyOverrules
	RequestWithdraws
	RepeatExpects
	IDsClash
	EarlyDropped
	UnknownIsID0
	Version0IsID0
	HeaderUnread
	SidesUnknown
	PaddingCut

	allFlaws Flaws = 1<<iota - 1
)

// Rule names a flaw: a way in which the kernel differs from grewire, and is
// wrong.
type Rule struct {
	Flaw      Flaws
	Name      string
	Why       string // completes "the kernel is wrong because"
	Scenarios []int  // that it spoils
}

// Rules has one rule for every flaw, by its bit.
var Rules = [...]Rule{
	{OneCall, "one-call", "a control connection carries any number of calls (RFC 2637, section 3.2), but its helper has room for one: " +
		"a second request overwrites the IDs of the first call, and a second call finds the key map taken", []int{27, 28, 29, 32, 33, 40}},
	{KeysTakenBack, "keys-taken-back", "what refuses a second call must not harm the first, but when only the PNS's ID differs " +
		"exp_gre takes the first call's keys out of the key map", []int{27, 32}},
	{OpenerIsPNS, "opener-is-pns", "either end may open the control connection and either may be PNS or PAC of a call (section 1.2), " +
		"but it ignores what the opener says as PAC and what the other end says as PNS", []int{20, 21, 25, 26}},
	{StopKeepsCalls, "stop-keeps-calls", "a Stop-Control-Connection-Request of either end clears all calls (section 2.3), " +
		"but it clears none, and does not read the answerer's at all", []int{24, 75}},
	{FinKeepsCalls, "fin-keeps-calls", "calls end with their control connection (section 3.1), " +
		"but their GRE passes until TIME_WAIT is over, 120 s later", []int{76, 77}},
	{ResetKeepsCalls, "reset-keeps-calls", "calls end with their control connection (section 3.1), " +
		"but their GRE passes until the entry of the reset connection expires, 10 s later", []int{76, 77}},
	{ReconnectKept, "reconnect-kept", "a new connection from the same port is a new control connection, " +
		"but unless the old one was seen to close it goes on with the old one's state and calls", []int{79}},
	{FirstOnly, "first-message-only", "TCP delivers octets, not segments, but it reads only the first message of a segment", []int{48}},
	{SplitUnseen, "split-unseen", "TCP delivers octets, not segments, but a message that is not whole in one segment goes unread", []int{46, 47, 49}},
	{RepeatActs, "retransmission-acts", "a retransmitted segment says nothing new, but it acts on every copy of a message", []int{51, 78}},
	{EarlyActs, "out-of-order-acts", "a segment that is ahead of a gap is not delivered before the gap is filled, but it acts on it at once", []int{50}},
	{AnyDisconnect, "any-disconnect", "a Call-Disconnect-Notify ends the call that it names (section 2.13), " +
		"but it does not read the ID and ends the connection's current call", []int{29, 74}},
	{RestStays, "rest-stays", "the end of a call ends all its GRE, but it removes only what the IDs that it remembers lead to, " +
		"and of that the expectation only if there is no flow", []int{77, 80}},
	{AnyClear, "any-clear", "a Call-Clear-Request is about the call that it names (section 2.12), " +
		"but it does not read the ID and takes it for the connection's current call", []int{73}},
	{ErrorSticks, "error-sticks", "who was refused may ask again (section 2.2), but after a reply with an error it takes no other start", []int{3, 9}},
	{ZeroRefuses, "zero-refuses", "modems grant a start with result 0, and clients take it so, but it takes it for an error", []int{3}},
	{RequestTooSoon, "request-too-soon", "a call that is asked for in one go with the start waits for the answer to it, as clients have it, " +
		"but it takes no request before that answer", []int{8}},
	{ReplyOverrules, "reply-overrules", "a reply with another ID replaces the first as long as no GRE of the call was seen, and answers nothing after that, " +
		"but it replaces IDs and state of the call at any time, and lets through no GRE of the new ID", []int{4, 7, 94}},
	{RequestWithdraws, "request-withdraws", "an Incoming-Call-Request is answered once: its repeat asks nothing new, " +
		"but it forgets the answer", []int{14, 18}},
	{RepeatExpects, "repeat-expects", "a repeated reply opens nothing new, but it expects the GRE of the call once more, for 5 minutes", []int{6}},
	{IDsClash, "ids-clash", "call IDs are unique per pair of peers (section 3.2.1), so that a call with one of another waits for its end, " +
		"but it lets the GRE of both pass", []int{23, 30, 31}},
	{EarlyDropped, "early-dropped", "GRE that overtakes the message which agrees its call belongs to the call, but it drops it", []int{19}},
	{UnknownIsID0, "unknown-is-id-0", "GRE that is in no key map belongs to no call, but it looks it up as if its sender's ID were 0", []int{12, 90}},
	{Version0IsID0, "version-0-is-id-0", "PPTP's GRE is version 1 (section 4.1), but version 0 passes as if both its IDs were 0", []int{64, 91}},
	{HeaderUnread, "header-unread", "the key is there only if K is set (section 4.1), but it reads a call ID without", []int{64}},
	{SidesUnknown, "sides-unknown", "a host is on one side of the box, but it takes its frames from either", []int{92, 93}},
	{PaddingCut, "padding-cut", "a bridge forwards frames as they are (IEEE 802.1D), " +
		"but with bridge-nf-call-iptables it cuts off what is behind the IP packet, padding and trailers", []int{44}},
}

// Names returns the names of the flaws, joined by " + ".
func (f Flaws) Names() string {
	var names []string
	for _, r := range Rules {
		if f&r.Flaw != 0 {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, " + ")
}

// Len is the number of flaws in the set.
func (f Flaws) Len() int { return bits.OnesCount32(uint32(f)) }
