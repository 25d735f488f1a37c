package track_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// restart saves, lets time pass, and goes on with a new tracker.
func restart(t *testing.T, w *tracktest.World, elapsed time.Duration) {
	t.Helper()
	saved, before := w.Save(), w.Tracker.Calls()
	w.Now = w.Now.Add(elapsed)
	got := w.Restart(saved, elapsed)
	if got.Calls != len(before) || got.LeftOut != 0 {
		t.Errorf("restored %+v of %d calls", got, len(before))
	}
}

// fourCalls are calls in every state, on a connection.
func fourCalls(t *testing.T, w *tracktest.World) (c *tracktest.Conn, up []*tracktest.Call) {
	t.Helper()
	c = w.Dial(w.Client, w.Server)
	up = []*tracktest.Call{c.OutCall(1, 11), c.InCall(2, 12), c.OutCallBy(w.Server, 3, 13), c.OutCall(4, 14)}
	wantUp(t, up[:3]...)
	up[2].Clear()
	c.Say(w.Client, tracktest.OutRequest(5))
	c.Say(w.Server, tracktest.InRequest(16))
	c.Say(w.Client, tracktest.InReply(6, 16, okIn))
	return c, up
}

// TestRestoreEqual: after a restart everything is listed as before.
func TestRestoreEqual(t *testing.T) {
	for name, tagged := range map[string]bool{"untagged": false, "in a zone": true} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			if tagged {
				tag := tracktest.Tag{TPID: tracktest.TypeVLAN, TCI: 100}
				w.Client, w.Server = w.Client.Tagged(tag), w.Server.Tagged(tag)
			}
			_, up := fourCalls(t, w)
			six := tracktest.NewHost(track.LAN, "2001:db8::10")
			wantUp(t, w.Dial(six, tracktest.NewHost(track.WAN, "2001:db8::1")).OutCall(1, 11))
			for range 3 { // gaps in the sequence, and a late packet
				late := up[0].Packet(w.Client, 40)
				up[0].GRE(w.Client)
				w.Send(track.LAN, late.Frame(w.Client, w.Server))
				up[0].Packet(w.Client, 40)
			}
			w.Advance(time.Second)
			calls, expectations, used := w.Tracker.Calls(), w.Tracker.Expectations(), w.Tracker.Usage()
			hosts, keys := w.Tracker.TableSizes()
			saved := w.Save()
			restart(t, w, 0)
			if diff := diffOf(calls, w.Tracker.Calls()); diff != "" {
				t.Errorf("calls (-before +after):\n%s", diff)
			}
			if diff := diffOf(expectations, w.Tracker.Expectations()); diff != "" {
				t.Errorf("expectations (-before +after):\n%s", diff)
			}
			if diff := diffOf(used, w.Tracker.Usage()); diff != "" {
				t.Errorf("usage (-before +after):\n%s", diff)
			}
			if h, k := w.Tracker.TableSizes(); h != hosts || k != keys {
				t.Errorf("%d hosts and %d keys, want %d and %d", h, k, hosts, keys)
			}
			sortSaved(saved)
			again := w.Save()
			sortSaved(again)
			if diff := diffOf(saved, again); diff != "" {
				t.Errorf("saved once more (-before +after):\n%s", diff)
			}
			w.CheckEmpty()
			if h, k := w.Tracker.TableSizes(); h != 0 || k != 0 {
				t.Errorf("%d hosts and %d keys left over", h, k)
			}
		})
	}
}

// sortSaved leaves the connections in a stable order; their calls are left alone.
func sortSaved(s *track.Saved) {
	if len(s.Connections) == 2 && s.Connections[0].LANPort > s.Connections[1].LANPort {
		n := s.Connections[0].Calls
		s.Connections[0], s.Connections[1] = s.Connections[1], s.Connections[0]
		s.Calls = append(s.Calls[n:len(s.Calls):len(s.Calls)], s.Calls[:n]...)
	}
}

// TestRestoreGoesOn: with nothing missed, a restart changes nothing for anybody.
func TestRestoreGoesOn(t *testing.T) {
	for _, first := range []string{"client", "server"} {
		t.Run(first+" speaks first", func(t *testing.T) {
			w := tracktest.New(t)
			c, up := fourCalls(t, w)
			last := up[3].Number
			w.Events()
			restart(t, w, 5*time.Second)
			wantEvents(t, w)
			wantUp(t, up[:3]...)
			wantEvents(t, w)
			wantUp(t, up[3])
			wantEvents(t, w, track.EventCallActive)
			if first == "client" {
				wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
				wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
			} else {
				wantControl(t, c.Say(w.Server, tracktest.EchoRequest(1)))
				wantControl(t, c.Ack(w.Client))
			}
			opened := w.Events()
			if len(opened) != 1 || opened[0].Kind != track.EventControlOpen || opened[0].Cause != "restored" {
				t.Errorf("events %+v", opened)
			}
			if r := c.Say(w.Server, tracktest.OutReply(15, 5, okOut)); r.Verdict != track.Expect {
				t.Errorf("the reply to a request of before: %s", r)
			}
			if r := c.Say(w.Server, tracktest.InConnected(6)); r.Verdict != track.Expect {
				t.Errorf("the end of an agreement of before: %s", r)
			}
			up[2].Disconnect()
			wantDown(t, up[2])
			call := c.OutCall(7, 17)
			wantUp(t, call)
			if call.Number <= last {
				t.Errorf("a new call has number %d, one of before had %d", call.Number, last)
			}
			up[0].Disconnect()
			wantDown(t, up[0])
			c.Fin(w.Client)
			c.Fin(w.Server)
			wantDown(t, up[1], call)
			w.CheckEmpty()
		})
	}
}

// TestRestoreMissed: segments crossed while the box was away. The ends are
// believed once they agree, and meanwhile GRE goes on.
func TestRestoreMissed(t *testing.T) {
	tests := map[string]func(t *testing.T, w *tracktest.World, c *tracktest.Conn){
		"an echo by the client": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			wantPass(t, c.Say(w.Client, tracktest.EchoRequest(9)), track.ReasonControlOutOfWindow)
			wantControl(t, c.Say(w.Server, tracktest.EchoReply(9)))
		},
		"an echo by the server": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			wantPass(t, c.Say(w.Server, tracktest.EchoRequest(9)), track.ReasonControlOutOfWindow)
			wantControl(t, c.Ack(w.Client))
		},
		"keep-alive": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			wantPass(t, c.Transmit(w.Client, c.Segment(w.Client, c.End(w.Client).Next-1, wire.ACK, nil)), track.ReasonControlOutOfWindow)
			wantPass(t, c.Ack(w.Server), track.ReasonControlOutOfWindow) // acknowledges more than the probe told of
			wantControl(t, c.Say(w.Client, tracktest.EchoRequest(9)))
		},
		"a call": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			wantPass(t, c.Say(w.Client, tracktest.OutRequest(8)), track.ReasonControlOutOfWindow)
			want(t, c.Say(w.Server, tracktest.OutReply(18, 8, okOut)), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 18), track.ReasonCall)
		},
		"a call in two segments": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			c.SayCut(w.Client, []int{100}, tracktest.OutRequest(8))
			want(t, c.Say(w.Server, tracktest.OutReply(18, 8, okOut)), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 18), track.ReasonCall)
		},
		"the end of a call": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			wantPass(t, c.Say(w.Server, tracktest.Disconnect(14)), track.ReasonControlOutOfWindow)
			wantControl(t, c.Ack(w.Client))
			wantDrop(t, w.GRE(w.Client, w.Server, 14), track.ReasonNotNegotiated)
		},
		"lost and sent again": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			at := c.End(w.Client).Next
			c.Say(w.Client, tracktest.EchoRequest(9))
			wantPass(t, c.At(w.Client, at, tracktest.Encode(tracktest.EchoRequest(9))), track.ReasonControlOutOfWindow)
			wantControl(t, c.Ack(w.Server))
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c, up := fourCalls(t, w)
			saved := w.Save()
			w.Away = true
			for range 3 {
				c.Say(w.Client, tracktest.EchoRequest(1))
				c.Say(w.Server, tracktest.EchoReply(1))
			}
			c.Say(w.Server, tracktest.EchoRequest(2))
			c.Say(w.Client, tracktest.EchoReply(2))
			w.Away = false
			w.Restart(saved, 0)
			w.Events()
			wantUp(t, up[:3]...)
			act(t, w, c)
			wantUp(t, up[:3]...)
			call := c.OutCall(21, 31)
			wantUp(t, call)
			up[0].Disconnect()
			wantDown(t, up[0])
			if opened := eventsOf(w, track.EventControlOpen); len(opened) != 1 || opened[0].Cause != "restored" {
				t.Errorf("opened %+v", opened)
			}
			c.Reset(w.Server)
			wantDown(t, up[1], call)
			w.CheckEmpty()
		})
	}
}

// TestRestoreMissedOneWay: only one end has said something meanwhile.
func TestRestoreMissedOneWay(t *testing.T) {
	w := tracktest.New(t)
	c, up := fourCalls(t, w)
	saved := w.Save()
	w.Away = true
	c.Say(w.Client, tracktest.LinkInfo(11))
	c.Ack(w.Server)
	w.Away = false
	w.Now = w.Now.Add(time.Second)
	w.Restart(saved, time.Second)
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
	wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
	call := c.OutCall(21, 31)
	wantUp(t, call, up[0])
	// What was missed may have ended calls: those without GRE since do not stay.
	keepAlive(c, 11*time.Minute, time.Minute)
	wantState(t, up[1], track.CallEnded)
	wantState(t, up[0], track.CallActive)
	wantState(t, call, track.CallActive)
	keepAlive(c, 30*time.Minute, time.Minute)
	wantUp(t, call, up[0])
	w.CheckEmpty()
}

// TestRestoreForged: whoever is on one side only can neither end what was
// restored nor keep it from being confirmed.
func TestRestoreForged(t *testing.T) {
	forge := func(c *tracktest.Conn, from *tracktest.Host, seq, ack uint32, flags uint8, data []byte) tracktest.Result {
		s := c.Segment(from, seq, flags, data)
		s.Ack = ack
		return c.World.Send(from.Side, s.Frame(from, c.Peer(from).Host))
	}
	w := tracktest.New(t)
	c, up := fourCalls(t, w)
	saved := w.Save()
	w.Away = true
	c.Say(w.Client, tracktest.EchoRequest(1))
	c.Say(w.Server, tracktest.EchoReply(1))
	w.Away = false
	w.Restart(saved, 0)
	flood := func() {
		t.Helper()
		for i := range uint32(200) {
			seq, ack := 0x9e3779b9*(i+1), 0x85ebca6b*(i+1)
			for _, flags := range []uint8{wire.ACK, wire.RST, wire.RST | wire.ACK, wire.FIN | wire.ACK, wire.SYN, wire.SYN | wire.ACK} {
				if r := forge(c, w.Server, seq, ack, flags, tracktest.Encode(tracktest.Disconnect(11), tracktest.StopRequest())); !r.Passed() {
					t.Fatal(r)
				}
			}
			near := c.End(w.Server).Next + i - 100
			forge(c, w.Server, near, ack, wire.ACK, tracktest.Encode(tracktest.Disconnect(11)))
			forge(c, w.Server, near+1000, ack, wire.RST, nil)
		}
	}
	flood()
	wantUp(t, up[:3]...)
	c.Say(w.Client, tracktest.EchoRequest(2))
	flood()
	wantControl(t, c.Say(w.Server, tracktest.EchoReply(2)))
	wantUp(t, up[:3]...)
	wantUp(t, c.OutCall(21, 31))
	w.CheckEmpty()
}

// TestRestoreGone: what the ends show to be gone goes.
func TestRestoreGone(t *testing.T) {
	tests := map[string]func(t *testing.T, w *tracktest.World, c *tracktest.Conn){
		"reset in the window": func(_ *testing.T, w *tracktest.World, c *tracktest.Conn) { c.Reset(w.Client) },
		"reset behind what was missed": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			w.Away = true
			c.Say(w.Client, tracktest.EchoRequest(1))
			c.Say(w.Server, tracktest.EchoReply(1))
			w.Away = false
			c.Say(w.Client, tracktest.EchoRequest(2))
			c.Flags(w.Server, wire.RST)
		},
		"a new connection": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			for i := range c.Ends {
				c.Ends[i].Next += 1 << 30
			}
			c.Handshake()
			c.Start(w.Client)
			wantUp(t, c.OutCall(21, 31))
		},
		"a new connection that opened unseen": func(t *testing.T, w *tracktest.World, c *tracktest.Conn) {
			for i := range c.Ends {
				c.Ends[i].Next += 1 << 30
				c.Ends[1-i].Got = c.Ends[i].Next
			}
			for range 2 {
				wantPass(t, c.Say(w.Client, tracktest.EchoRequest(2)), track.ReasonControlOutOfWindow)
				wantPass(t, c.Say(w.Server, tracktest.EchoReply(2)), track.ReasonControlOutOfWindow)
			}
			w.Advance(answerTime) // nobody disproves it
			wantControl(t, c.Say(w.Client, tracktest.EchoRequest(3)))
			wantUp(t, c.OutCall(21, 31))
		},
		"both FIN": func(_ *testing.T, w *tracktest.World, c *tracktest.Conn) { c.Close() },
		"both FIN, behind what was missed": func(_ *testing.T, w *tracktest.World, c *tracktest.Conn) {
			w.Away = true
			c.Say(w.Client, tracktest.EchoRequest(1))
			c.Say(w.Server, tracktest.EchoReply(1))
			w.Away = false
			c.Close()
		},
		"nobody there": func(_ *testing.T, w *tracktest.World, _ *tracktest.Conn) {
			w.Advance(3*time.Minute + 2*time.Second)
			wantUsed(t, w, "connections", 0)
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c, up := fourCalls(t, w)
			restart(t, w, time.Second)
			wantUp(t, up[:3]...)
			act(t, w, c)
			wantDown(t, up...)
			w.CheckEmpty()
		})
	}
}

// TestRestoreSilentControl: a call whose GRE goes on stays though its control
// connection says nothing; one without GRE does not.
func TestRestoreSilentControl(t *testing.T) {
	w := tracktest.New(t)
	c, up := fourCalls(t, w)
	restart(t, w, time.Second)
	for range 20 {
		w.Advance(time.Minute)
		wantUp(t, up[0])
	}
	wantDown(t, up[1:]...)
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
	wantUp(t, up[0], c.OutCall(21, 31))
	w.CheckEmpty()
}

// TestRestoreTimeouts: time that passed without the box counts.
func TestRestoreTimeouts(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	one, other := c.OutCall(1, 11), c.OutCall(2, 12)
	c.Say(w.Client, tracktest.OutRequest(3))
	wantUp(t, one)
	restart(t, w, 2*time.Minute)
	w.Advance(time.Second)
	if calls := w.Tracker.Calls(); len(calls) != 2 {
		t.Errorf("calls %+v: the one that waits for an answer has timed out", calls)
	}
	restart(t, w, 4*time.Minute)
	w.Advance(time.Second)
	wantDown(t, other)
	wantUp(t, one)
	if got := w.Tracker.Calls()[0].Started; !got.Equal(tracktest.Epoch.Std()) {
		t.Errorf("started %s", got)
	}
	w.CheckEmpty()
}

// TestRestoreLimits: less fits than was saved; what carries GRE comes first.
func TestRestoreLimits(t *testing.T) {
	tests := map[string]struct {
		lower func(*track.Limits)
		calls int
		limit string
	}{
		"calls":                {func(l *track.Limits) { l.Calls = 3 }, 3, "calls"},
		"calls_per_connection": {func(l *track.Limits) { l.CallsPerConnection = 3 }, 3, "calls_per_connection"},
		"calls_per_host":       {func(l *track.Limits) { l.CallsPerHost = 3 }, 3, "calls_per_host"},
		"expectations":         {func(l *track.Limits) { l.Expectations = 1 }, 5, "expectations"},
		"connections":          {func(l *track.Limits) { l.Connections = 1 }, 6, "connections"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			_, up := fourCalls(t, w)
			if name == "connections" {
				w.Connect(w.Client, w.Server)
				w.Connect(w.Client, w.Server)
			}
			saved := w.Save()
			test.lower(&w.Options.Limits)
			w.Events()
			if got := w.Restart(saved, 0); name != "connections" && (got.Calls != test.calls || got.LeftOut != 6-test.calls) {
				t.Errorf("restored %+v", got)
			}
			if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != test.limit {
				t.Errorf("limits reached: %+v", reached)
			}
			if name != "connections" { // of those any may be left out
				wantUp(t, up[:3]...)
			}
			w.CheckEmpty()
		})
	}
}

func TestRestoreDenied(t *testing.T) {
	w := tracktest.New(t)
	_, up := fourCalls(t, w)
	saved := w.Save()
	w.Options.Policy.Servers = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	if got := w.Restart(saved, 0); got != (track.Restored{LeftOut: 6}) {
		t.Errorf("restored %+v", got)
	}
	wantDown(t, up...)
	w.CheckEmpty()
}

// TestRestoreTwice: what is there already stays as it is.
func TestRestoreTwice(t *testing.T) {
	w := tracktest.New(t)
	_, up := fourCalls(t, w)
	saved := w.Save()
	restart(t, w, 0)
	wantUp(t, up[:3]...)
	before := w.Tracker.Calls()
	if got, _ := w.Tracker.Restore(saved, w.Now, 0); got != (track.Restored{LeftOut: 6}) {
		t.Errorf("restored %+v", got)
	}
	if diff := diffOf(before, w.Tracker.Calls()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	wantUp(t, up[:3]...)
	w.CheckEmpty()
}

// TestRestoreWrongSide: a restored connection makes misplaced what any other
// would.
func TestRestoreWrongSide(t *testing.T) {
	w := tracktest.New(t)
	c, up := fourCalls(t, w)
	restart(t, w, 0)
	spoofed := c.Segment(w.Client, c.End(w.Client).Next, wire.ACK, tracktest.Encode(tracktest.StopRequest()))
	wantDrop(t, w.Send(track.WAN, spoofed.Frame(w.Client, w.Server)), track.ReasonWrongSide)
	wantDrop(t, w.Send(track.WAN, up[0].Packet(w.Client, 40).Frame(w.Client, w.Server)), track.ReasonWrongSide)
	wantUp(t, up[:3]...)
}

// TestRestoreSplit: a message of which a part had been read when the box stopped
// is lost, and with it nothing else.
func TestRestoreSplit(t *testing.T) {
	w := tracktest.New(t)
	c, up := fourCalls(t, w)
	octets := tracktest.Encode(tracktest.OutRequest(21))
	c.Write(w.Client, octets[:60])
	c.Ack(w.Server)
	restart(t, w, 0)
	wantUsed(t, w, "hold_bytes", 0)
	wantControl(t, c.Write(w.Client, octets[60:]))
	wantControl(t, c.Say(w.Server, tracktest.EchoRequest(1)))
	wantUp(t, c.OutCall(22, 32))
	wantUp(t, up[:3]...)
	w.CheckEmpty()
}

func BenchmarkSave(b *testing.B) {
	w := tracktest.New(b, func(o *track.Options) { o.Limits = track.DefaultOptions().Limits; o.Limits.CallsPerHost = 1 << 20 })
	for i := range 64 {
		client := tracktest.NewHost(track.LAN, fmt.Sprintf("192.0.2.%d", i+1))
		c := w.Dial(client, w.Server)
		for id := range uint16(1000) {
			c.OutCall(id, uint16(i)*1000+id).Both()
		}
		w.Events()
	}
	saved := new(track.Saved)
	b.ReportAllocs()
	for b.Loop() {
		w.Tracker.Save(saved, w.Now)
	}
	b.ReportMetric(float64(len(saved.Calls)), "calls")
}

func diffOf(a, b any) string { return cmp.Diff(a, b, cmpopts.EquateComparable(netip.Addr{})) }
