package nat_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// A connection from port 1723 to another port is not PPTP: it leaves as it came,
// in both directions, from either side.
func TestPort1723AsSourcePortStays(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		for _, ends := range [][2]*tracktest.Host{{b.lan[0], b.wan[0]}, {b.wan[0], b.lan[0]}} {
			c := b.NewConn(ends[0], ends[1])
			c.Ends[0].Port, c.Ends[1].Port = pptp.Port, 443
			results := []tracktest.Result{
				c.Flags(ends[0], wire.SYN), c.Flags(ends[1], wire.SYN|wire.ACK), c.Ack(ends[0]),
				c.Write(ends[0], []byte("hello")), c.Write(ends[1], []byte("hello, too")), c.Ack(ends[0]),
				c.Fin(ends[0]), c.Fin(ends[1]), c.Ack(ends[0]),
			}
			for i, r := range results {
				if r.Verdict != track.Forward || r.Reason != track.ReasonOther || !bytes.Equal(r.Out, r.Data) {
					t.Errorf("opened by %s, segment %d: %s", ends[0].Side, i, r)
				}
			}
		}
	})
}

// What a LAN host alone says makes its own control connection no other traffic:
// then its data would leave unread, with the call IDs of others.
func TestLANHostDeclaresNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		h, server := b.lan[0], b.wan[0]
		c := b.NewConn(h, server)
		c.Flags(h, wire.SYN|wire.ACK) // as if the server had dialed from its port 1723
		wantDrop(t, c.Write(h, []byte("half a message")), track.ReasonNoTranslation)
		wantDrop(t, c.Say(h, tracktest.OutRequest(9)), track.ReasonNoTranslation)
	})
}

// What is not PPTP on port 1723 is dropped on purpose, and said so once.
func TestNotPPTP(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		c := b.Connect(b.lan[0], b.wan[0])
		b.Events()
		if r := c.Write(b.wan[0], []byte("SSH-2.0-server\r\n")); !r.Passed() {
			t.Errorf("what the server says: %s", r)
		}
		for range 3 {
			wantDrop(t, c.Write(b.lan[0], []byte("SSH-2.0-client\r\n")), track.ReasonNotPPTP)
		}
		kinds := b.Kinds()
		if len(kinds) != 1 || kinds[0] != track.EventControlNotPPTP {
			t.Errorf("events %v, want one %s", kinds, track.EventControlNotPPTP)
		}
	})
}

// One that loses the thread after it has spoken PPTP is another matter.
func TestLostThreadIsNoOtherProtocol(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		c := b.Dial(b.lan[0], b.wan[0])
		b.Events()
		wantDrop(t, c.Write(b.lan[0], []byte("SSH-2.0-client\r\n")), track.ReasonNoTranslation)
		kinds := b.Kinds()
		if len(kinds) != 1 || kinds[0] != track.EventControlDesync {
			t.Errorf("events %v, want one %s", kinds, track.EventControlDesync)
		}
	})
}

// A message of a LAN host on port 1723, on a connection that is not followed,
// does not leave in pieces either: they hold its call ID.
func TestPiecesOfAMessageStayIn(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		message := tracktest.Encode(tracktest.OutReply(9, 7, pptp.OutCallResultConnected))
		for cut := range len(message) - 1 {
			c := b.NewConn(b.wan[0], b.lan[1])
			c.Ends[0].Got, c.Ends[1].Got = c.Ends[1].Next, c.Ends[0].Next
			wantDrop(t, c.Write(b.lan[1], message[:cut+1]), track.ReasonNoTranslation)
			wantDrop(t, c.Write(b.lan[1], message[cut+1:]), track.ReasonNoTranslation)
		}
	})
}
