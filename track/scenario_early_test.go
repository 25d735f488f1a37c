package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// What peers send before what it depends on is there.

// Some clients ask for their call in one go with the start: the request waits,
// and no GRE passes before both are granted.
func TestScenario008_CallBeforeTheStartReplyWaits(t *testing.T) {
	for name, ask := range map[string]func(c *tracktest.Conn, client *tracktest.Host){
		"in one segment": func(c *tracktest.Conn, client *tracktest.Host) {
			c.Say(client, tracktest.StartRequest(), tracktest.OutRequest(7))
		},
		"in two": func(c *tracktest.Conn, client *tracktest.Host) {
			c.Say(client, tracktest.StartRequest())
			c.Say(client, tracktest.OutRequest(7))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Connect(w.Client, w.Server)
			ask(c, w.Client)
			wantCalls(t, w, 1)
			wantCounted(t, w, track.AnomalyIllegalMessage, 1, func() {
				wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
			})
			wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
			wantControl(t, c.Say(w.Server, tracktest.StartReply(okStart)))
			wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
			want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
			wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
			w.CheckEmpty()
		})
	}
}

func TestScenario008_RefusedStartEndsTheCallsThatWait(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	c.Say(w.Client, tracktest.StartRequest(), tracktest.OutRequest(7))
	w.Events()
	wantControl(t, c.Say(w.Server, tracktest.StartReply(pptp.StartResultNotAuthorized)))
	wantEnded(t, w, "start-refused")
	wantCalls(t, w, 0)
	wantCounted(t, w, track.AnomalyIllegalMessage, 1, func() { c.Say(w.Server, tracktest.OutReply(9, 7, okOut)) })
	c.Start(w.Client)
	wantUp(t, c.OutCall(7, 9))
}

// Somebody who does not see the connection can guess an acknowledgment that is
// in the window, but not the one that the client would send.
func TestScenario008_CallBeforeTheStartReplyByOneWhoGuesses(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	c.Flags(w.Client, wire.SYN)
	c.Flags(w.Server, wire.SYN|wire.ACK)
	c.End(w.Client).Got--
	wantControl(t, c.Ack(w.Client))
	wantCounted(t, w, track.AnomalyIllegalMessage, 1, func() {
		c.Say(w.Client, tracktest.StartRequest(), tracktest.OutRequest(7))
	})
	wantCalls(t, w, 0)
}

// GRE that overtakes the message which agrees its call.

// wantHeld fails the test unless a frame is held.
func wantHeld(t *testing.T, r tracktest.Result) {
	t.Helper()
	want(t, r, track.Hold, 0)
}

// verdicts notes the numbers of frames in the order of their final verdicts.
func verdicts(w *tracktest.World) *[]uint64 {
	numbers := new([]uint64)
	w.Tap = func(r tracktest.Result) { *numbers = append(*numbers, r.Number) }
	return numbers
}

// pairings are who is PNS of a call and who PAC: GRE can come early from either
// side.
func pairings(w *tracktest.World) map[string][2]*tracktest.Host {
	return map[string][2]*tracktest.Host{"PNS on the LAN": {w.Client, w.Server}, "PNS on the WAN": {w.Server, w.Client}}
}

func TestScenario019_GREOvertakesTheReply(t *testing.T) {
	for name, ends := range pairings(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			w.Client, w.Server = ends[0], ends[1]
			pns, pac := ends[0], ends[1]
			c := w.Dial(pns, pac)
			c.Say(pns, tracktest.OutRequest(7))
			order := verdicts(w)
			wantCounted(t, w, track.AnomalyEarlyGRE, 2, func() {
				wantHeld(t, w.GRE(pac, pns, 7))
				wantHeld(t, w.GRE(pac, pns, 7))
			})
			w.Now += 199e6
			w.Step()
			want(t, c.Say(pac, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
			wantReleased(t, w, 2, track.Forward, track.ReasonCall)
			if o := *order; len(o) != 3 || o[0] < o[1] || o[1] > o[2] {
				t.Errorf("frames %v left in this order, want the reply first", o)
			}
			call := &tracktest.Call{Conn: c, PNS: pns, PAC: pac, PNSID: 7, PACID: 9, PNSAlias: 7, PACAlias: 9, Number: 1}
			wantUp(t, call)
			wantState(t, call, track.CallActive)
			w.CheckEmpty()
		})
	}
}

func TestScenario019_GREOvertakesInConnected(t *testing.T) {
	for name, ends := range pairings(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			pns, pac := ends[0], ends[1]
			c := w.Dial(pns, pac)
			wantDrop(t, w.GRE(pns, pac, 9), track.ReasonNotNegotiated)
			c.Say(pac, tracktest.InRequest(9))
			wantHeld(t, w.GRE(pns, pac, 9))
			wantDrop(t, w.GRE(pac, pns, 7), track.ReasonNotNegotiated)
			c.Say(pns, tracktest.InReply(7, 9, okIn))
			wantHeld(t, w.GRE(pns, pac, 9))
			wantHeld(t, w.GRE(pac, pns, 7))
			want(t, c.Say(pac, tracktest.InConnected(7)), track.Expect, track.ReasonControl)
			wantReleased(t, w, 1, track.Forward, track.ReasonCall)
			w.Step() // the other side's leave with its Lane's next batch
			wantReleased(t, w, 2, track.Forward, track.ReasonCall)
			wantPass(t, w.GRE(pns, pac, 9), track.ReasonCall)
			w.CheckEmpty()
		})
	}
}

// A second reply with another ID takes what waited for a call that had this ID.
func TestScenario019_GREOvertakesASecondReply(t *testing.T) {
	for name, ends := range pairings(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			pns, pac := ends[0], ends[1]
			call := w.Dial(pns, pac).OutCall(7, 9)
			call.Conn.Say(pac, tracktest.InRequest(10))
			wantHeld(t, w.GRE(pns, pac, 10))
			want(t, call.Conn.Say(pac, tracktest.OutReply(10, 7, okOut)), track.Expect, track.ReasonControl)
			w.Step()
			wantReleased(t, w, 1, track.Forward, track.ReasonCall)
			w.CheckEmpty()
		})
	}
}

// What is not granted, or not in time, drops.
func TestScenario019_EarlyGREOfNoCall(t *testing.T) {
	for name, end := range map[string]func(w *tracktest.World, c *tracktest.Conn){
		"refused": func(w *tracktest.World, c *tracktest.Conn) {
			c.Say(w.Server, tracktest.OutReply(9, 7, pptp.OutCallResultBusy))
		},
		"too late":     func(w *tracktest.World, _ *tracktest.Conn) { w.Now += 200e6; w.Step() },
		"disconnected": func(w *tracktest.World, c *tracktest.Conn) { c.Say(w.Server, tracktest.Disconnect(7)) },
		"stopped":      func(w *tracktest.World, c *tracktest.Conn) { c.Say(w.Server, tracktest.StopRequest()) },
		"reset":        func(w *tracktest.World, c *tracktest.Conn) { c.Reset(w.Server) },
		"asked anew on another connection": func(w *tracktest.World, _ *tracktest.Conn) {
			w.Dial(w.Client, w.Server).Say(w.Client, tracktest.OutRequest(7))
			w.Step()
		},
		"given up": func(w *tracktest.World, _ *tracktest.Conn) { w.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			c.Say(w.Client, tracktest.OutRequest(7))
			wantHeld(t, w.GRE(w.Server, w.Client, 7))
			end(w, c)
			wantReleased(t, w, 1, track.Drop, track.ReasonNotNegotiated)
			w.CheckEmpty()
		})
	}
}

// Only GRE of the pair, zone, side and ID of a request is held.
func TestScenario019_NoOtherGREIsHeld(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	tag := tracktest.Tag{TPID: 0x8100, TCI: 100}
	for name, r := range map[string]tracktest.Result{
		"another ID":     w.GRE(w.Server, w.Client, 8),
		"the other way":  w.GRE(w.Client, w.Server, 7),
		"another host":   w.GRE(tracktest.NewHost(track.WAN, "198.51.100.2"), w.Client, 7),
		"another zone":   w.GRE(w.Server.Tagged(tag), w.Client.Tagged(tag), 7),
		"the wrong side": w.GRE(w.Server.Moved(), w.Client, 7),
	} {
		if r.Verdict != track.Drop {
			t.Errorf("%s: %s", name, r)
		}
	}
}

// A request, or many, cannot have much held.
func TestScenario019_EarlyGREIsBounded(t *testing.T) {
	const perID, perLane = 16, 128
	w := tracktest.New(t, func(o *track.Options) { o.Limits.HoldBytes = perLane * 512 * 16 })
	c := w.Dial(w.Client, w.Server)
	for id := range uint16(20) {
		c.Say(w.Client, tracktest.OutRequest(id))
		for range perID {
			wantHeld(t, w.GRE(w.Server, w.Client, id))
		}
		wantDrop(t, w.GRE(w.Server, w.Client, id), track.ReasonNotNegotiated)
	}
	wantReleased(t, w, 20*perID-perLane, track.Drop, track.ReasonNotNegotiated)
	if n := w.Held(); n != perLane {
		t.Errorf("%d frames are held, want %d", n, perLane)
	}
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "hold_bytes" {
		t.Errorf("limits reached: %+v, want hold_bytes", reached)
	}
	want(t, c.Say(w.Server, tracktest.OutReply(9, 19, okOut)), track.Expect, track.ReasonControl)
	wantReleased(t, w, perID, track.Forward, track.ReasonCall)
	w.CheckEmpty()
}

// The later fragments of a packet wait with the first.
func TestScenario019_EarlyGREInFragments(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	pieces := tracktest.GRE{CallID: 7, HasSeq: true, Payload: make([]byte, 1000)}.IP().Fragment(w.Server, w.Client, 400)
	for _, r := range w.SendAll(track.WAN, pieces) {
		wantHeld(t, r)
	}
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	wantReleased(t, w, len(pieces), track.Forward, track.ReasonCall)
	w.CheckEmpty()
}

// The reply may come to another worker.
func TestScenario019_AnotherLaneHasTheReply(t *testing.T) {
	w := tracktest.New(t, func(o *track.Options) { o.Workers = 2 })
	other := w.Join()
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	wantHeld(t, other.GRE(w.Server, w.Client, 7))
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	wantPass(t, other.GRE(w.Server, w.Client, 7), track.ReasonCall) // in order: behind the one that was held
	wantReleased(t, other, 1, track.Forward, track.ReasonCall)
}
