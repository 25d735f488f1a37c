package track_test

import (
	"encoding/json"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// established is a connection that the tracker never saw open, with windows
// that were scaled by 7 in SYNs that it never saw either.
func established(w *tracktest.World) *tracktest.Conn {
	c := w.NewConn(w.Client, w.Server)
	for i := range c.Ends {
		c.Ends[i].Window = 502
		c.Ends[i].Got = c.Ends[1-i].Next
	}
	return c
}

// TestPickUp takes up connections in their middle: with adopt = "off" they are
// read from the next plausible header on, and a call agreed in full view opens.
func TestPickUp(t *testing.T) {
	t.Run("at a message", func(t *testing.T) {
		w := tracktest.New(t)
		c := established(w)
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
		wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
		call := c.OutCall(7, 9)
		wantUp(t, call)
		call.Disconnect()
		wantDown(t, call)
	})
	t.Run("in a message", func(t *testing.T) {
		w := tracktest.New(t)
		c := established(w)
		wantPass(t, c.Write(w.Client, tracktest.Encode(tracktest.OutRequest(1))[50:]), track.ReasonOther)
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("reply without its request", func(t *testing.T) {
		w := tracktest.New(t)
		c := established(w)
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
		wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	})
	t.Run("scaled windows", func(t *testing.T) {
		w := tracktest.New(t)
		c := established(w)
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
		wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
		for id := range uint16(10) {
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(id)))
		}
		wantCalls(t, w, 10)
	})
}

// TestMissedSegments: segments cross that the tracker does not see, as when they
// go past a box that hangs. Once both ends have been heard of it follows again.
func TestMissedSegments(t *testing.T) {
	t.Run("SYN,ACK", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.NewConn(w.Client, w.Server)
		wantControl(t, c.Flags(w.Client, wire.SYN))
		unseen(c, w.Server, 1)
		if r := c.Say(w.Client, tracktest.EchoRequest(1)); r.Reason != track.ReasonControlOutOfWindow {
			t.Errorf("an end that may not be there: %v", r.Reason)
		}
		wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
		call := c.OutCall(7, 9)
		wantUp(t, call)
		call.Disconnect()
		wantDown(t, call)
	})
	t.Run("of both ends", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		before := c.OutCall(7, 9)
		wantUp(t, before)
		unseen(c, w.Client, 1000)
		unseen(c, w.Server, 500)
		c.Say(w.Client, tracktest.EchoRequest(1))
		wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
		wantUp(t, before)
		wantUp(t, c.OutCall(8, 10))
		before.Disconnect()
		wantDown(t, before)
	})
	t.Run("of one that speaks alone", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		unseen(c, w.Client, 1000)
		unseen(c, w.Server, 500)
		for id := range uint16(10) {
			if r := c.Say(w.Client, tracktest.OutRequest(id)); r.Reason != track.ReasonControlOutOfWindow {
				t.Errorf("segment %d of one end: %v", id, r.Reason)
			}
		}
		wantCalls(t, w, 0)
	})
}

// unseen has a host send octets that the tracker does not see.
func unseen(c *tracktest.Conn, from *tracktest.Host, octets uint32) {
	c.End(from).Next += octets
	c.Peer(from).Got = c.End(from).Next
}

// TestEventsAreJSON marshals every kind of event that a life of a call has.
func TestEventsAreJSON(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	wantUp(t, call)
	w.GRE(w.Client, w.Server, 1)
	call.Disconnect()
	c.Close()
	for _, e := range w.Events() {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", e.Kind, err)
		}
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil || object["event"] != e.Kind.String() || object["time"] == "" {
			t.Errorf("%s: %s (%v)", e.Kind, line, err)
		}
		if e.Kind == track.EventFrameDropped && object["frame"].(map[string]any)["reason"] != "not-negotiated" {
			t.Errorf("%s has no reason: %s", e.Kind, line)
		}
	}
}
