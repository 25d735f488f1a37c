package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// Several calls.

func TestScenario027_TwoCallsOfOneConnection(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	one, two := c.OutCall(7, 9), c.OutCall(8, 10)
	wantUp(t, one, two, one)
	wantCalls(t, w, 2)
}

func TestScenario028_SixtyFourCallsOfOneConnection(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	var calls []*tracktest.Call
	for id := range uint16(64) {
		calls = append(calls, c.OutCall(id, 1000+id))
	}
	wantCalls(t, w, 64)
	wantUp(t, calls...)
	for _, k := range calls {
		wantState(t, k, track.CallActive)
		k.Disconnect()
	}
	wantDown(t, calls...)
	wantUsed(t, w, "calls", 0)
}

func TestScenario029_DisconnectOfOneCallLeavesTheOther(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	one, two := c.OutCall(7, 9), c.OutCall(8, 10)
	wantUp(t, one, two)
	two.Clear()
	two.Disconnect()
	wantDown(t, two)
	wantUp(t, one)
}

func TestScenario030_IDUsedAgainAfterDisconnect(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	old := c.OutCall(7, 9)
	wantUp(t, old)
	old.Disconnect()
	fresh := c.OutCall(7, 11)
	wantUp(t, fresh)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	if fresh.Number == old.Number {
		t.Errorf("both calls have number %d", old.Number)
	}
}

// A new request with the PNS id of a live call replaces that call once it is
// accepted, not before.
func TestScenario031_IDUsedAgainBeforeDisconnect(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	old := c.OutCall(7, 9)
	wantUp(t, old)
	wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
	wantUp(t, old)
	wantCalls(t, w, 2)
	w.Events()
	want(t, c.Say(w.Server, tracktest.OutReply(10, 7, okOut)), track.Expect, track.ReasonControl)
	wantEnded(t, w, "replaced")
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
	wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
	wantCalls(t, w, 1)

	wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
	wantControl(t, c.Say(w.Server, tracktest.OutReply(0, 7, pptp.OutCallResultBusy)))
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall) // a refused one replaces nothing
	wantCalls(t, w, 1)
}

func TestScenario032_OutAndInCallsMixed(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	out, in := c.OutCall(7, 9), c.InCall(8, 10)
	reverse := c.OutCallBy(w.Server, 20, 21) // the server is PNS of this one
	wantUp(t, out, in, reverse)
	out.Disconnect()
	wantDown(t, out)
	wantUp(t, in, reverse)
	reverse.Disconnect()
	wantDown(t, reverse)
	wantUp(t, in)
}

func TestScenario033_CallsOneAfterTheOther(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	for round := range uint16(20) {
		call := c.OutCall(7, 9+round%2)
		wantUp(t, call)
		call.Clear()
		call.Disconnect()
		wantDown(t, call)
	}
	c.Close()
	w.CheckEmpty()
}

func TestScenario034_EqualIDsToDifferentServers(t *testing.T) {
	w := tracktest.New(t)
	other := tracktest.NewHost(track.WAN, "198.51.100.2")
	one, two := w.Dial(w.Client, w.Server).OutCall(7, 9), w.Dial(w.Client, other).OutCall(7, 9)
	wantUp(t, one, two)
	one.Disconnect()
	wantDown(t, one)
	wantUp(t, two)
}
