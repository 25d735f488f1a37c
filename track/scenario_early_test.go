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
