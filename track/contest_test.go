package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// ownerSilence is how long a call keeps its ID without a sign of life from the end
// that assigned it.
const ownerSilence = 75 * time.Second

// claim has a second connection of the same ends agree a call with these IDs.
func claim(w *tracktest.World, pnsID, pacID uint16) (*tracktest.Conn, tracktest.Result) {
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(pnsID))
	return c, c.Say(w.Server, tracktest.OutReply(pacID, pnsID, okOut))
}

// TestOnlyTheOwnerOfAnIDKeepsIt: a call keeps its ID as long as the end that assigned
// it is heard of, whatever the other end does.
func TestOnlyTheOwnerOfAnIDKeepsIt(t *testing.T) {
	for _, sign := range []struct {
		name  string
		keeps bool
		make  func(w *tracktest.World, c *tracktest.Conn, k *tracktest.Call)
	}{
		{"none", false, func(*tracktest.World, *tracktest.Conn, *tracktest.Call) {}},
		{"GRE of the owner", true, func(w *tracktest.World, _ *tracktest.Conn, k *tracktest.Call) { k.GRE(w.Client) }},
		{"GRE of the other end", false, func(w *tracktest.World, _ *tracktest.Conn, k *tracktest.Call) { k.GRE(w.Server) }},
		{"a message of the owner", true, func(w *tracktest.World, c *tracktest.Conn, _ *tracktest.Call) {
			c.Say(w.Client, tracktest.EchoRequest(1))
		}},
		{"an acknowledgment of the owner", true, func(w *tracktest.World, c *tracktest.Conn, _ *tracktest.Call) { c.Ack(w.Client) }},
		{"a message of the other end", false, func(w *tracktest.World, c *tracktest.Conn, _ *tracktest.Call) {
			c.Say(w.Server, tracktest.EchoRequest(1))
		}},
		{"a segment of the owner far out of the window", false, func(w *tracktest.World, c *tracktest.Conn, _ *tracktest.Call) {
			c.At(w.Client, c.End(w.Client).Next+1<<30, []byte{1})
		}},
	} {
		t.Run(sign.name, func(t *testing.T) {
			w := tracktest.New(t)
			one := w.Dial(w.Client, w.Server)
			old := one.OutCall(7, 9)
			wantUp(t, old)
			w.Advance(ownerSilence - time.Second)
			sign.make(w, one, old)
			w.Advance(2 * time.Second)
			w.Events()
			_, r := claim(w, 7, 10)
			if sign.keeps {
				wantControl(t, r)
				wantUp(t, old)
				wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
				return
			}
			want(t, r, track.Expect, track.ReasonControl)
			ended := eventsOf(w, track.EventCallEnded)
			if len(ended) != 1 || ended[0].Cause != "replaced" || ended[0].Call.ID != old.Number || ended[0].Call.LANToWAN.Packets != 1 {
				t.Errorf("calls ended: %+v; want call %d, replaced, with one packet up", ended, old.Number)
			}
			wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
			wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
			wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
			wantCalls(t, w, 1)
		})
	}
}

// TestWaitingCallGetsItsIDByItself: a host that has restarted dials once, and its
// call comes up when the one that it has forgotten has been silent long enough,
// though the peer still sends to that.
func TestWaitingCallGetsItsIDByItself(t *testing.T) {
	w := tracktest.New(t)
	one := w.Dial(w.Client, w.Server)
	old := one.OutCall(7, 9)
	wantUp(t, old)
	w.Advance(30 * time.Second)
	_, r := claim(w, 7, 10)
	wantControl(t, r)
	for range 4 {
		w.Advance(10 * time.Second)
		wantPass(t, old.GRE(w.Server), track.ReasonCall)
		wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
	}
	w.Advance(7 * time.Second)
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
	wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantCalls(t, w, 1)
	w.CheckEmpty()
}

// TestClosedConnectionKeepsNoID: the ID of a call whose owner has said FIN, or
// answered with RST, is free at once.
func TestClosedConnectionKeepsNoID(t *testing.T) {
	for name, leave := range map[string]func(w *tracktest.World, c *tracktest.Conn){
		"FIN": func(w *tracktest.World, c *tracktest.Conn) { c.Fin(w.Client) },
		"RST": func(w *tracktest.World, c *tracktest.Conn) { c.Reset(w.Client) },
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			one := w.Dial(w.Client, w.Server)
			wantUp(t, one.OutCall(7, 9))
			leave(w, one)
			_, r := claim(w, 7, 10)
			want(t, r, track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
			wantCalls(t, w, 1)
		})
	}
}

// TestWaitingCallEnds: a call that waits for its ID ends like any other that waits,
// and does not come up once it is given up.
func TestWaitingCallEnds(t *testing.T) {
	for name, end := range map[string]func(w *tracktest.World, c *tracktest.Conn){
		"cleared":      func(w *tracktest.World, c *tracktest.Conn) { c.Say(w.Client, tracktest.ClearRequest(7)) },
		"disconnected": func(w *tracktest.World, c *tracktest.Conn) { c.Say(w.Server, tracktest.Disconnect(10)) },
		"reset":        func(w *tracktest.World, c *tracktest.Conn) { c.Reset(w.Server) },
		"stopped":      func(w *tracktest.World, c *tracktest.Conn) { c.Say(w.Client, tracktest.StopRequest()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			one := w.Dial(w.Client, w.Server)
			old := one.OutCall(7, 9)
			two, r := claim(w, 7, 10)
			wantControl(t, r)
			end(w, two)
			wantUp(t, old)
			one.Close()
			w.Advance(2 * time.Second)
			wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
			w.CheckEmpty()
		})
	}
}

// TestContestOfTwoCalls: a call that has an ID of each of two others waits for both.
func TestContestOfTwoCalls(t *testing.T) {
	w := tracktest.New(t)
	one, two := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
	first, second := one.OutCall(7, 9), two.OutCall(8, 10)
	wantUp(t, first, second)
	_, r := claim(w, 7, 10)
	wantControl(t, r)
	one.Close()
	w.Advance(2 * time.Second)
	wantUp(t, second)
	wantDrop(t, w.GRE(w.Server, w.Client, 7), track.ReasonNotNegotiated)
	two.Close()
	w.Advance(2 * time.Second)
	wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
	w.CheckEmpty()
}

// TestRestoredCallKeepsItsID: a restart of the box gives nobody's ID away.
func TestRestoredCallKeepsItsID(t *testing.T) {
	w := tracktest.New(t)
	one := w.Dial(w.Client, w.Server)
	old := one.OutCall(7, 9)
	wantUp(t, old)
	w.Restart(w.Save(), time.Second)
	_, r := claim(w, 7, 10)
	wantControl(t, r)
	wantUp(t, old)
	w.Advance(ownerSilence + time.Second)
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
}

// TestWaitingCallKeepsItsAnswer: a call that waits for its ID and is asked for again
// still is the one that its PAC ends by that ID, though another call of the connection
// has the same number from its PNS.
func TestWaitingCallKeepsItsAnswer(t *testing.T) {
	w := tracktest.New(t)
	one := w.Dial(w.Client, w.Server)
	wantUp(t, one.OutCall(9, 3))
	two, r := claim(w, 2, 3)
	wantControl(t, r)
	two.Say(w.Client, tracktest.OutRequest(2))
	other := two.OutCall(3, 4)
	w.Events()
	two.Say(w.Server, tracktest.Disconnect(3))
	if ended := eventsOf(w, track.EventCallEnded); len(ended) != 1 || ended[0].Call.PNS.CallID != 2 {
		t.Errorf("calls ended: %+v; want the one that the client calls 2", ended)
	}
	wantUp(t, other)
	wantCalls(t, w, 2)
	w.CheckEmpty()
}

// TestWaitingCallIsAnsweredAnew: a call that waits for an ID gets another one when its
// PAC grants it once more, as long as no GRE of it was seen, but does not end when that
// is refused.
func TestWaitingCallIsAnsweredAnew(t *testing.T) {
	w := tracktest.New(t)
	one := w.Dial(w.Client, w.Server)
	old := one.OutCall(9, 3)
	two, r := claim(w, 2, 3)
	wantControl(t, r)
	two.Say(w.Client, tracktest.OutRequest(2))
	w.Events()
	wantControl(t, two.Say(w.Server, tracktest.OutReply(0, 2, pptp.OutCallResultBusy)))
	if refused := eventsOf(w, track.EventCallRefused); refused != nil {
		t.Errorf("calls refused: %+v; want none", refused)
	}
	want(t, two.Say(w.Server, tracktest.OutReply(4, 2, okOut)), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 4), track.ReasonCall)
	wantPass(t, w.GRE(w.Server, w.Client, 2), track.ReasonCall)
	wantUp(t, old)
	one.Close()
	w.Advance(2 * time.Second)
	wantDrop(t, w.GRE(w.Client, w.Server, 3), track.ReasonNotNegotiated)
	wantCalls(t, w, 1)
	w.CheckEmpty()
}
