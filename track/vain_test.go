package track_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// Of messages about no call as many are looked up at a time as an end has use
// for. The others are passed over, however they are cut, and what stands behind
// them counts.
func TestMessagesInVainAreLookedUpSoOften(t *testing.T) {
	const sent, budget = 80, 32
	for name, m := range map[string]pptp.Message{
		"clear": tracktest.ClearRequest(9999), "link info": tracktest.LinkInfo(9999), "errors": tracktest.WANError(9999),
		"reply": tracktest.OutReply(9998, 9999, okOut), "disconnect": tracktest.Disconnect(9999),
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
				w.Now += 10e6 // the next interval
				c.Say(w.Client, tracktest.ClearRequest(7))
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

// Messages whose header tells that they change nothing are counted, each, and
// what stands behind them counts.
func TestMessagesThatAreAlikeAreCounted(t *testing.T) {
	unknown := tracktest.Encode(tracktest.EchoRequest(1))
	unknown[9] = 99
	short := tracktest.Encode(tracktest.ClearRequest(1))[:12]
	short[1] = 12
	for name, f := range map[string]struct {
		message []byte
		as      track.Anomaly
		counted uint64
	}{
		"echo":    {tracktest.Encode(tracktest.EchoRequest(1)), track.AnomalyUnknownMessage, 0},
		"unknown": {unknown, track.AnomalyUnknownMessage, 80},
		"short":   {short, track.AnomalyShortMessage, 80},
	} {
		for _, cut := range []int{0, 1, 7, 11} {
			t.Run(name, func(t *testing.T) {
				w := tracktest.New(t)
				c := w.Dial(w.Client, w.Server)
				flood := append(bytes.Repeat(f.message, 80), tracktest.Encode(tracktest.OutRequest(8))...)
				wantCounted(t, w, f.as, f.counted, func() {
					if cut > 0 {
						c.Write(w.Client, flood[:cut])
					}
					wantControl(t, c.Write(w.Client, flood[cut:]))
				})
				want(t, c.Say(w.Server, tracktest.OutReply(10, 8, okOut)), track.Expect, track.ReasonControl)
			})
		}
	}
}
