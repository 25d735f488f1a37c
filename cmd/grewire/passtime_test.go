package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// randomStory returns frames of a few connections in which anything may happen.
func randomStory(t testing.TB, rt *rapid.T) (frames [][]byte) {
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) { frames = append(frames, r.Data) }
	pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }
	var conns []*tracktest.Conn
	var calls []*tracktest.Call
	for id := range uint16(rapid.IntRange(1, 25).Draw(rt, "acts")) {
		if act := pick(10); act == 0 || len(conns) == 0 {
			conns = append(conns, w.Dial(w.Client, w.Server))
		} else if at := pick(len(conns)); act <= 3 {
			calls = append(calls, conns[at].OutCall(100+id, 200+id))
		} else if act == 4 {
			conns[at].Say(w.Client, tracktest.OutRequest(300+id)) // and no answer
		} else if act == 5 {
			conns[at].Write(w.Client, []byte{0, 156, 0, 1, 0x1a, 0x2b, 0x3c}) // a part of a message
			conns[at] = w.Dial(w.Client, w.Server)
		} else if act == 6 {
			packet := tracktest.IP{ID: uint32(id) + 1, Proto: wire.ProtocolGRE, Payload: make([]byte, 64)}
			w.Send(track.LAN, packet.Piece(w.Client, w.Server, 8*pick(2), 32, true))
		} else if act == 7 && pick(2) == 0 {
			conns[at].Reset(w.Client)
			conns[at] = w.Dial(w.Client, w.Server)
		} else if len(calls) > 0 {
			calls[pick(len(calls))].GRE([]*tracktest.Host{w.Client, w.Server}[pick(2)])
		}
	}
	w.Flush()
	return frames
}

// randomConfig has timeouts that come now and then.
func randomConfig(rt *rapid.T) *config.Config {
	c := config.Default()
	c.Limits.Connections, c.Limits.Calls, c.Limits.Fragments = 64, 256, 64 // ticks cost little
	c.NAT.Mode = rapid.SampledFrom([]config.NATMode{config.NATOff, config.NATCallID}).Draw(rt, "nat")
	for _, timeout := range []*time.Duration{
		&c.Timeouts.Expectation, &c.Timeouts.GREUnreplied, &c.Timeouts.GREStream, &c.Timeouts.TCPEstablished, &c.Timeouts.PendingCall,
	} {
		*timeout = time.Duration(rapid.IntRange(1, 900).Draw(rt, "timeout")) * time.Second
	}
	return &c
}

// playedOut is all that a replay says, and when what happened.
type playedOut struct {
	text   string
	events []track.Event
	state  string
}

// playOut replays records by a configuration, at every tick if plodding.
func playOut(t testing.TB, c *config.Config, records []capture.Record, plodding bool) (out playedOut) {
	survey, err := capture.NewSurvey([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	options := trackOptions(c)
	translate(&options, c, 1, nil)
	p := newPlayer(options, survey.Sides(), newJSONPrinter(&text))
	p.plodding = plodding
	p.engine = bridge.NewEngine(options, func(e track.Event) {
		out.events = append(out.events, e)
		p.event(e)
	})
	for side := range p.lanes {
		p.lanes[side] = p.engine.Lane(track.Side(side))
	}
	for i := range records {
		record := records[i]
		record.Data = bytes.Clone(record.Data)
		p.play(&record)
	}
	stats := p.engine.Stats()
	if err := p.finish(); err != nil {
		t.Fatal(err)
	}
	out.text, out.state = text.String(), fmt.Sprint(stats.Limits, stats.Anomalies, p.now, p.ticked)
	return out
}

// TestPassedOver: replay says the same, and of the same times, whether it looks at
// every tick or passes over those at which nothing is due.
func TestPassedOver(t *testing.T) {
	ended := 0
	rapid.Check(t, func(rt *rapid.T) {
		conf := randomConfig(rt)
		var records []capture.Record
		now := captureStart
		for i, frame := range randomStory(t, rt) {
			records = append(records, capture.Record{Number: uint64(i + 1), Time: now, Data: frame, Link: capture.Link{Type: capture.LinkEthernet}})
			pause := time.Duration(rapid.Uint32Range(0, 1<<28).Draw(rt, "pause"))
			if rapid.IntRange(0, 3).Draw(rt, "long") == 0 {
				pause *= 4000 // up to a quarter of an hour, and a bit
			}
			now = now.Add(pause)
		}
		want, got := playOut(t, conf, records, true), playOut(t, conf, records, false)
		if diff := cmp.Diff(want.text, got.text); diff != "" {
			rt.Errorf("text (-every tick +passed over):\n%s", diff)
		}
		if want.state != got.state {
			rt.Errorf("every tick: %s\npassed over: %s", want.state, got.state)
		}
		if diff := cmp.Diff(fmt.Sprintf("%+v", want.events), fmt.Sprintf("%+v", got.events)); len(want.events) != len(got.events) {
			rt.Errorf("events (-every tick +passed over):\n%s", diff)
		}
		for i := range min(len(want.events), len(got.events)) {
			if a, b := &want.events[i], &got.events[i]; a.Time != b.Time || a.Kind != b.Kind || a.Cause != b.Cause {
				rt.Errorf("event %d: %v %v %q, passed over %v %v %q", i, a.Time.Std(), a.Kind, a.Cause, b.Time.Std(), b.Kind, b.Cause)
			}
			if want.events[i].Cause == "timeout" {
				ended++
			}
		}
	})
	if ended == 0 {
		t.Error("nothing has timed out: the test sees too little")
	}
}

// TestReplayLongCapture: a capture over five days in which little happens is
// replayed at once, and its calls end when they would in the running box.
func TestReplayLongCapture(t *testing.T) {
	const every = 30 * time.Second
	var frames [][]byte
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) { frames = append(frames, r.Data) }
	c := w.Dial(w.Client, w.Server)
	k := c.OutCall(7, 9)
	for len(frames) < int(5*24*time.Hour/every) {
		k.Both()
	}
	path := captureEvery(t, every, "days.pcap", frames...)
	began := time.Now()
	got := grewire(t, "replay", "-json", path)
	took := time.Since(began)
	_, sum := parseReplay(t, got.out)
	if len(sum.Calls) != 1 || sum.Calls[0].State != track.CallActive || sum.Dropped != 0 {
		t.Errorf("the summary: %+v", sum)
	}
	ticks := countTicks(t, path)
	t.Logf("%d frames over five days, replayed in %v, with %d ticks", len(frames), took.Round(time.Millisecond), ticks)
	if most := 3 * uint64(len(frames)); ticks > most {
		t.Errorf("%d ticks, want %d at most", ticks, most)
	}
}

// countTicks replays a capture and returns at how many ticks something was done.
func countTicks(t *testing.T, path string) uint64 {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	survey, err := capture.NewSurvey([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(track.DefaultOptions(), survey.Sides(), newJSONPrinter(new(bytes.Buffer)))
	for {
		rec, err := r.Next()
		if err != nil {
			return p.ticks
		}
		p.play(&rec)
	}
}
