package track_test

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

func deny(o *track.Options) { o.Policy.DenyPPTP = true }

// TestDenyEndsCalls: calls that the new policy does not allow end when it
// comes, others go on, and what was denied can be had anew when it is allowed.
func TestDenyEndsCalls(t *testing.T) {
	w := tracktest.New(t)
	other := tracktest.NewHost(track.LAN, "192.0.2.99")
	c := w.Dial(w.Client, w.Server)
	denied, kept := c.OutCall(7, 9), w.Dial(other, w.Server).OutCall(8, 10)
	wantUp(t, denied, kept)
	w.Events()
	only := func(prefix string) func(*track.Options) {
		return func(o *track.Options) { o.Policy.Clients = []netip.Prefix{netip.MustParsePrefix(prefix)} }
	}
	w.Change(only("192.0.2.99/32"))
	ended := eventsOf(w, track.EventCallEnded)
	if len(ended) != 1 || ended[0].Cause != "denied" || ended[0].Call.ID != denied.Number || ended[0].Call.LANToWAN.Packets != 1 {
		t.Errorf("calls ended: %+v", ended)
	}
	wantDown(t, denied)
	wantUp(t, kept)
	wantDrop(t, c.Say(w.Client, tracktest.EchoRequest(1)), track.ReasonPPTPDenied)
	wantDrop(t, c.Say(w.Server, tracktest.EchoRequest(1)), track.ReasonPPTPDenied)
	wantUsed(t, w, "connections", 1)

	w.Change(only("192.0.2.0/24"))
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(2)))
	wantControl(t, c.Say(w.Server, tracktest.EchoReply(2)))
	wantDown(t, denied)
	wantUp(t, c.OutCall(7, 9), kept)
	w.CheckEmpty()
}

// TestChangeClosesEvents: a connection that ends by policy is reported once.
func TestChangeClosesEvents(t *testing.T) {
	w := tracktest.New(t)
	w.Dial(w.Client, w.Server).OutCall(7, 9)
	w.Connect(w.Client, w.Server)
	w.NewConn(w.Client, w.Server).Flags(w.Client, wire.SYN)
	w.Events()
	w.Change(deny)
	happened := map[track.EventKind]int{}
	for _, kind := range w.Kinds() {
		happened[kind]++
	}
	if len(happened) != 2 || happened[track.EventCallEnded] != 1 || happened[track.EventControlClose] != 2 {
		t.Errorf("events %v", happened)
	}
	w.Change(deny)
	wantEvents(t, w)
	wantUsed(t, w, "connections", 0)
	w.CheckEmpty()
}

func TestChangePolicies(t *testing.T) {
	w := tracktest.New(t)
	wantDrop(t, w.GRE(w.Client, w.Server, 5), track.ReasonNotNegotiated)
	w.Change(func(o *track.Options) { o.Policy.AnyGRE = true })
	wantPass(t, w.GRE(w.Client, w.Server, 5), track.ReasonAnyGRE)
	arp := w.Client.Ethernet(w.Server.MAC, 0x88b5, make([]byte, 46))
	wantPass(t, w.Send(track.LAN, arp), track.ReasonOther)
	w.Change(func(o *track.Options) { o.Policy.Other = track.ActDrop })
	wantDrop(t, w.Send(track.LAN, arp), track.ReasonOtherDenied)
	w.Change(func(o *track.Options) { o.Policy = track.DefaultOptions().Policy })
	wantDrop(t, w.GRE(w.Client, w.Server, 5), track.ReasonNotNegotiated)
	wantPass(t, w.Send(track.LAN, arp), track.ReasonOther)
}

// TestLowerLimits: a lower limit refuses what is new, and ends nothing that
// lives.
func TestLowerLimits(t *testing.T) {
	tests := map[string]struct {
		lower func(*track.Limits)
		limit string
	}{
		"calls":                {func(l *track.Limits) { l.Calls = 2 }, "calls"},
		"calls_per_connection": {func(l *track.Limits) { l.CallsPerConnection = 2 }, "calls_per_connection"},
		"calls_per_host":       {func(l *track.Limits) { l.CallsPerHost = 2 }, "calls_per_host"},
		"expectations":         {func(l *track.Limits) { l.Expectations = 1 }, "expectations"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			calls := []*tracktest.Call{c.OutCall(1, 11), c.OutCall(2, 12), c.InCall(3, 13)}
			wantUp(t, calls...)
			w.Change(func(o *track.Options) { test.lower(&o.Limits) })
			w.Events()
			c.Say(w.Client, tracktest.OutRequest(4))
			c.Say(w.Server, tracktest.OutReply(14, 4, okOut))
			wantDrop(t, w.GRE(w.Client, w.Server, 14), track.ReasonNotNegotiated)
			reached := eventsOf(w, track.EventLimitReached)
			if len(reached) == 0 || reached[0].Cause != test.limit {
				t.Errorf("limits reached: %+v, want %s", reached, test.limit)
			}
			w.Advance(2 * time.Minute)
			wantUp(t, calls...)
			w.Change(func(o *track.Options) {
				o.Limits.Calls, o.Limits.CallsPerConnection, o.Limits.CallsPerHost, o.Limits.Expectations = 128, 96, 128, 256
			})
			wantUp(t, c.OutCall(5, 15))
			wantUp(t, calls...)
			w.CheckEmpty()
		})
	}
}

// TestLowerConnections: control beyond the limit passes untracked, what is
// confirmed stays, and a flood still takes no more than its share.
func TestLowerConnections(t *testing.T) {
	w := tracktest.New(t)
	var calls []*tracktest.Call
	for id := range uint16(8) {
		calls = append(calls, w.Dial(w.Client, w.Server).OutCall(id, id))
	}
	wantUp(t, calls...)
	flood := func(n int) {
		for range n {
			w.NewConn(w.Client, w.Server).Flags(w.Client, wire.SYN)
		}
	}
	flood(12)
	wantUsed(t, w, "connections", 20)
	w.Change(func(o *track.Options) { o.Limits.Connections = 12 })
	wantUsed(t, w, "connections", 8+6) // half of 12 may be unconfirmed
	wantPass(t, w.NewConn(w.Client, w.Server).Flags(w.Client, wire.SYN), track.ReasonControlUntracked)
	wantUp(t, calls...)
	w.Change(func(o *track.Options) { o.Limits.Connections = 18 })
	flood(100)
	wantUsed(t, w, "connections", 8+9)
	wantUp(t, calls...)
	w.Dial(w.Client, w.Server)
	w.CheckEmpty()
}

func TestRaiseBeyondTables(t *testing.T) {
	w := tracktest.New(t)
	for key, raise := range map[string]func(*track.Options){
		"limits.connections: 33": func(o *track.Options) { o.Limits.Connections++ },
		"limits.calls: 129":      func(o *track.Options) { o.Limits.Calls++ },
	} {
		err := w.TryChange(func(o *track.Options) { raise(o); deny(o) })
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%v, want %s in it", err, key)
		}
	}
	w.Dial(w.Client, w.Server) // nothing of it came into force
	w.Change(func(o *track.Options) {
		o.Limits.Expectations, o.Limits.Fragments, o.Limits.HoldBytes = 1<<21, 1<<20, 1<<30
		o.Limits.CallsPerConnection, o.Limits.CallsPerHost = 1<<16, 1<<20
	})
	if got := w.Tracker.Usage()["hold_bytes"].Limit; got != 1<<30 {
		t.Errorf("hold_bytes %d", got)
	}
}

// TestChangeHold: the room for split messages follows limits.hold_bytes.
func TestChangeHold(t *testing.T) {
	w := tracktest.New(t)
	half := tracktest.Encode(tracktest.OutRequest(1))[:40]
	open := func() *tracktest.Conn {
		c := w.Dial(w.Client, w.Server)
		c.Write(w.Client, half)
		return c
	}
	first, second := open(), open()
	w.Change(func(o *track.Options) { o.Limits.HoldBytes = 2048 }) // one buffer
	w.Events()
	open()
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "hold_bytes" {
		t.Errorf("limits reached: %+v", reached)
	}
	for _, c := range []*tracktest.Conn{first, second} {
		c.Write(w.Client, tracktest.Encode(tracktest.OutRequest(1))[40:])
		if r := c.Say(w.Server, tracktest.OutReply(9, 1, okOut)); r.Verdict != track.Expect {
			t.Errorf("a message whose start was held: %s", r)
		}
		c.Say(w.Server, tracktest.Disconnect(9))
	}
	w.Change(func(o *track.Options) { o.Limits.HoldBytes = 256 << 10 })
	open()
	open()
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 0 {
		t.Errorf("limits reached: %+v", reached)
	}
	w.CheckEmpty()
}

// TestChangeTimeouts: what waits already goes by the new timeouts, whether they
// are longer or shorter.
func TestChangeTimeouts(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	waiting := c.OutCall(7, 9) // 5 minutes to its first GRE
	asked := func() bool { return len(w.Tracker.Calls()) == 2 }
	c.Say(w.Client, tracktest.OutRequest(8)) // 2 minutes to its answer
	w.Advance(30 * time.Second)
	w.Change(func(o *track.Options) {
		o.Timeouts.PendingCall, o.Timeouts.Expectation = 3*time.Minute, 10*time.Minute
	})
	if got := w.Tracker.Expectations()[0].Expires; !got.Equal(tracktest.Epoch.Add(10 * time.Minute).Std()) {
		t.Errorf("the expectation expires at %s", got)
	}
	w.Advance(2 * time.Minute)
	if !asked() {
		t.Error("a call ended by a timeout that is longer now")
	}
	w.Advance(35 * time.Second)
	if asked() {
		t.Error("a call outlives its timeout")
	}
	w.Advance(5 * time.Minute)
	wantState(t, waiting, track.CallConnected)
	w.Change(func(o *track.Options) { o.Timeouts.Expectation = time.Minute })
	w.Advance(time.Second)
	wantState(t, waiting, track.CallEnded)
	w.Change(func(o *track.Options) { o.Timeouts.TCPEstablished = time.Minute })
	w.Advance(time.Second)
	wantUsed(t, w, "connections", 0)
}

// TestLoweredForOthers: who shares a tracker with somebody who lowers a limit below
// what is in use finds nothing wrong with that.
func TestLoweredForOthers(t *testing.T) {
	w := tracktest.New(t)
	for range 20 {
		w.Dial(w.Client, w.Server)
	}
	other := w.Join()
	w.Change(func(o *track.Options) { o.Limits.Connections = 16 })
	other.Step()
	w.Step()
	wantUsed(t, w, "connections", 20)
}

// TestChangeWhileProcessing changes the options all the time while several
// goroutines play calls: no frame of a call is ever dropped by that, and when a
// pair is denied nothing of it is left, whatever the Lanes were just doing.
func TestChangeWhileProcessing(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	w := tracktest.New(t, func(o *track.Options) {
		o.Limits = track.Limits{
			Connections: 512, Calls: 512, CallsPerConnection: 64, CallsPerHost: 512, Expectations: 1024,
			Fragments: 512, HoldBytes: 4 << 20,
		}
	})
	intruder := w.Join()
	intruder.Client = tracktest.NewHost(track.LAN, "203.0.113.9")
	var players, others sync.WaitGroup
	var over atomic.Bool
	for i := range 2 {
		own := w.Join()
		own.Client = tracktest.NewHost(track.LAN, []string{"192.0.2.1", "192.0.2.2"}[i])
		players.Go(func() { playAlone(t, own, rounds) })
	}
	others.Go(func() {
		var open []*tracktest.Conn // few, so that the tables are never full of them
		for port := uint16(20000); !over.Load(); port++ {
			if open = append(open, playDenied(intruder, port)); len(open) > 16 {
				open[0].Reset(intruder.Client)
				open = open[1:]
			}
		}
	})
	others.Go(func() { changeAll(t, w, &over) })
	players.Wait()
	over.Store(true)
	others.Wait()
}

// playDenied opens a connection and a call, as far as it is let.
func playDenied(w *tracktest.World, port uint16) *tracktest.Conn {
	c := w.NewConn(w.Client, w.Server)
	c.Ends[0].Port = port
	c.Flags(w.Client, wire.SYN)
	c.Flags(w.Server, wire.SYN|wire.ACK)
	c.Ack(w.Client)
	c.Say(w.Client, tracktest.StartRequest())
	c.Say(w.Server, tracktest.StartReply(okStart))
	c.Say(w.Client, tracktest.OutRequest(1))
	c.Say(w.Server, tracktest.OutReply(port, 1, okOut))
	w.GRE(w.Client, w.Server, port)
	w.GRE(w.Server, w.Client, 1)
	w.Events()
	return c
}

// changeAll swaps two sets of options, one of which denies the intruder.
func changeAll(t *testing.T, w *tracktest.World, over *atomic.Bool) {
	for now := tracktest.Epoch; !over.Load(); now++ {
		w.Change(func(o *track.Options) {
			o.Policy.Clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			o.Limits.HoldBytes, o.Limits.Connections, o.Limits.CallsPerHost = 1<<20, 256, 64
			o.Timeouts.PendingCall = time.Hour
		})
		for _, c := range w.Tracker.Calls() {
			if c.PNS.Addr.String() == "203.0.113.9" && c.State != track.CallRequested {
				t.Errorf("a call of a denied pair lives: %+v", c)
			}
		}
		w.Tracker.Tick(now)
		w.Change(func(o *track.Options) {
			o.Policy.Clients = nil
			o.Limits.HoldBytes, o.Limits.Connections, o.Limits.CallsPerHost = 4<<20, 512, 512
			o.Timeouts.PendingCall = time.Minute
		})
		w.Events()
	}
}
