package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// short are timeouts far below the defaults, to tell that they are obeyed.
func short(o *track.Options) {
	o.Timeouts.GREUnreplied, o.Timeouts.GREStream = 10*time.Minute, 5*time.Hour
	o.Timeouts.Expectation = 5 * time.Minute
}

// gre_unreplied and gre_stream count for calls whose control connection is
// silent as long.
func TestScenario067_IdleGRETimeouts(t *testing.T) {
	for _, timeout := range []struct{ unreplied, stream time.Duration }{
		{30 * time.Second, 180 * time.Second}, {600 * time.Second, 18000 * time.Second},
	} {
		configured := func(o *track.Options) {
			o.Timeouts.GREUnreplied, o.Timeouts.GREStream = timeout.unreplied, timeout.stream
		}
		t.Run("unreplied "+timeout.unreplied.String(), func(t *testing.T) {
			w := tracktest.New(t, configured)
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			call.GRE(w.Client)
			w.Advance(timeout.unreplied - 2*time.Second)
			wantState(t, call, track.CallConnected)
			w.Events()
			w.Advance(4 * time.Second)
			wantEnded(t, w, "timeout")
			wantDown(t, call)
		})
		t.Run("stream "+timeout.stream.String(), func(t *testing.T) {
			w := tracktest.New(t, configured)
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			wantUp(t, call)
			w.Advance(timeout.stream - 2*time.Second)
			wantState(t, call, track.CallActive)
			w.Events()
			w.Advance(4 * time.Second)
			wantEnded(t, w, "timeout")
			wantDown(t, call)
		})
	}
}

// GRE one way keeps a call beyond gre_unreplied while it flows.
func TestScenario067_GREKeepsItsCall(t *testing.T) {
	w := tracktest.New(t, short)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	for range 20 {
		wantPass(t, call.GRE(w.Client), track.ReasonCall)
		w.Advance(9 * time.Minute)
	}
	wantState(t, call, track.CallConnected)
}

// Idle GRE never ends a call while its control connection lives.
func TestScenario068_IdleCallWithLiveControl(t *testing.T) {
	w := tracktest.New(t, short)
	c := w.Dial(w.Client, w.Server)
	one, two := c.OutCall(7, 9), c.OutCall(8, 10)
	wantUp(t, one)
	wantPass(t, two.GRE(w.Client), track.ReasonCall)
	keepAlive(c, 24*time.Hour, 5*time.Minute)
	wantState(t, one, track.CallActive)
	wantState(t, two, track.CallConnected)
	wantUp(t, one, two)
}

func TestScenario069_UnusedExpectationExpires(t *testing.T) {
	w := tracktest.New(t, short)
	c := w.Dial(w.Client, w.Server)
	unused, used := c.OutCall(7, 9), c.OutCall(8, 10)
	wantPass(t, used.GRE(w.Server), track.ReasonCall)
	keepAlive(c, 298*time.Second, 149*time.Second)
	wantState(t, unused, track.CallConnected)
	if e := w.Tracker.Expectations(); len(e) != 2 || e[0].Call != unused.Number || e[0].Expires != tracktest.Epoch.Add(300*time.Second).Std() {
		t.Errorf("expectations %+v, want two of call %d, until %v", e, unused.Number, tracktest.Epoch.Add(300*time.Second).Std())
	}
	w.Events()
	w.Advance(3 * time.Second)
	wantEnded(t, w, "timeout")
	wantDown(t, unused)
	wantUsed(t, w, "expectations", 0)
	wantUp(t, used)
}

func TestScenario070_EchoSilenceIsReported(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	wantUp(t, call)
	silences := func() int { return len(eventsOf(w, track.EventControlSilent)) }
	keepAlive(c, 10*time.Minute, time.Minute)
	if n := silences(); n != 0 {
		t.Errorf("reported %d times while echoes were answered", n)
	}
	for lap := range 2 {
		w.Advance(2*time.Minute - 2*time.Second)
		if n := silences(); n != 0 {
			t.Errorf("reported too early, %d times", n)
		}
		w.Advance(10 * time.Minute)
		if n := silences(); n != 1 {
			t.Errorf("reported %d times in silence %d, want once", n, lap)
		}
		wantUp(t, call) // it is no reason to end it
		keepAlive(c, time.Minute, time.Minute)
	}
}

func TestScenario071_HalfOpenConnections(t *testing.T) {
	w := tracktest.New(t)
	for range 5 {
		w.NewConn(w.Client, w.Server).Flags(w.Client, wire.SYN)
	}
	answered := w.NewConn(w.Client, w.Server)
	answered.Flags(w.Client, wire.SYN)
	answered.Flags(w.Server, wire.SYN|wire.ACK)
	wantUsed(t, w, "connections", 6)
	w.Advance(w.Options.Timeouts.TCPSyn - 2*time.Second)
	wantUsed(t, w, "connections", 6)
	w.Advance(4 * time.Second)
	wantUsed(t, w, "connections", 0)
	wantEvents(t, w)
}

// The clock never runs backwards for the tracker, and a jump forward ends what
// is over by then, nothing else.
func TestScenario072_ClockJump(t *testing.T) {
	w := tracktest.New(t, short)
	c := w.Dial(w.Client, w.Server)
	active := c.OutCall(7, 9)
	wantUp(t, active)
	c.Say(w.Client, tracktest.OutRequest(8))
	w.Now -= track.Time(24 * time.Hour)
	w.Step()
	wantUp(t, active)
	wantCalls(t, w, 2)
	wantUp(t, c.OutCall(20, 21))
	w.Now = tracktest.Epoch.Add(time.Hour)
	w.Step()
	wantState(t, active, track.CallActive)
	wantCalls(t, w, 2)
	wantUp(t, active)
}

// An established control connection that is silent for tcp_established is
// given up, and its calls with it.
func TestScenario072_SilentConnectionIsGivenUp(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantUp(t, call)
	w.Now = w.Now.Add(w.Options.Timeouts.TCPEstablished + time.Second)
	w.Step()
	wantDown(t, call)
	wantUsed(t, w, "connections", 0)
}

// Teardown.

// The call's GRE passes until the PAC confirms.
func TestScenario073_ClearThenDisconnect(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantUp(t, call)
	wantControl(t, call.Clear())
	wantState(t, call, track.CallClearing)
	wantUp(t, call)
	wantControl(t, call.Clear())
	w.Events()
	wantControl(t, call.Disconnect())
	wantEnded(t, w, "call-disconnect-notify")
	wantDown(t, call)
	wantUsed(t, w, "calls", 0)
}

// A call that is cleared before it is agreed is not opened by a reply that
// crossed the request.
func TestScenario073_ClearBeforeReply(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	wantControl(t, c.Say(w.Client, tracktest.ClearRequest(7)))
	wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(7)))
	wantCalls(t, w, 0)
	wantUp(t, c.OutCall(7, 9))
}

// A Call-Disconnect-Notify names a call of its own connection: by its sender's id
// first, by the other end's else. Either role may send it.
func TestScenario074_DisconnectByID(t *testing.T) {
	w := tracktest.New(t)
	c, other := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
	one, two, three := c.OutCall(7, 9), c.OutCall(9, 7), c.OutCall(11, 12)
	foreign := other.OutCall(13, 14)
	wantUp(t, one, two, three, foreign)
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 2, func() {
		wantControl(t, c.Say(w.Server, tracktest.Disconnect(99))) // nobody's
		wantControl(t, c.Say(w.Server, tracktest.Disconnect(14))) // the other connection's
	})
	wantUp(t, one, two, three, foreign)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(7))) // PAC id of two, PNS id of one
	wantDown(t, two)
	wantUp(t, one, three)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(11))) // PNS id of three
	wantDown(t, three)
	wantUp(t, one, foreign)
	wantControl(t, c.Say(w.Client, tracktest.Disconnect(7))) // PNS id of one, from the PNS
	wantDown(t, one)
	wantControl(t, other.Say(w.Client, tracktest.Disconnect(14))) // from the PNS by the PAC's id
	wantDown(t, foreign)
}

func TestScenario075_StopEndsAllCalls(t *testing.T) {
	for _, side := range []track.Side{track.LAN, track.WAN} {
		t.Run(side.String(), func(t *testing.T) {
			w := tracktest.New(t)
			c, other := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
			stopper, stopped := w.Client, w.Server
			if side == track.WAN {
				stopper, stopped = stopped, stopper
			}
			out, in, live := c.OutCall(7, 9), c.InCall(8, 10), other.OutCall(11, 12)
			c.Say(w.Client, tracktest.OutRequest(20))
			w.Events()
			wantControl(t, c.Say(stopper, tracktest.StopRequest()))
			wantEvents(t, w, track.EventCallEnded, track.EventCallEnded, track.EventCallEnded)
			wantDown(t, out, in)
			wantUp(t, live)
			wantCounted(t, w, track.AnomalyIllegalMessage, 1, func() {
				wantControl(t, c.Say(w.Client, tracktest.OutRequest(21)))
			})
			wantControl(t, c.Say(stopped, tracktest.StopReply()))
			c.Start(w.Client) // a new session on the same connection
			wantUp(t, c.OutCall(7, 9), live)
		})
	}
}

func TestScenario076_ClosingTCP(t *testing.T) {
	t.Run("both ends sent FIN", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		call := c.OutCall(7, 9)
		wantControl(t, c.Fin(w.Client))
		wantUp(t, call)
		wantControl(t, c.Ack(w.Server))
		w.Events()
		wantControl(t, c.Fin(w.Server))
		wantEvents(t, w, track.EventCallEnded, track.EventControlClose)
		wantDown(t, call)
		wantControl(t, c.Ack(w.Client))
		w.Advance(w.Options.Timeouts.TCPClosing + time.Second)
		wantUsed(t, w, "connections", 0)
	})
	t.Run("reset in window", func(t *testing.T) {
		for _, from := range []track.Side{track.LAN, track.WAN} {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			call := c.OutCall(7, 9)
			w.Events()
			wantControl(t, c.Reset(c.Ends[from].Host))
			wantEvents(t, w, track.EventCallEnded, track.EventControlClose)
			wantDown(t, call)
		}
	})
	t.Run("reset out of window", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		call := c.OutCall(7, 9)
		for _, from := range []*tracktest.Host{w.Client, w.Server} {
			next := c.End(from).Next
			for _, off := range []int{1 << 31, 1 << 20, 70000, -70000, -1 << 20, -1000} {
				reset := c.Segment(from, next+uint32(off), wire.RST, nil).Frame(from, c.Peer(from).Host)
				wantPass(t, w.Send(from.Side, reset), track.ReasonControlOutOfWindow)
			}
		}
		wantUp(t, call)
	})
}

func TestScenario077_GREAfterTeardown(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantUp(t, call)
	call.Disconnect()
	w.Events()
	wantDown(t, call)
	dropped := eventsOf(w, track.EventFrameDropped)
	if len(dropped) != 2 || dropped[0].Frame.Reason != track.ReasonNotNegotiated || *dropped[0].Frame.CallID != 9 {
		t.Errorf("drops reported: %+v, want two, the first with call ID 9", dropped)
	}
}

func TestScenario078_LateReplyDoesNotRevive(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	at, reply := c.End(w.Server).Next, tracktest.Encode(tracktest.OutReply(9, 7, okOut))
	want(t, c.At(w.Server, at, reply), track.Expect, track.ReasonControl)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(9)))
	wantControl(t, c.At(w.Server, at, reply)) // retransmitted
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Write(w.Server, reply)) // said again
	})
	wantCalls(t, w, 0)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	c.Close()
	c.At(w.Server, at, reply)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
}

// A new connection between the same ports follows at once.
func TestScenario079_PortsUsedAgain(t *testing.T) {
	ends := map[string]func(c *tracktest.Conn){
		"after FIN":      func(c *tracktest.Conn) { c.Close() },
		"after RST":      func(c *tracktest.Conn) { c.Reset(c.Ends[0].Host) },
		"without an end": func(*tracktest.Conn) {},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			old := c.OutCall(7, 9)
			end(c)
			again := w.NewConn(w.Client, w.Server)
			again.Ends[0].Port = c.Ends[0].Port
			for i := range again.Ends {
				again.Ends[i].Next += 3_000_000
			}
			again.Handshake()
			again.Start(w.Client)
			wantDown(t, old)
			wantUp(t, again.OutCall(7, 9))
			wantUsed(t, w, "connections", 1)
			wantUsed(t, w, "calls", 1)
		})
	}
}

// scaling is the TCP option of RFC 7323 that nearly every system sends.
var scaling = []byte{3, 3, 7, 1}

// A new connection that takes the place of one without an end has its own
// window scale: 502 stands for 64 256 octets.
func TestScenario079_PortsUsedAgainWithScaledWindows(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	open := func() {
		t.Helper()
		for i, flags := range []uint8{wire.SYN, wire.SYN | wire.ACK} {
			from := c.Ends[i].Host
			s := c.Segment(from, c.End(from).Next, flags, nil)
			s.Options, s.Window = scaling, 64240
			wantControl(t, c.Transmit(from, s))
			c.End(from).Window = 502
		}
		wantControl(t, c.Ack(w.Client))
		c.Start(w.Client)
	}
	burst := func() {
		t.Helper()
		for id := range uint16(10) { // 1680 octets in flight
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(id)))
		}
		wantCalls(t, w, 10)
	}
	open()
	burst()
	for i := range c.Ends {
		c.Ends[i].Next += 3_000_000
	}
	open()
	wantCalls(t, w, 0)
	for range 600 { // more than the SYN's window, which is never scaled
		wantControl(t, c.Say(w.Client, tracktest.OutRequest(1)))
		wantControl(t, c.Ack(w.Server))
	}
	c.Say(w.Server, tracktest.OutReply(1, 1, pptp.OutCallResultBusy))
	burst()
}

// A SYN on an open connection ends nothing until the other end agrees to it.
func TestScenario079_SYNAloneEndsNothing(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	c.World.Send(track.LAN, c.Segment(w.Client, 77, wire.SYN, nil).Frame(w.Client, w.Server))
	wantUp(t, call)
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
	wantUp(t, c.OutCall(8, 10))
}

// The new connection's first segment is sent again though what it says was
// acknowledged, because the acknowledgment was lost behind the box; or the client asks
// whether its peer is there.
func TestScenario079_PortsUsedAgainAndOldOctetsSentAgain(t *testing.T) {
	start := tracktest.Encode(tracktest.StartRequest())
	for name, old := range map[string][]byte{"retransmission": start, "keep-alive": nil} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			call := c.OutCall(6, 8)
			for i := range c.Ends {
				c.Ends[i].Next += 3_000_000
			}
			c.Handshake()
			first := c.End(w.Client).Next
			wantControl(t, c.Write(w.Client, start))
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
			wantControl(t, c.Ack(w.Server))
			wantControl(t, c.Transmit(w.Client, c.Segment(w.Client, first, wire.ACK, old)))
			wantControl(t, c.Say(w.Server, tracktest.StartReply(pptp.StartResultOK)))
			wantDown(t, call)
			want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
			wantUsed(t, w, "connections", 1)
		})
	}
}

func TestScenario080_NoLeaks(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 5_000
	}
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	for i := range rounds {
		if i%50 == 0 { // a connection is good for some calls
			c.Close()
			c = w.Dial(w.Client, w.Server)
			w.Advance(w.Options.Timeouts.TCPClosing + time.Second)
		}
		k := c.OutCall(uint16(i), uint16(i*7))
		if !k.Both() {
			t.Fatalf("call %d carries no GRE", i)
		}
		switch i % 4 {
		case 0:
			k.Clear()
			k.Disconnect()
		case 1:
			k.Disconnect()
		case 2:
			c.Say(w.Server, tracktest.Disconnect(k.PNSID))
		}
		w.Events()
	}
	w.CheckEmpty()
	hosts, keys := w.Tracker.TableSizes()
	if hosts != 0 || keys != 0 {
		t.Errorf("%d hosts and %d keys left over", hosts, keys)
	}
}
