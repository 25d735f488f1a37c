package track_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// Of messages about no call as many are looked up in a batch as an end has use
// for. The others are passed over, however they are cut, and what stands behind
// them counts.
func TestMessagesInVainAreLookedUpSoOften(t *testing.T) {
	const sent, budget = 80, 32
	for name, m := range map[string]pptp.Message{
		"clear": tracktest.ClearRequest(9999), "link info": tracktest.LinkInfo(9999), "errors": tracktest.WANError(9999),
	} {
		for _, cut := range []int{0, 1, 7, 13} {
			t.Run(name, func(t *testing.T) {
				w := tracktest.New(t)
				c := w.Dial(w.Client, w.Server)
				live := c.OutCall(7, 9)
				flood := bytes.Repeat(tracktest.Encode(m), sent)
				flood = append(flood, tracktest.Encode(tracktest.OutRequest(8))...)
				if cut > 0 {
					c.Write(w.Client, flood[:cut])
				}
				wantCounted(t, w, track.AnomalyUnmatchedMessage, budget, func() {
					wantCounted(t, w, track.AnomalySkippedMessage, sent-budget, func() { wantControl(t, c.Write(w.Client, flood[cut:])) })
				})
				want(t, c.Say(w.Server, tracktest.OutReply(10, 8, okOut)), track.Expect, track.ReasonControl)
				c.Say(w.Client, tracktest.ClearRequest(7)) // of the next batch
				wantState(t, live, track.CallClearing)
			})
		}
	}
}

// Those that change something are not in vain.
func TestMessagesThatChangeSomethingAreNotInVain(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	var clears []pptp.Message
	for id := range uint16(60) {
		c.OutCall(id, 1000+id).Both()
		clears = append(clears, tracktest.ClearRequest(id))
	}
	c.Say(w.Client, clears...)
	for _, k := range w.Tracker.Calls() {
		if k.State != track.CallClearing {
			t.Errorf("call %d is %s", k.PNS.CallID, k.State)
		}
	}
}
