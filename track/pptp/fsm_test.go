package pptp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sessionWant lists, for each state, what is legal: who may send a message (r
// the requester, p its peer, * either), the message, + or - for the results
// that are meant, and the next state. All else must be refused.
var sessionWant = map[SessionState]string{
	SessionIdle: "rSCCRQ>requested *StopCCRQ>stopping *StopCCRP>idle",
	SessionRequested: "rSCCRQ>requested pSCCRP+>established pSCCRP->idle *StopCCRQ>stopping " +
		"rOCRQ>requested rICRQ>requested rCCRQ>requested",
	SessionEstablished: "pSCCRP+>established *StopCCRQ>stopping *ECHORQ>established *ECHORP>established " +
		"*OCRQ>established *OCRP>established *ICRQ>established *ICRP>established *ICCN>established " +
		"*CCRQ>established *CDN>established *WEN>established *SLI>established",
	SessionStopping: "*StopCCRQ>stopping *StopCCRP>idle *ECHORQ>stopping *ECHORP>stopping",
	4:               "", // no such state
}

// callWant is sessionWant for calls, without the sender.
var callWant = map[CallKind]map[CallState]string{
	OutgoingCall: {
		CallIdle:      "OCRQ>requested",
		CallRequested: "OCRQ>requested OCRP+>connected OCRP->ended CCRQ>aborting CDN>ended",
		CallReplied:   "CCRQ>aborting CDN>ended", // never reached
		CallConnected: "OCRP+>connected CCRQ>clearing CDN>ended WEN>connected SLI>connected",
		CallClearing:  "OCRP+>clearing CCRQ>clearing CDN>ended WEN>clearing SLI>clearing",
		CallAborting:  "OCRP+>aborting OCRP->ended CCRQ>aborting CDN>ended",
		CallEnded:     "",
		7:             "", // no such state
	},
	IncomingCall: {
		CallIdle:      "ICRQ>requested",
		CallRequested: "ICRQ>requested ICRP+>replied ICRP->ended CCRQ>aborting CDN>ended",
		CallReplied:   "ICRQ>replied ICRP+>replied ICCN>connected CCRQ>aborting CDN>ended",
		CallConnected: "ICRP+>connected ICCN>connected CCRQ>clearing CDN>ended WEN>connected SLI>connected",
		CallClearing:  "ICCN>clearing CCRQ>clearing CDN>ended WEN>clearing SLI>clearing",
		CallAborting:  "ICCN>aborting CCRQ>aborting CDN>ended",
		CallEnded:     "",
		7:             "",
	},
}

// wanted finds the next state for a message in such a list, "" if it is not
// legal.
func wanted(list, sender string, t ControlType, result uint8) string {
	sign := "-"
	if result == 1 || t == StartControlConnectionReply && result == 0 {
		sign = "+"
	}
	for item := range strings.FieldsSeq(list) {
		message, next, _ := strings.Cut(item, ">")
		for _, from := range []string{sender, "*"} {
			if message == from+t.Abbreviation() || message == from+t.Abbreviation()+sign {
				return next
			}
		}
	}
	return ""
}

func TestSessionStates(t *testing.T) {
	for state, list := range sessionWant {
		for message := ControlType(0); message <= numControlTypes; message++ {
			for _, sender := range []string{"r", "p"} {
				for result := range uint8(8) {
					want := wanted(list, sender, message, result)
					next, ok := state.Next(message, sender == "r", result)
					if ok != (want != "") || ok && next.String() != want || !ok && next != state {
						t.Errorf("%v: %s %v result %d: got %v, %v, want %q", state, sender, message, result, next, ok, want)
					}
				}
			}
		}
	}
}

func TestCallStates(t *testing.T) {
	for kind, states := range callWant {
		for state, list := range states {
			for message := ControlType(0); message <= numControlTypes; message++ {
				for result := range uint8(8) {
					want := wanted(list, "", message, result)
					next, ok := state.Next(kind, message, result)
					if ok != (want != "") || ok && next.String() != want || !ok && next != state {
						t.Errorf("%v call %v: %v result %d: got %v, %v, want %q", kind, state, message, result, next, ok, want)
					}
				}
			}
		}
	}
}

// TestWantListsAreRead makes sure that every item of the lists above names a
// message, so that a slip there cannot hide.
func TestWantListsAreRead(t *testing.T) {
	known := map[string]bool{}
	for ct := StartControlConnectionRequest; ct < numControlTypes; ct++ {
		known[ct.Abbreviation()] = true
	}
	lists := map[string]string{}
	for state, list := range sessionWant {
		lists[fmt.Sprint(state)] = list
	}
	for kind, states := range callWant {
		for state, list := range states {
			lists[fmt.Sprint(kind, state)] = list
		}
	}
	for name, list := range lists {
		for item := range strings.FieldsSeq(list) {
			message, _, _ := strings.Cut(item, ">")
			if !known[strings.Trim(message, "rp*+-")] {
				t.Errorf("%s: %q names no message", name, item)
			}
		}
	}
}

// TestCallNeedsConsent walks at random and checks what must hold whatever was
// said: GRE flows only after both ends agreed, and an ended call stays so.
func TestCallNeedsConsent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	consent := map[CallKind][]ControlType{
		OutgoingCall: {OutgoingCallRequest, OutgoingCallReply},
		IncomingCall: {IncomingCallRequest, IncomingCallReply, IncomingCallConnected},
	}
	for kind, steps := range consent {
		for range 2000 {
			state, agreed := CallIdle, 0
			for range 12 {
				message, result := ControlType(rnd.IntN(numControlTypes+1)), uint8(rnd.IntN(3))
				next, ok := state.Next(kind, message, result)
				if agreed < len(steps) && message == steps[agreed] && ok && next != CallEnded {
					agreed++
				}
				if next.CarriesGRE() && agreed < len(steps) {
					t.Fatalf("%v call: %v by %v result %d, but only %d of %v were said", kind, next, message, result, agreed, steps)
				}
				if state == CallEnded && ok {
					t.Fatalf("%v call: left ended by %v", kind, message)
				}
				state = next
			}
		}
	}
}

func TestStatePredicates(t *testing.T) {
	for state := CallIdle; state <= CallEnded+1; state++ {
		live := state != CallIdle && state < CallEnded
		if state.Live() != live {
			t.Errorf("%v: Live is %v", state, state.Live())
		}
		if gre := state == CallConnected || state == CallClearing; state.CarriesGRE() != gre {
			t.Errorf("%v: CarriesGRE is %v", state, state.CarriesGRE())
		}
	}
}

func TestRolesAndKinds(t *testing.T) {
	roles := map[ControlType]Role{
		OutgoingCallRequest: PNS, OutgoingCallReply: PAC,
		IncomingCallRequest: PAC, IncomingCallReply: PNS, IncomingCallConnected: PAC,
		CallClearRequest: PNS, CallDisconnectNotify: PAC, WANErrorNotify: PAC,
	}
	kinds := map[ControlType]CallKind{
		OutgoingCallRequest: OutgoingCall, OutgoingCallReply: OutgoingCall,
		IncomingCallRequest: IncomingCall, IncomingCallReply: IncomingCall, IncomingCallConnected: IncomingCall,
	}
	for _, ct := range append(allTypes(), 0, numControlTypes, 0xFFFF) {
		if role, ok := SenderOf(ct); role != roles[ct] || ok != (roles[ct] != 0) {
			t.Errorf("SenderOf(%v) = %v, %v", ct, role, ok)
		}
		if kind, ok := KindOf(ct); kind != kinds[ct] || ok != (kinds[ct] != 0) {
			t.Errorf("KindOf(%v) = %v, %v", ct, kind, ok)
		}
	}
	if PNS.Other() != PAC || PAC.Other() != PNS {
		t.Error("the other end of a PNS is a PAC and the other way round")
	}
}

// allTypes returns the types of all 15 control messages.
func allTypes() (types []ControlType) {
	for ct := StartControlConnectionRequest; ct < numControlTypes; ct++ {
		types = append(types, ct)
	}
	return types
}

func BenchmarkNext(b *testing.B) {
	for b.Loop() {
		CallClearing.Next(IncomingCall, SetLinkInfo, 0)
	}
}
