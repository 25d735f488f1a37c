package track_test

import (
	"math"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestRestoreAdopts: with policy.adopt, a call that was agreed unseen while the
// box was away is found by its GRE, once the ends were heard of.
func TestRestoreAdopts(t *testing.T) {
	w := tracktest.New(t, adopting)
	c, up := fourCalls(t, w)
	saved := w.Save()
	w.Away = true
	c.Say(w.Client, tracktest.OutRequest(21))
	c.Say(w.Server, tracktest.OutReply(31, 21, okOut))
	w.Away = false
	w.Now = w.Now.Add(5 * time.Second)
	w.Restart(saved, 5*time.Second)
	unseen := oldCall(w, w.Client, 21, w.Server, 31, 100)
	wantDrop(t, unseen.send(0), track.ReasonNotNegotiated)
	c.Say(w.Client, tracktest.EchoRequest(1))
	wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
	talk(t, c)
	unseen.adopted(t)
	wantUp(t, up[:3]...)
	calls := len(w.Tracker.Calls())
	restart(t, w, time.Second)
	wantCalls(t, w, calls)
	if k := w.Tracker.Calls()[calls-1]; !k.Adopted {
		t.Errorf("adopted, saved and restored: %+v", k)
	}
	w.CheckEmpty()
}

// TestRestoreNumbers: no number that is saved makes counting go wrong.
func TestRestoreNumbers(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantUp(t, call)
	saved := w.Save()
	saved.Serial = math.MaxUint64
	saved.Calls[0].GRE[track.LAN].Seen = 1
	saved.Calls[0].GRE[track.LAN].Top = 10
	w.Restart(saved, 0)
	g := tracktest.GRE{CallID: 9, HasSeq: true, Seq: 9, Payload: make([]byte, 40)}
	wantPass(t, w.Send(track.LAN, g.Frame(w.Client, w.Server)), track.ReasonCall)
	if got, _ := w.Find(call.Number); got.Lost > 63 {
		t.Errorf("%d packets lost", got.Lost)
	}
	wantUp(t, call.Conn.OutCall(8, 10))
}

// TestRestoreAnotherReads: what the ends of another connection say first counts,
// though it is not known for theirs before the second has spoken.
func TestRestoreAnotherReads(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	before := c.OutCall(7, 9)
	w.Restart(w.Save(), 0)
	for i := range c.Ends {
		c.Ends[i].Next += 1 << 28
	}
	for i := range c.Ends {
		c.Ends[i].Got = c.Ends[1-i].Next
	}
	wantPass(t, c.Say(w.Client, tracktest.OutRequest(20)), track.ReasonControlOutOfWindow)
	wantPass(t, c.Say(w.Server, tracktest.OutReply(21, 20, okOut)), track.ReasonControlOutOfWindow)
	wantUp(t, before)
	w.Advance(answerTime)
	want(t, c.Ack(w.Client), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 21), track.ReasonCall)
	wantDown(t, before)
	w.CheckEmpty()
}
