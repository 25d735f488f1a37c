package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// askAtOnce has the client ask for n calls, in as few segments as it takes.
func askAtOnce(c *tracktest.Conn, n int) {
	var requests []pptp.Message
	for id := range uint16(n) {
		if requests = append(requests, tracktest.OutRequest(id)); len(requests) == messagesPerSegment || int(id) == n-1 {
			c.Say(c.Ends[0].Host, requests...)
			requests = nil
		}
	}
}

// Calls that wait are as many as a connection may have.
func TestAHundredCallsAskedForAtOnce(t *testing.T) {
	const most = 100
	w := tracktest.New(t, func(o *track.Options) { o.Limits.CallsPerConnection = most })
	c := w.Dial(w.Client, w.Server)
	w.Events()
	askAtOnce(c, most)
	wantCalls(t, w, most)
	for id := range uint16(most) {
		want(t, c.Say(w.Server, tracktest.OutReply(1000+id, id, okOut)), track.Expect, track.ReasonControl)
		wantPass(t, w.GRE(w.Client, w.Server, 1000+id), track.ReasonCall)
	}
	for _, e := range w.Events() {
		if e.Kind == track.EventCallEnded || e.Kind == track.EventLimitReached {
			t.Errorf("%s: %s", e.Kind, e.Cause)
		}
	}
}

// What was asked for first is kept; of what is beyond the limit no GRE passes.
func TestCallsBeyondTheLimitAreTheNewest(t *testing.T) {
	const most = 70
	w := tracktest.New(t, func(o *track.Options) { o.Limits.CallsPerConnection = most })
	other, c := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
	other.Say(w.Client, tracktest.OutRequest(1000))
	w.Events()
	askAtOnce(c, most+2)
	wantCalls(t, w, most+1)
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "calls_per_connection" {
		t.Errorf("limits reached: %+v, want calls_per_connection once", reached)
	}
	for _, id := range []uint16{most, most + 1} {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(2000+id, id, okOut)))
		wantDrop(t, w.GRE(w.Client, w.Server, 2000+id), track.ReasonNotNegotiated)
	}
	for _, id := range []uint16{0, 1, most - 1} {
		want(t, c.Say(w.Server, tracktest.OutReply(2000+id, id, okOut)), track.Expect, track.ReasonControl)
		wantPass(t, w.GRE(w.Client, w.Server, 2000+id), track.ReasonCall)
	}
	want(t, other.Say(w.Server, tracktest.OutReply(3000, 1000, okOut)), track.Expect, track.ReasonControl)
	w.Advance(w.Options.Timeouts.PendingCall)
	wantCalls(t, w, 4)
	wantUp(t, c.OutCall(most, 4000))
}
