package track_test

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// manyCalls is more calls than the frame that ends them cleans up.
const manyCalls = 24

// agreeMany agrees calls of c, each end's IDs from the given ones on, and has GRE
// of them cross both ways. ends are the ways in which calls end with their
// connection.
func agreeMany(c *tracktest.Conn, calls int, pnsID, pacID uint16) (agreed []*tracktest.Call) {
	for i := range uint16(calls) {
		k := c.OutCall(pnsID+i, pacID+i)
		k.Both()
		agreed = append(agreed, k)
	}
	return agreed
}

// ends are what ends all calls of a connection.
var ends = []struct {
	name  string
	cause string
	end   func(w *tracktest.World, c *tracktest.Conn)
}{
	{"Stop-Control-Connection-Request", "stop", func(_ *tracktest.World, c *tracktest.Conn) { c.Say(c.Ends[0].Host, tracktest.StopRequest()) }},
	{"reset", "reset", func(_ *tracktest.World, c *tracktest.Conn) { c.Reset(c.Ends[1].Host) }},
	{"close", "fin", func(_ *tracktest.World, c *tracktest.Conn) { c.Close() }},
	{"another connection of the same ends", "replaced", func(w *tracktest.World, c *tracktest.Conn) {
		again := w.NewConn(c.Ends[0].Host, c.Ends[1].Host)
		again.Ends[0].Port = c.Ends[0].Port
		for i := range again.Ends {
			again.Ends[i].Next += 3_000_000
		}
		again.Handshake()
		again.Start(again.Ends[0].Host)
	}},
	{"policy", "denied", func(w *tracktest.World, _ *tracktest.Conn) {
		w.Change(func(o *track.Options) { o.Policy.DenyPPTP = true })
	}},
}

// TestEndTogether ends many calls in every way there is: whatever their number,
// none of their GRE passes from the very next frame on, nothing lists them, and
// their events follow within a second, with the time and the cause of the ending
// and all that was counted.
func TestEndTogether(t *testing.T) {
	for _, how := range ends {
		t.Run(how.name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			calls := agreeMany(c, manyCalls, 100, 200)
			waits := c.OutCall(50, 60)
			w.Events()
			how.end(w, c)
			at := w.Now
			for _, k := range append(calls, waits) {
				if k.GRE(k.PNS).Passed() || k.GRE(k.PAC).Passed() {
					t.Fatalf("GRE of call %d passes after its end", k.Number)
				}
			}
			use := w.Tracker.Usage()
			if n := len(w.Tracker.Calls()); n != 0 || use["calls"].Used != 0 || use["expectations"].Used != 0 || len(w.Save().Calls) != 0 {
				t.Errorf("%d calls are listed, %v are in use", n, use)
			}
			if hosts, _ := w.Tracker.TableSizes(); hosts > 2 {
				t.Errorf("%d hosts", hosts)
			}
			ended := endedIn(w.Events())
			if len(ended) != 0 {
				t.Errorf("%d calls were cleaned up by the frame that ended them", len(ended))
			}
			for range 11 {
				w.Now = w.Now.Add(100 * time.Millisecond)
				w.Step()
			}
			ended = endedIn(w.Events())
			if len(ended) != manyCalls+1 {
				t.Fatalf("%d calls have ended, want %d", len(ended), manyCalls+1)
			}
			for _, e := range ended {
				want := track.Traffic{Packets: 1, Bytes: e.Call.LANToWAN.Bytes}
				if e.Call.ID == waits.Number {
					want = track.Traffic{}
				}
				if e.Time != at || e.Cause != how.cause || e.Call.State != track.CallEnded || e.Call.LANToWAN != want || e.Call.WANToLAN.Packets != want.Packets {
					t.Errorf("event %+v of call %+v, want cause %s at %d", e, *e.Call, how.cause, at)
				}
			}
			if _, keys := w.Tracker.TableSizes(); keys != 0 {
				t.Errorf("%d keys are left", keys)
			}
			w.CheckEmpty()
		})
	}
}

// endedIn picks the events of calls that have ended.
func endedIn(events []track.Event) (ended []track.Event) {
	for _, e := range events {
		if e.Kind == track.EventCallEnded {
			ended = append(ended, e)
		}
	}
	return ended
}

// TestEndTogetherInABatch has what ends the calls and their GRE come in one batch.
func TestEndTogetherInABatch(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	calls := agreeMany(c, manyCalls, 100, 200)
	var frames []track.Frame
	add := func(data []byte) { frames = append(frames, track.Frame{Data: data}) }
	gre := func(k *tracktest.Call) { add(k.Packet(w.Client, 10).Frame(w.Client, w.Server)) }
	gre(calls[0])
	add(sent(c, w.Client, wire.ACK|wire.PSH, tracktest.StopRequest()))
	gre(calls[0])
	gre(calls[manyCalls-1])
	results := w.Batch(track.LAN, frames)
	for i, want := range []bool{true, true, false, false} {
		if results[i].Passed() != want {
			t.Errorf("%s, want passed %v", results[i], want)
		}
	}
	if calls[1].GRE(w.Server).Passed() {
		t.Error("GRE from the other side passes")
	}
	w.CheckEmpty()
}

// TestEndTogetherFragments: the later fragments of a call's packet do not pass
// once the call has ended.
func TestEndTogetherFragments(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	calls := agreeMany(c, manyCalls, 100, 200)
	pieces := calls[3].Packet(w.Client, 2000).IP().Fragment(w.Client, w.Server, 1000)
	if !w.Send(track.LAN, pieces[0]).Passed() {
		t.Fatal("the first fragment does not pass")
	}
	c.Reset(w.Client)
	if w.Send(track.LAN, pieces[1]).Passed() {
		t.Error("a later fragment passes")
	}
	w.CheckEmpty()
}

// TestEndTogetherAgain agrees calls of the same IDs before the records of those
// that ended are cleaned up: on the same connection, on the next one in its place
// and on another of the same hosts. The new ones have their place from the first,
// count for themselves, and stay when the old ones go.
func TestEndTogetherAgain(t *testing.T) {
	for _, where := range []string{"same connection", "same place", "other connection"} {
		t.Run(where, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			other := w.Dial(w.Client, w.Server)
			old := agreeMany(c, manyCalls, 100, 200)
			switch where {
			case "same connection":
				c.Say(w.Client, tracktest.StopRequest())
				c.Say(w.Server, tracktest.StopReply())
				c.Start(w.Client)
			case "same place":
				c.Reset(w.Client)
				next := w.NewConn(w.Client, w.Server)
				next.Ends[0].Port = c.Ends[0].Port
				next.Handshake()
				next.Start(w.Client)
				c = next
			default:
				c.Reset(w.Client)
				c = other
			}
			w.Events()
			again := agreeMany(c, manyCalls, 100, 200)
			for _, k := range again[:5] { // one of its directions counts another packet
				k.GRE(w.Client)
			}
			if n := len(w.Tracker.Calls()); n != manyCalls {
				t.Errorf("%d calls are listed", n)
			}
			w.Advance(time.Second)
			ended := endedIn(w.Events())
			if len(ended) != len(old) {
				t.Errorf("%d calls have ended, want %d", len(ended), len(old))
			}
			for _, e := range ended {
				if e.Call.LANToWAN.Packets != 1 || e.Call.WANToLAN.Packets != 1 || e.Call.ID > old[manyCalls-1].Number {
					t.Errorf("ended: %+v", *e.Call)
				}
			}
			for i, k := range again {
				want := uint64(1)
				if i < 5 {
					want = 2
				}
				if got, ok := w.Find(k.Number); !ok || got.LANToWAN.Packets != want {
					t.Errorf("call %d: %+v, want %d packets", k.Number, got, want)
				}
				if !k.Both() {
					t.Errorf("GRE of call %d does not pass", k.Number)
				}
			}
			if _, keys := w.Tracker.TableSizes(); keys != 2*manyCalls {
				t.Errorf("%d keys, want those of %d calls", keys, manyCalls)
			}
			w.CheckEmpty()
			if hosts, keys := w.Tracker.TableSizes(); hosts != 0 || keys != 0 {
				t.Errorf("%d hosts and %d keys left over", hosts, keys)
			}
		})
	}
}

// TestEndTogetherMakesRoom: calls that have ended count for no limit, cleaned up
// or not.
func TestEndTogetherMakesRoom(t *testing.T) {
	limits := map[string]func(*track.Limits){
		"calls":                func(l *track.Limits) { l.Calls = manyCalls },
		"calls_per_host":       func(l *track.Limits) { l.CallsPerHost = manyCalls },
		"calls_per_connection": func(l *track.Limits) { l.CallsPerConnection = manyCalls },
		"expectations":         func(l *track.Limits) { l.Expectations = 2 * manyCalls },
	}
	for name, change := range limits {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { change(&o.Limits) })
			c := w.Dial(w.Client, w.Server)
			for round := range uint16(4) {
				for i := range uint16(manyCalls) {
					c.OutCall(100*round+i, 100*round+i)
				}
				if c.Say(w.Client, tracktest.OutRequest(9999)); w.Tracker.Usage()["calls"].Used > manyCalls+1 {
					t.Errorf("round %d: %v", round, w.Tracker.Usage())
				}
				c.Say(w.Client, tracktest.StopRequest())
				c.Say(w.Server, tracktest.StopReply())
				c.Start(w.Client)
			}
			w.CheckEmpty()
		})
	}
}

// TestEndTogetherPaced: a Tick cleans up a share that fits the time since the last
// one, and all of a full table within a second.
func TestEndTogetherPaced(t *testing.T) {
	const calls = 2000
	w := tracktest.New(t, func(o *track.Options) {
		o.Limits.Calls, o.Limits.CallsPerConnection, o.Limits.CallsPerHost, o.Limits.Expectations = calls, calls, calls, 2*calls
	})
	c := w.Dial(w.Client, w.Server)
	for i := range uint16(calls) {
		c.OutCall(i, i)
	}
	w.Step()
	w.Events()
	c.Reset(w.Client)
	for tick := 1; tick <= 11; tick++ {
		w.Now = w.Now.Add(100 * time.Millisecond)
		w.Step()
		if n, most := len(endedIn(w.Events())), calls/10+16; n > most {
			t.Errorf("tick %d: %d calls were cleaned up, want at most %d", tick, n, most)
		}
	}
	if n := w.Tracker.Endings(); n != 0 {
		t.Errorf("%d calls are not cleaned up after a second", n)
	}
	w.CheckEmpty()
}

// TestEndTogetherCost: a batch of frames that each end all calls of a connection
// makes as much happen for 10 calls each as for 1,000.
func TestEndTogetherCost(t *testing.T) {
	const conns = 16
	cost := func(each int) (events int) {
		c := newCrowd(t, conns*each, each, 64)
		frames := make([]track.Frame, conns)
		for i, conn := range c.conns {
			frames[i].Data = sent(conn, conn.Ends[0].Host, wire.ACK|wire.PSH, tracktest.StopRequest())
		}
		c.Lane(track.LAN).Process(frames, c.Now)
		if n := len(c.Tracker.Calls()); n != 0 {
			t.Errorf("%d calls are listed", n)
		}
		return len(c.Lane(track.LAN).Events())
	}
	if few, many := cost(10), cost(1000); few != many {
		t.Errorf("%d events of 10 calls each, %d of 1000 calls each", few, many)
	}
}

// TestRestoreWhileEnding restores into a tracker whose places have calls that are
// not cleaned up.
func TestRestoreWhileEnding(t *testing.T) {
	w := tracktest.New(t, func(o *track.Options) { o.Limits.Connections = 1 })
	c := w.Dial(w.Client, w.Server)
	for i := range uint16(4) {
		c.OutCall(i, i)
	}
	saved := w.Save()
	later := agreeMany(c, manyCalls, 100, 200)
	c.Close()
	if w.Tracker.Endings() == 0 {
		t.Fatal("nothing is to be cleaned up")
	}
	w.Now = w.Now.Add(w.Options.Timeouts.TCPClosing)
	for range 64 { // the connection goes before its calls' records
		w.Tracker.Tick(w.Now)
	}
	w.Options.Seed++
	if got, _ := w.Tracker.Restore(saved, w.Now, 0); got.Calls != 4 {
		t.Errorf("restored %+v, want 4 calls", got)
	}
	for i := range uint16(4) {
		if !w.GRE(w.Client, w.Server, i).Passed() {
			t.Errorf("GRE of call %d does not pass", i)
		}
	}
	if later[0].GRE(w.Client).Passed() {
		t.Error("GRE of a call that had ended passes")
	}
	w.CheckEmpty()
}

// TestEndTogetherAgainstModel is TestAgainstModel where the records of all calls
// that end with their connection are cleaned up later, now and then.
func TestEndTogetherAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newTheatre(t)
		p.w.Tracker.EndTogether()
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			p.step(t)
			if rapid.IntRange(0, 9).Draw(t, "tick") == 0 {
				p.w.Now = p.w.Now.Add(5 * time.Millisecond)
				p.w.Step()
			}
		}
		p.w.CheckEmpty()
		if left := unended(p.w.Events()); len(left) != 0 {
			t.Errorf("so many more ends than beginnings, by call: %v", left)
		}
		if hosts, keys := p.w.Tracker.TableSizes(); hosts != 0 || keys != 0 || p.w.Tracker.Endings() != 0 {
			t.Errorf("%d hosts, %d keys and %d endings left over", hosts, keys, p.w.Tracker.Endings())
		}
	})
}

// unended returns, by call, how many more events there are of its end than of its
// beginning, where that is not 0.
func unended(events []track.Event) map[uint64]int {
	more := make(map[uint64]int)
	for _, e := range events {
		switch e.Kind {
		case track.EventCallRequested:
			more[e.Call.ID]--
		case track.EventCallEnded, track.EventCallRefused:
			more[e.Call.ID]++
		}
	}
	maps.DeleteFunc(more, func(_ uint64, n int) bool { return n == 0 })
	return more
}
