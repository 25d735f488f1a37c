package nat_test

import (
	"encoding/binary"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// What the hosts behind a box share, names and memory, one of them must not be
// able to use up.

// stub is an Outgoing-Call-Request cut off behind its Call ID, with a Length that
// says so.
func stub(id uint16) []byte {
	b := make([]byte, 14)
	binary.BigEndian.PutUint16(b, 14)
	binary.BigEndian.PutUint16(b[2:], uint16(pptp.ControlMessage))
	binary.BigEndian.PutUint32(b[4:], pptp.MagicCookie)
	binary.BigEndian.PutUint16(b[8:], uint16(pptp.OutgoingCallRequest))
	binary.BigEndian.PutUint16(b[12:], id)
	return b
}

// stubs are n of them.
func stubs(n int) (data []byte) {
	for id := range n {
		data = append(data, stub(uint16(id))...)
	}
	return data
}

// Octets that can make no call take no ID: they leave with NoCallID, and so they do
// when they are sent again.
func TestNoIDForWhatMakesNoCall(t *testing.T) {
	requests := tracktest.Encode(tracktest.OutRequest(7), tracktest.OutRequest(8))
	for name, say := range map[string]func(b *box, from, to *tracktest.Host) tracktest.Result{
		"with a SYN": func(b *box, from, to *tracktest.Host) tracktest.Result {
			c := b.NewConn(from, to)
			return c.Transmit(from, c.Segment(from, 1, wire.SYN, stubs(100)))
		},
		"in the name of nobody": func(b *box, from, to *tracktest.Host) tracktest.Result {
			c := b.NewConn(from, to)
			c.Flags(from, wire.SYN)
			c.Flags(to, wire.SYN|wire.ACK)
			return c.At(to, c.End(to).Next, requests)
		},
		"before the session": func(b *box, from, to *tracktest.Host) tracktest.Result {
			return b.Connect(from, to).Write(from, requests)
		},
		"with the start, by somebody who does not hear the WAN": func(b *box, from, to *tracktest.Host) tracktest.Result {
			c := b.NewConn(from, to)
			c.Flags(from, wire.SYN)
			c.Flags(to, wire.SYN|wire.ACK)
			c.End(from).Got-- // a guess that is in the window
			c.Say(from, tracktest.StartRequest())
			return c.Write(from, requests)
		},
		"too short": func(b *box, from, to *tracktest.Host) tracktest.Result {
			c := b.Dial(from, to)
			at := c.End(from).Next
			c.Write(from, stubs(10))
			return c.At(from, at, stubs(10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, masquerade)
			r := say(b, b.lan[1], b.wan[1])
			if used, _ := b.names.CallIDs(); used != 0 {
				t.Errorf("%d IDs are in use: %s", used, r)
			}
			if r.Passed() && b.lan[1].Side == track.LAN && r.Side == track.LAN {
				wantEqual(t, "the ID that leaves", r.CallID(), track.NoCallID)
			}
			b.checkEmpty(t)
		})
	}
}

// A request whose first octets leave before the start is answered waits with it,
// and has an ID like any other: two hosts that choose the same have two.
func TestRequestBeforeTheStartReply(t *testing.T) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			server := b.wan[0]
			var calls []*tracktest.Call
			for i, client := range b.lan[:2] {
				c := b.Connect(client, server)
				both := tracktest.Encode(tracktest.StartRequest(), tracktest.OutRequest(7))
				r := c.Write(client, both[:len(both)-100])
				id := binary.BigEndian.Uint16(r.Out[54+len(both)-168+12:])
				c.Write(client, both[len(both)-100:])
				c.Say(server, tracktest.StartReply(pptp.StartResultOK))
				pacID := uint16(9 + i)
				r = c.Say(server, tracktest.OutReply(pacID, id, pptp.OutCallResultConnected))
				want(t, r, track.Expect, track.ReasonControl)
				calls = append(calls, &tracktest.Call{
					Conn: c, PNS: client, PAC: server, PNSID: 7, PACID: pacID, PNSAlias: id, PACAlias: pacID, Number: r.Call,
				})
			}
			wantUp(t, calls...)
			if a, b := calls[0].PNSAlias, calls[1].PNSAlias; a == b || a == track.NoCallID || b == track.NoCallID {
				t.Errorf("the WAN knows the calls by IDs %d and %d", a, b)
			}
			b.checkEmpty(t)
		})
	}
}

// If the start is refused the IDs of the requests that wait with it rest.
func TestRequestsOfARefusedStart(t *testing.T) {
	b := newBox(t, masquerade)
	client, server := b.lan[0], b.wan[0]
	c := b.Connect(client, server)
	c.Say(client, tracktest.StartRequest(), tracktest.OutRequest(7), tracktest.OutRequest(8))
	c.Say(server, tracktest.StartReply(pptp.StartResultNotAuthorized))
	if calls := b.Tracker.Calls(); len(calls) != 0 {
		t.Errorf("calls %+v", calls)
	}
	b.checkEmpty(t)
}

// A host that may have so many calls cannot take all IDs by asking again and
// again.
func TestOneHostCannotTakeAllIDs(t *testing.T) {
	b := newBox(t, masquerade, func(o *track.Options) { o.Limits.CallsPerHost, o.Limits.CallsPerConnection = 8, 8 })
	victim, c := b.Dial(b.lan[0], b.wan[0]), b.Dial(b.lan[1], b.wan[1])
	b.Events()
	for id := range uint16(callIDs) {
		asked := c.Say(b.lan[1], tracktest.OutRequest(id)).CallID()
		c.Say(b.wan[1], tracktest.OutReply(0, asked, pptp.OutCallResultGeneralError))
		c.Ack(b.lan[1])
	}
	wantEqual(t, "the limit reached", limitReached(b), "calls_per_host")
	if used, limit := b.names.CallIDs(); used > limit/8 {
		t.Errorf("%d of %d IDs are used by a host that may have 8 calls", used, limit)
	}
	wantUp(t, victim.OutCall(7, 9))
	b.checkEmpty(t)
}

// A call beyond what its connection may have leaves as one that got no ID, and
// takes none.
func TestCallBeyondTheLimitLeavesWithoutAnID(t *testing.T) {
	b := newBox(t, masquerade, func(o *track.Options) { o.Limits.CallsPerConnection = 3 })
	client, server := b.lan[0], b.wan[0]
	c := b.Dial(client, server)
	b.Events()
	for id := range uint16(5) {
		want := id
		if id >= 3 {
			want = track.NoCallID
		}
		wantEqual(t, "the ID that leaves", c.Say(client, tracktest.OutRequest(id)).CallID(), want)
	}
	wantEqual(t, "the limit reached", limitReached(b), "calls_per_connection")
	used, _ := b.names.CallIDs()
	wantEqual(t, "IDs in use", used, 3)
	for id := range uint16(3) {
		wantEqual(t, "the verdict", c.Say(server, tracktest.OutReply(id, id, pptp.OutCallResultConnected)).Verdict, track.Expect)
	}
	wantEqual(t, "the verdict", c.Say(server, tracktest.OutReply(7, track.NoCallID, pptp.OutCallResultConnected)).Verdict, track.Rewrite)
	wantEqual(t, "the reason", b.GRE(client, server, 7).Reason, track.ReasonNotNegotiated)
	b.checkEmpty(t)
}
