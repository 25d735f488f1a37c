package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// past has a message of from go another way than through the box.
func past(c *tracktest.Conn, from *tracktest.Host) {
	c.World.Away = true
	c.Say(from, tracktest.LinkInfo(1))
	c.World.Away = false
}

// A segment that never crosses the box leaves a gap. When its receiver
// acknowledges it, the messages behind the gap are read, before what answers
// them.
func TestMessagesBehindAGapAreRead(t *testing.T) {
	t.Run("the request", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		past(c, w.Client)
		wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
		wantCalls(t, w, 0)
		c.End(w.Server).Got = c.End(w.Client).Next
		wantCounted(t, w, track.AnomalyMissedOctets, 1, func() {
			want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
		})
		wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
		wantUp(t, c.OutCall(17, 19))
		wantUsed(t, w, "hold_bytes", 0)
	})
	t.Run("the reply", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		c.Say(w.Client, tracktest.OutRequest(7))
		past(c, w.Server)
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
		c.End(w.Client).Got = c.End(w.Server).Next
		want(t, c.Ack(w.Client), track.Expect, track.ReasonControl)
		wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
		wantUsed(t, w, "hold_bytes", 0)
	})
	t.Run("behind two gaps", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		for id := range uint16(2) {
			past(c, w.Client)
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(id)))
		}
		c.End(w.Server).Got = c.End(w.Client).Next
		want(t, c.Say(w.Server, tracktest.OutReply(8, 0, okOut), tracktest.OutReply(9, 1, okOut)), track.Expect, track.ReasonControl)
		wantCalls(t, w, 2)
	})
}

// What begins in the middle of a message opens nothing, whatever is in it.
func TestJunkBehindAGapOpensNothing(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	past(c, w.Client)
	c.Write(w.Client, append([]byte{0}, tracktest.Encode(tracktest.OutRequest(7))...))
	c.End(w.Server).Got = c.End(w.Client).Next
	wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	wantCalls(t, w, 0)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantUp(t, c.OutCall(8, 10))
}

// Nor does a message behind a gap that nobody has acknowledged.
func TestGapThatMayBeFilledKeepsItsPlace(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	at := c.End(w.Client).Next
	lost := tracktest.Encode(tracktest.EchoRequest(1))
	c.At(w.Client, at+uint32(len(lost)), tracktest.Encode(tracktest.OutRequest(7)))
	c.End(w.Server).Got = at
	wantCounted(t, w, track.AnomalyMissedOctets, 0, func() { wantControl(t, c.Ack(w.Server)) })
	wantCalls(t, w, 0)
	wantControl(t, c.At(w.Client, at, lost))
	wantCalls(t, w, 1)
}
