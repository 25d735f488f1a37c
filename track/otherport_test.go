package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// policies are those under which connections from port 1723 are tried: they
// would stop every control connection, or some.
var policies = map[string]func(*track.Options){
	"default": func(*track.Options) {},
	"denied":  func(o *track.Options) { o.Policy.DenyPPTP = true },
	"servers": func(o *track.Options) { o.Policy.Servers = prefixes("203.0.113.0/24") },
}

// fromPort1723 is a connection that a host opens from port 1723 to a web server.
func fromPort1723(w *tracktest.World, byWAN bool) *tracktest.Conn {
	c := w.NewConn(w.Client, w.Server)
	if byWAN {
		c = w.NewConn(w.Server, w.Client)
	}
	c.Ends[0].Port, c.Ends[1].Port = pptp.Port, 443
	return c
}

// webTraffic plays a short connection from its SYN to its end, or from its
// middle on, and returns what became of its segments.
func webTraffic(c *tracktest.Conn, middle bool) (results []tracktest.Result) {
	opener, answerer := c.Ends[0].Host, c.Ends[1].Host
	if middle {
		c.Ends[0].Got, c.Ends[1].Got = c.Ends[1].Next, c.Ends[0].Next
	} else {
		results = append(results, c.Flags(opener, wire.SYN), c.Flags(answerer, wire.SYN|wire.ACK), c.Ack(opener))
	}
	return append(results, c.Write(opener, []byte("\x16\x03\x01 hello")), c.Ack(answerer),
		c.Write(answerer, []byte("\x16\x03\x03 hello, too")), c.Ack(opener), c.Fin(opener), c.Fin(answerer), c.Ack(opener))
}

// TestPort1723AsSourcePort: a connection that is opened from port 1723 to
// another port is no control connection, whatever policy says about those.
func TestPort1723AsSourcePort(t *testing.T) {
	for name, change := range policies {
		for _, middle := range []bool{false, true} {
			for _, byWAN := range []bool{false, true} {
				w := tracktest.New(t, change)
				for i, r := range webTraffic(fromPort1723(w, byWAN), middle) {
					if r.Reason != track.ReasonOther {
						t.Errorf("%s, from its middle %v, opened by the WAN %v: segment %d: %s", name, middle, byWAN, i, r)
					}
				}
				wantUsed(t, w, "connections", 0)
				w.CheckEmpty()
			}
		}
	}
}

// What has such a connection in it that looks like PPTP opens nothing.
func TestMessagesFromPort1723OpenNothing(t *testing.T) {
	w := tracktest.New(t)
	c := fromPort1723(w, false)
	c.Flags(w.Client, wire.SYN)
	c.Flags(w.Server, wire.SYN|wire.ACK)
	wantPass(t, c.Say(w.Client, tracktest.StartReply(okStart)), track.ReasonOther)
	wantPass(t, c.Say(w.Server, tracktest.StartRequest()), track.ReasonOther)
	wantUsed(t, w, "connections", 0)
}

// Where policy stops other traffic it stops this, and from its middle on all
// that has data.
func TestPort1723AsSourcePortDenied(t *testing.T) {
	for _, middle := range []bool{false, true} {
		w := tracktest.New(t, func(o *track.Options) { o.Policy.Other = track.ActDrop })
		for i, r := range webTraffic(fromPort1723(w, false), middle) {
			if r.Reason != track.ReasonOtherDenied {
				t.Errorf("from its middle %v: segment %d: %s", middle, i, r)
			}
		}
	}
}

// A server may dial from its own port 1723, and one end's port may have had
// another connection before.
func TestControlFromPort1723(t *testing.T) {
	w := tracktest.New(t)
	other := fromPort1723(w, true) // the WAN's port 1723 with the client's port 443
	webTraffic(other, false)
	c := w.NewConn(w.Client, w.Server) // and now the other way round
	c.Ends[0].Port = 443
	c.Handshake()
	c.Start(w.Client)
	wantUp(t, c.OutCall(1, 2))

	both := w.NewConn(w.Server, w.Client)
	both.Ends[0].Port = pptp.Port
	both.Handshake()
	both.Start(w.Server)
	wantUp(t, both.OutCall(3, 4))
}

// A flood of connections from port 1723 takes no room from others and leaves
// nothing behind.
func TestFloodFromPort1723(t *testing.T) {
	w := tracktest.New(t, roomy)
	web := fromPort1723(w, false)
	webTraffic(web, false)
	s := tracktest.TCP{SrcPort: pptp.Port, Flags: wire.SYN, Window: 1024}
	flood(t, w, track.WAN, 20*ageing, func(i int) []byte {
		s.DstPort, s.Seq = uint16(2000+i), uint32(i)
		return s.Frame(outsider(), w.Client)
	})
	wantUsed(t, w, "connections", 0)
	wantPass(t, web.Write(w.Client, []byte("still there")), track.ReasonOther)
	w.Advance(w.Options.Timeouts.TCPEstablished + time.Second)
	w.CheckEmpty()
}
