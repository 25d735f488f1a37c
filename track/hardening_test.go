package track_test

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// The files hardening_*test.go hold one test per attack on the tracker's state
// by somebody who cannot see the connections, named after what must hold.

// ageing is how many unconfirmed connections, and how many closed ones, the
// World of roomy may have.
const ageing = 128

// roomy makes room for a flood and for others beside it.
func roomy(o *track.Options) { o.Limits.Connections = 8 * ageing }

// outsider stands on the WAN and forges.
func outsider() *tracktest.Host { return tracktest.NewHost(track.WAN, "203.0.113.9") }

// wantWorks fails the test unless a call opens on c and carries GRE.
func wantWorks(t *testing.T, c *tracktest.Conn) {
	t.Helper()
	wantUp(t, c.OutCall(7, 9))
}

// begin opens the control connection c.
func begin(c *tracktest.Conn) {
	c.Handshake()
	c.Start(c.Ends[0].Host)
}

// misplacement is somewhere that nothing of a connection of w.Client to
// w.Server may come from.
type misplacement struct {
	name   string
	side   track.Side
	tagged bool
	reason track.Reason
}

var misplacements = []misplacement{
	{"wrong port", track.WAN, false, track.ReasonWrongSide},
	{"another VLAN", track.LAN, true, track.ReasonWrongZone},
	{"wrong port and another VLAN", track.WAN, true, track.ReasonWrongZone},
}

// forge sends a segment of c's client from there.
func (m misplacement) forge(c *tracktest.Conn, flags uint8, data []byte) tracktest.Result {
	client, server := c.Ends[0].Host, c.Ends[1].Host
	from := client
	if m.tagged {
		from = client.Tagged(tracktest.Tag{TPID: tracktest.TypeVLAN, TCI: 66})
	}
	return c.World.Send(m.side, c.Segment(client, 77, flags, data).Frame(from, server))
}

func forgeries() map[string]struct {
	flags uint8
	data  []byte
} {
	return map[string]struct {
		flags uint8
		data  []byte
	}{"SYN": {wire.SYN, nil}, "data": {wire.ACK, tracktest.Encode(tracktest.EchoRequest(1))}}
}

func TestMisplacedForgeryBlocksNoConnection(t *testing.T) {
	for _, m := range misplacements {
		for name, f := range forgeries() {
			t.Run(name+" from the "+m.name, func(t *testing.T) {
				w := tracktest.New(t)
				c := w.NewConn(w.Client, w.Server)
				m.forge(c, f.flags, f.data)
				begin(c)
				wantWorks(t, c)

				picked := established(w)
				m.forge(picked, f.flags, f.data)
				wantControl(t, picked.Say(w.Client, tracktest.EchoRequest(1)))
				m.forge(picked, f.flags, f.data)
				wantControl(t, picked.Say(w.Server, tracktest.EchoReply(1)))
				wantUp(t, picked.OutCall(8, 10))
			})
		}
	}
}

func TestConfirmedConnectionMakesOthersMisplaced(t *testing.T) {
	for _, m := range misplacements {
		t.Run(m.name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			wantDrop(t, m.forge(c, wire.ACK, []byte{0}), m.reason)
			picked := established(w)
			picked.Say(w.Client, tracktest.EchoRequest(1))
			picked.Say(w.Server, tracktest.EchoReply(1))
			wantDrop(t, m.forge(picked, wire.ACK, []byte{0}), m.reason)
			wantUsed(t, w, "connections", 2)
		})
	}
}

// What came before the connection makes no way for what comes behind it.
func TestEarlierForgeryDoesNotKeepItsPlace(t *testing.T) {
	for _, m := range misplacements {
		t.Run(m.name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.NewConn(w.Client, w.Server)
			m.forge(c, wire.ACK, []byte{0})
			begin(c)
			wantDrop(t, m.forge(c, wire.ACK, []byte{0}), m.reason)
			wantWorks(t, c)
		})
	}
}

// A SYN from where the server is, forged before the client's, looks as if both
// ends opened at once (RFC 9293, section 3.5): the server's answer, which
// acknowledges the client's, tells that they did not.
func TestForgedSYNOfTheServerBlocksNoConnection(t *testing.T) {
	for name, before := range map[string]bool{"before the client's": true, "behind the client's": false} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.NewConn(w.Client, w.Server)
			forge := func() { w.Send(track.WAN, c.Segment(w.Server, 77, wire.SYN, nil).Frame(w.Server, w.Client)) }
			if before {
				forge()
			}
			wantControl(t, c.Flags(w.Client, wire.SYN))
			if !before {
				forge()
			}
			wantControl(t, c.Flags(w.Server, wire.SYN|wire.ACK))
			wantControl(t, c.Ack(w.Client))
			wantControl(t, c.Say(w.Client, tracktest.StartRequest()))
			wantControl(t, c.Say(w.Server, tracktest.StartReply(okStart)))
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
			want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
		})
	}
}

func TestUnsolicitedAnswerMakesNoState(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	wantControl(t, w.Send(track.WAN, c.Segment(w.Server, 99, wire.SYN|wire.ACK, nil).Frame(w.Server, w.Client)))
	wantUsed(t, w, "connections", 0)
	begin(c)
	wantWorks(t, c)
}

// stray sends a request of a connection that nobody has, from the WAN.
func stray(w *tracktest.World) *tracktest.Conn {
	c := w.NewConn(w.Client, w.Server)
	c.End(w.Server).Got = 4242
	s := c.Segment(w.Server, 99, wire.ACK, tracktest.Encode(tracktest.OutRequest(1)))
	w.Send(track.WAN, s.Frame(w.Server, w.Client))
	return c
}

func TestStraySegmentIsSoonForgotten(t *testing.T) {
	w := tracktest.New(t)
	stray(w)
	w.Advance(w.Options.Timeouts.TCPSyn - time.Second)
	wantUsed(t, w, "connections", 1)
	w.Advance(2 * time.Second)
	wantUsed(t, w, "connections", 0)
}

// The host that gets it answers by RFC 9293, section 3.10.7.1: with a reset
// that has no ACK, at the octet that was acknowledged.
func TestResetOfItsReceiverEndsAStraySegment(t *testing.T) {
	w := tracktest.New(t)
	c := stray(w)
	wantCalls(t, w, 1)
	wantPass(t, w.Send(track.LAN, c.Segment(w.Client, 4241, wire.RST, nil).Frame(w.Client, w.Server)), track.ReasonControlOutOfWindow)
	wantCalls(t, w, 1)
	w.Events()
	wantControl(t, w.Send(track.LAN, c.Segment(w.Client, 4242, wire.RST, nil).Frame(w.Client, w.Server)))
	wantCalls(t, w, 0)
	wantEnded(t, w, "reset")
}

// floodOf sends n forged segments of as many connections.
func floodOf(t *testing.T, w *tracktest.World, n int, flags uint8, data []byte) {
	t.Helper()
	s := tracktest.TCP{DstPort: pptp.Port, Flags: flags, Data: data, Window: 1024}
	flood(t, w, track.WAN, n, func(i int) []byte {
		s.SrcPort, s.Seq = uint16(i), uint32(i)
		return s.Frame(outsider(), w.Client)
	})
}

func TestUnconfirmedConnectionsTakeAnEighthOfTheTable(t *testing.T) {
	for name, f := range forgeries() {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, roomy)
			live := w.Dial(w.Client, w.Server).OutCall(1, 11)
			floodOf(t, w, 20*ageing, f.flags, f.data)
			wantUsed(t, w, "connections", ageing+1)

			c := w.NewConn(w.Client, w.Server)
			wantControl(t, c.Flags(w.Client, wire.SYN))
			floodOf(t, w, ageing/4, f.flags, f.data)
			wantControl(t, c.Flags(w.Server, wire.SYN|wire.ACK))
			floodOf(t, w, ageing/4, f.flags, f.data)
			wantControl(t, c.Ack(w.Client))
			floodOf(t, w, 20*ageing, f.flags, f.data)
			c.Start(w.Client)
			wantWorks(t, c)
			wantUp(t, live)
			w.Advance(2 * w.Options.Timeouts.TCPSyn)
			wantUsed(t, w, "connections", 2)
			w.CheckEmpty()
			if n := w.Tracker.ControlKeys(); n != 0 {
				t.Errorf("%d keys of connections left over", n)
			}
		})
	}
}

func TestClosedConnectionsTakeAnEighthOfTheTable(t *testing.T) {
	w := tracktest.New(t, roomy)
	live := w.Dial(w.Client, w.Server).OutCall(1, 11)
	for range 10 * ageing {
		w.Connect(w.Client, w.Server).Close()
	}
	wantUsed(t, w, "connections", ageing+1)
	wantWorks(t, w.Dial(w.Client, w.Server))
	wantUp(t, live)
}

func TestPoisonedPickUpRecovers(t *testing.T) {
	poison := func(c *tracktest.Conn, from *tracktest.Host) {
		s := c.Segment(from, 0xdead0000, wire.ACK, []byte{0})
		s.Ack = 0xbeef0000
		c.World.Send(from.Side, s.Frame(from, c.Peer(from).Host))
	}
	for name, forger := range map[string]func(w *tracktest.World) *tracktest.Host{
		"as the server": func(w *tracktest.World) *tracktest.Host { return w.Server },
		"as the client": func(w *tracktest.World) *tracktest.Host { return w.Client },
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := established(w)
			for range 2 {
				poison(c, forger(w))
				wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
			}
			wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
			poison(c, forger(w)) // too late
			wantWorks(t, c)
		})
	}
	t.Run("the first real segment asks", func(t *testing.T) {
		w := tracktest.New(t)
		c := established(w)
		poison(c, w.Server)
		wantWorks(t, c)
	})
}

// spoofRequests has n outsiders ask w.Client for 8 calls each, out of the
// middle of connections that are none.
func spoofRequests(w *tracktest.World, n int) {
	for i := range n {
		var asked []pptp.Message
		for j := range 8 {
			asked = append(asked, tracktest.OutRequest(uint16(8*i+j)))
		}
		s := w.NewConn(w.Client, outsider()).Segment(w.Client, 99, wire.ACK, tracktest.Encode(asked...))
		s.SrcPort, s.DstPort = pptp.Port, uint16(1000+i)
		w.Send(track.WAN, s.Frame(outsider(), w.Client))
	}
}

func TestSpoofedRequestsTakeHalfOfTheCalls(t *testing.T) {
	w := tracktest.New(t, func(o *track.Options) { o.Limits.Connections = 1024 }) // room for all that are spoofed
	spoofRequests(w, 20)
	wantUsed(t, w, "calls", w.Options.Limits.Calls/2)
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "calls" {
		t.Errorf("limits reached: %+v, want calls once", reached)
	}
	wantWorks(t, w.Dial(w.Client, w.Server))
}

// Those calls count for a host that has asked for none of them.
func TestSpoofedRequestsLeaveAHostItsCalls(t *testing.T) {
	w := tracktest.New(t, func(o *track.Options) { o.Limits.CallsPerHost = o.Limits.Calls / 4 })
	spoofRequests(w, 20)
	c := w.Dial(w.Client, w.Server)
	wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
}

// Where half of what a host may have is nothing, a spoofed request leaves
// nothing of the host behind either.
func TestSpoofedRequestsLeaveNoHosts(t *testing.T) {
	w := tracktest.New(t, func(o *track.Options) { o.Limits.CallsPerHost = 1 })
	s := tracktest.TCP{SrcPort: 1000, DstPort: pptp.Port, Flags: wire.ACK, Window: 1024, Data: tracktest.Encode(tracktest.OutRequest(5))}
	for i := range 2 * (w.Options.Limits.Calls + w.Options.Limits.Connections) {
		client := tracktest.NewHost(track.LAN, "10.0.0.1")
		client.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		w.Send(track.LAN, s.Frame(client, w.Server))
	}
	wantUp(t, w.Dial(w.Client, w.Server).OutCall(7, 9))
}

// scaled opens a connection whose windows are scaled by 7.
func scaled(w *tracktest.World) *tracktest.Conn {
	c := w.NewConn(w.Client, w.Server)
	for i, flags := range []uint8{wire.SYN, wire.SYN | wire.ACK} {
		s := c.Segment(c.Ends[i].Host, c.Ends[i].Next, flags, nil)
		s.Options = []byte{3, 3, 7, 1}
		c.Transmit(c.Ends[i].Host, s)
	}
	c.Ack(w.Client)
	c.Start(w.Client)
	return c
}

func TestResetCountsAtTheExpectedOctetAlone(t *testing.T) {
	offsets := []int{-70000, -168, -1, 1, 168, 1000, 64240, 65535, 8_000_000, 1 << 30, math.MinInt32}
	for name, dial := range map[string]func(w *tracktest.World) *tracktest.Conn{
		"windows as they are": func(w *tracktest.World) *tracktest.Conn { return w.Dial(w.Client, w.Server) },
		"windows scaled":      scaled,
	} {
		for kind, flags := range map[string]uint8{"RST": wire.RST, "RST,ACK": wire.RST | wire.ACK} {
			t.Run(kind+", "+name, func(t *testing.T) {
				w := tracktest.New(t)
				c := dial(w)
				call := c.OutCall(7, 9)
				c.Ack(w.Client)
				for _, from := range []*tracktest.Host{w.Client, w.Server} {
					for _, off := range offsets {
						s := c.Segment(from, c.End(from).Next+uint32(off), flags, nil)
						wantPass(t, w.Send(from.Side, s.Frame(from, c.Peer(from).Host)), track.ReasonControlOutOfWindow)
					}
				}
				wantUp(t, call)
				wantControl(t, c.Flags(w.Server, flags))
				wantDown(t, call)
			})
		}
	}
}

func TestRepeatedAnswerIsPlainControl(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	s := c.Segment(w.Server, c.End(w.Server).First, wire.SYN|wire.ACK, nil)
	s.Ack = c.End(w.Client).First + 1
	wantControl(t, w.Send(track.WAN, s.Frame(w.Server, w.Client)))
	wantUp(t, call)
}

func TestDialledAgainAfterAnAbort(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	c.Say(w.Client, tracktest.ClearRequest(7))
	again := c.OutCall(7, 9)
	wantEnded(t, w, "replaced")
	wantUp(t, again)
	wantState(t, again, track.CallActive)
	wantCalls(t, w, 1)
}

// An acknowledgment of octets that nobody saw does not tell that the ends have
// agreed to speak PPTP.
func TestMissedOctetsDoNotWaiveTheSession(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	c.At(w.Client, c.End(w.Client).Next+3000, []byte{1})
	c.End(w.Server).Got = c.End(w.Client).Next
	wantCounted(t, w, track.AnomalyMissedOctets, 1, func() { c.Ack(w.Server) })
	wantCounted(t, w, track.AnomalyIllegalMessage, 2, func() {
		wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	})
	wantCalls(t, w, 0)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
}

func TestStopEndsWhatAPickUpWaives(t *testing.T) {
	w := tracktest.New(t)
	c := established(w)
	wantWorks(t, c)
	c.Say(w.Client, tracktest.StopRequest())
	ask := func() tracktest.Result {
		c.Say(w.Client, tracktest.OutRequest(8))
		return c.Say(w.Server, tracktest.OutReply(10, 8, okOut))
	}
	wantControl(t, ask())
	c.Say(w.Server, tracktest.StopReply())
	wantControl(t, ask())
	wantCalls(t, w, 0)
	c.Say(w.Client, tracktest.StartRequest())
	wantControl(t, ask()) // it waits for the answer to the start
	c.Say(w.Server, tracktest.StartReply(okStart))
	want(t, ask(), track.Expect, track.ReasonControl)
}

func TestPickedUpConnectionTellsWhenItOpensAndCloses(t *testing.T) {
	w := tracktest.New(t)
	c := established(w)
	c.Say(w.Client, tracktest.EchoRequest(1))
	wantEvents(t, w)
	c.Say(w.Server, tracktest.EchoReply(1))
	c.Say(w.Client, tracktest.EchoRequest(2))
	if opened := w.Events(); len(opened) != 1 || opened[0].Kind != track.EventControlOpen || opened[0].Cause != "picked-up" {
		t.Errorf("events %+v, want control-open, by picked-up", opened)
	}
	c.Close()
	if closed := w.Events(); len(closed) != 1 || closed[0].Kind != track.EventControlClose || closed[0].Cause != "fin" {
		t.Errorf("events %+v, want control-close, by fin", closed)
	}
}
