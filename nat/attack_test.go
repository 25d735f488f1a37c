package nat_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// Somebody on the LAN who gets a server to take an ID which is another host's
// there gets that host the server's GRE. So nothing that he says may reach the
// server but what the box has read as the server will.
func TestNothingUnreadLeaves(t *testing.T) {
	request := tracktest.Encode(tracktest.OutRequest(7)) // 7 is the victim's
	for name, say := range map[string]func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result{
		"behind a bad header": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			c.Write(mallory, []byte{2, 1, 0, 1}) // a Length that makes no sense
			return c.Write(mallory, request)
		},
		"with a bad header": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			return c.Write(mallory, append([]byte{2, 1, 0, 1, 0, 0, 0, 0}, request...))
		},
		"half of it a minute later": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			c.Write(mallory, request[:7])
			b.Advance(61 * time.Second)
			b.Advance(time.Second)
			return c.Write(mallory, request[7:])
		},
		"behind a reset that the server never got": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			c.Reset(mallory)
			return c.Write(mallory, request)
		},
		"behind a reset, with the connection forgotten": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			c.Reset(mallory)
			b.Advance(b.Options.Timeouts.TCPClosing + time.Second)
			c.Write(mallory, request[:7])
			c.Ack(c.Peer(mallory).Host)
			return c.Write(mallory, request[7:])
		},
		"behind a reset and a SYN that the server never got": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			at := c.End(mallory).Next
			c.Reset(mallory)
			c.Transmit(mallory, c.Segment(mallory, at+1000, wire.SYN, nil))
			c.Ack(c.Peer(mallory).Host)
			return c.At(mallory, at, request)
		},
		"with a SYN": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			return c.Transmit(mallory, c.Segment(mallory, c.End(mallory).Next-1000, wire.SYN, request))
		},
		"behind FINs that came too early": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			at := c.End(mallory).Next
			c.Transmit(mallory, c.Segment(mallory, at+uint32(len(request)), wire.FIN|wire.ACK, nil))
			c.Fin(c.Peer(mallory).Host)
			return c.At(mallory, at, request)
		},
		"in the place of what the box has read": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			at := c.End(mallory).Next
			info := tracktest.LinkInfo(9)
			c.Write(mallory, tracktest.Encode(info, info, info, info, info, info, info)) // it gets lost behind the box
			return c.At(mallory, at, request)
		},
		"out of the window": func(b *box, c *tracktest.Conn, mallory *tracktest.Host) tracktest.Result {
			return c.At(mallory, c.End(mallory).Next-70000, request)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range []func(*nat.Options){masquerade, byCallID} {
				b := newBox(t, mode)
				victim := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9)
				r := say(b, b.Dial(b.lan[1], b.wan[0]), b.lan[1])
				if r.Passed() && bytes.Contains(r.Out, request[7:14]) {
					t.Errorf("%s, and asks for the victim's ID", r)
				}
				wantUp(t, victim)
			}
		})
	}
}

// A host's MAC address is what its own segments say, not anybody's who only
// knows its addresses and ports.
func TestMACIsNotAnybodysToSay(t *testing.T) {
	b := newBox(t, masquerade)
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	mallory := *b.lan[0]
	mallory.MAC = b.lan[1].MAC
	for _, s := range []tracktest.TCP{
		c.Segment(&mallory, 77, wire.ACK, []byte("x")),
		c.Segment(&mallory, 77, wire.SYN, nil),
		c.Segment(&mallory, 77, wire.RST, nil),
	} {
		s.SrcPort, s.DstPort = c.Ends[0].Port, c.Ends[1].Port
		b.Send(track.LAN, s.Frame(&mallory, b.wan[0]))
		wantUp(t, k)
	}
	// A host that moved behind another router is found there.
	b.lan[0].MAC = b.lan[1].MAC
	c.Ack(b.lan[0])
	wantUp(t, k)
}
