package track_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

func adopting(o *track.Options) { o.Policy.Adopt = true }

// talk has the ends of an established connection ask for an echo, so that both
// were heard of.
func talk(t *testing.T, c *tracktest.Conn) {
	t.Helper()
	client, server := c.Ends[0].Host, c.Ends[1].Host
	wantControl(t, c.Say(client, tracktest.EchoRequest(1)))
	wantControl(t, c.Say(server, tracktest.EchoReply(1)))
}

// old is a call that was agreed before the box could see it: its ends go on
// with numbers far from 0, and acknowledge what reached them.
type old struct {
	w    *tracktest.World
	ends [2]oldEnd
}

type oldEnd struct {
	host     *tracktest.Host
	id       uint16 // assigned by this end
	seq      uint32
	received uint32
	news     bool // something to acknowledge
}

func oldCall(w *tracktest.World, a *tracktest.Host, aID uint16, b *tracktest.Host, bID uint16, seq uint32) *old {
	return &old{w, [2]oldEnd{{a, aID, seq, seq + 4999, true}, {b, bID, seq + 5000, seq - 1, true}}}
}

// send has an end send a packet.
func (o *old) send(from int) tracktest.Result {
	me, peer := &o.ends[from], &o.ends[1-from]
	g := tracktest.GRE{CallID: peer.id, HasSeq: true, Seq: me.seq, HasAck: me.news, Ack: me.received, Payload: make([]byte, 40)}
	me.seq++
	me.news = false
	r := o.w.Send(me.host.Side, g.Frame(me.host, peer.host))
	if r.Passed() {
		peer.received, peer.news = g.Seq, true
	}
	return r
}

// adopted has the ends talk until the call is adopted, and returns how many
// packets of it were dropped.
func (o *old) adopted(t *testing.T) (dropped int) {
	t.Helper()
	for range 64 {
		for from := range o.ends {
			r := o.send(from)
			if !r.Passed() {
				dropped++
			}
			if r.Reason == track.ReasonCall {
				return dropped
			}
		}
	}
	t.Fatal("the call was not adopted")
	return 0
}

func TestAdoptOneCall(t *testing.T) {
	w := tracktest.New(t, adopting)
	c := established(w)
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	wantDrop(t, call.send(0), track.ReasonNotNegotiated)
	wantDrop(t, call.send(1), track.ReasonNotNegotiated)
	talk(t, c)
	if n := call.adopted(t); n > 0 {
		t.Errorf("%d packets were dropped once the connection was known", n)
	}
	for from := range call.ends {
		wantPass(t, call.send(from), track.ReasonCall)
	}
	calls := w.Tracker.Calls()
	if len(calls) != 1 || !calls[0].Adopted || calls[0].PNS.CallID != 7 || calls[0].PAC.CallID != 9 || calls[0].State != track.CallActive {
		t.Fatalf("calls: %+v", calls)
	}
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(9)))
	wantDrop(t, call.send(0), track.ReasonNotNegotiated)
	wantDrop(t, call.send(1), track.ReasonNotNegotiated)
	wantEnded(t, w, "call-disconnect-notify")
}

// TestAdoptMissedReply: a call whose reply went past unseen, on a connection
// that was seen from its beginning.
func TestAdoptMissedReply(t *testing.T) {
	w := tracktest.New(t, adopting)
	c := w.Dial(w.Client, w.Server)
	wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
	unseen(c, w.Server, 32)
	wantControl(t, c.Say(w.Server, tracktest.EchoRequest(1))) // it waits behind the gap
	wantControl(t, c.Say(w.Client, tracktest.EchoReply(1)))   // which this tells of
	talk(t, c)
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	call.adopted(t)
	for from := range call.ends {
		wantPass(t, call.send(from), track.ReasonCall)
	}
}

// TestAdoptNothing are the cases in which nothing passes.
func TestAdoptNothing(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, w *tracktest.World)
	}{
		{"no connection", func(*testing.T, *tracktest.World) {}},
		{"one end only", func(t *testing.T, w *tracktest.World) {
			wantControl(t, established(w).Say(w.Client, tracktest.EchoRequest(1)))
		}},
		{"seen from its beginning", func(_ *testing.T, w *tracktest.World) { w.Dial(w.Client, w.Server) }},
		{"closed", func(t *testing.T, w *tracktest.World) {
			c := established(w)
			talk(t, c)
			c.Close()
		}},
		{"began anew", func(t *testing.T, w *tracktest.World) {
			c := established(w)
			talk(t, c)
			wantControl(t, c.Say(w.Client, tracktest.StopRequest()))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tracktest.New(t, adopting)
			tt.prepare(t, w)
			call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
			for range 20 {
				wantDrop(t, call.send(0), track.ReasonNotNegotiated)
				wantDrop(t, call.send(1), track.ReasonNotNegotiated)
			}
		})
	}
}

// TestAdoptOff is the default.
func TestAdoptOff(t *testing.T) {
	w := tracktest.New(t)
	talk(t, established(w))
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	for range 20 {
		wantDrop(t, call.send(0), track.ReasonNotNegotiated)
		wantDrop(t, call.send(1), track.ReasonNotNegotiated)
	}
}

// TestAdoptOneWay: of GRE that nobody answers, a few packets a second pass.
func TestAdoptOneWay(t *testing.T) {
	w := tracktest.New(t, adopting)
	c := established(w)
	talk(t, c)
	for second := range 3 {
		passed := 0
		for id := range uint16(1000) {
			r := w.GRE(w.Client, w.Server, id)
			if r.Passed() {
				wantPass(t, r, track.ReasonAdopting)
				passed++
			}
		}
		if passed == 0 || passed > 64 {
			t.Errorf("%d packets passed in second %d", passed, second)
		}
		w.Advance(time.Second)
	}
	wantCalls(t, w, 0)
}

// TestAdoptWhoOnlyAnswers: an end that sends nothing of its own accord is heard
// because what it answers to passes.
func TestAdoptWhoOnlyAnswers(t *testing.T) {
	w := tracktest.New(t, adopting)
	talk(t, established(w))
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	for range 3 {
		if call.send(0).Passed() {
			call.send(1)
		}
	}
	wantPass(t, call.send(0), track.ReasonCall)
}

// TestAdoptManyCalls has many calls between two hosts, whose packets come in
// any order: each direction finds its own other one.
func TestAdoptManyCalls(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := tracktest.New(t, adopting)
	c := established(w)
	talk(t, c)
	const n = 20
	calls := make([]*old, n)
	want := map[[2]uint16]bool{}
	for i := range calls {
		a, b := uint16(100+i), uint16(random.IntN(1<<16)&^0x1f|i)
		calls[i] = oldCall(w, w.Client, a, w.Server, b, random.Uint32())
		want[[2]uint16{a, b}] = true
	}
	for step := 0; len(w.Tracker.Calls()) < n; step++ {
		if step == 100_000 {
			t.Fatalf("%d of %d calls were adopted", len(w.Tracker.Calls()), n)
		}
		calls[random.IntN(n)].send(random.IntN(2))
	}
	for _, k := range w.Tracker.Calls() {
		if !want[[2]uint16{k.PNS.CallID, k.PAC.CallID}] {
			t.Errorf("%d and %d are no call", k.PNS.CallID, k.PAC.CallID)
		}
	}
	for _, o := range calls {
		wantPass(t, o.send(0), track.ReasonCall)
		wantPass(t, o.send(1), track.ReasonCall)
	}
	c.Close()
	wantCalls(t, w, 0)
}

// TestAdoptWithoutAcknowledgements: ends that never acknowledge are told by
// going on.
func TestAdoptWithoutAcknowledgements(t *testing.T) {
	w := tracktest.New(t, adopting)
	talk(t, established(w))
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	for range 10 {
		for from := range call.ends {
			call.ends[from].news = false
			call.send(from)
		}
	}
	for from := range call.ends {
		wantPass(t, call.send(from), track.ReasonCall)
	}
}

// TestAdoptNotWhatEnded: packets still on their way when a call ends do not
// bring it back.
func TestAdoptNotWhatEnded(t *testing.T) {
	w := tracktest.New(t, adopting)
	c := established(w)
	talk(t, c)
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	call.adopted(t)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(9)))
	w.Advance(time.Second)
	for range 10 {
		wantDrop(t, call.send(0), track.ReasonNotNegotiated)
		wantDrop(t, call.send(1), track.ReasonNotNegotiated)
	}
}

// TestAdoptedCallEndsByItsGRE: whether the connection is its own is not known,
// so that it cannot vouch for the call.
func TestAdoptedCallEndsByItsGRE(t *testing.T) {
	w := tracktest.New(t, adopting, short)
	c := established(w)
	talk(t, c)
	call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	call.adopted(t)
	call.send(0)
	call.send(1)
	wantCalls(t, w, 1)
	keepAlive(c, 2*w.Options.Timeouts.GREStream, time.Second)
	wantCalls(t, w, 0)
	wantEnded(t, w, "timeout")
}

// TestAdoptLimits: beyond a limit nothing is adopted, and nothing breaks.
func TestAdoptLimits(t *testing.T) {
	w := tracktest.New(t, adopting, func(o *track.Options) { o.Limits.CallsPerConnection = 1 })
	c := established(w)
	talk(t, c)
	one, two := oldCall(w, w.Client, 1, w.Server, 11, 70_000), oldCall(w, w.Client, 2, w.Server, 12, 170_000)
	one.adopted(t)
	for range 20 {
		two.send(0)
		two.send(1)
	}
	wantCalls(t, w, 1)
	wantPass(t, one.send(0), track.ReasonCall)
	wantPass(t, one.send(1), track.ReasonCall)
}

// TestAdoptWrongSide: only GRE that comes from where its sender is counts.
func TestAdoptWrongSide(t *testing.T) {
	w := tracktest.New(t, adopting)
	talk(t, established(w))
	call := oldCall(w, w.Client.Moved(), 7, w.Server.Moved(), 9, 70_000)
	for range 20 {
		wantDrop(t, call.send(0), track.ReasonNotNegotiated)
		wantDrop(t, call.send(1), track.ReasonNotNegotiated)
	}
}

// TestAdoptNotWhatIsForged: who does not see the call cannot take its direction,
// not by claiming many sequence numbers nor by acknowledging nothing.
func TestAdoptNotWhatIsForged(t *testing.T) {
	for name, numbers := range map[string][]uint32{
		"half of all numbers": {0, math.MaxInt32},
		"one step at a time":  {0, 1 << 16, 2 << 16, 3 << 16},
		"where the call is":   {70_000, 80_000},
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, adopting)
			talk(t, established(w))
			for range 4 {
				for _, n := range numbers {
					g := tracktest.GRE{CallID: 666, HasSeq: true, Seq: n, Payload: make([]byte, 40)}
					w.Send(track.WAN, g.Frame(w.Server, w.Client))
				}
			}
			call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
			call.adopted(t)
			for from := range call.ends {
				wantPass(t, call.send(from), track.ReasonCall)
			}
			wantCalls(t, w, 1)
		})
	}
}

// TestAdoptReplacesNoCall: what was heard before a call was agreed in full view
// does not take an ID of that call.
func TestAdoptReplacesNoCall(t *testing.T) {
	w := tracktest.New(t, adopting)
	c := established(w)
	talk(t, c)
	before := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
	wantPass(t, before.send(1), track.ReasonAdopting)
	call := c.OutCall(7, 11)
	for range 10 {
		before.send(0)
	}
	wantUp(t, call)
	wantCalls(t, w, 1)
}

// TestAdoptNoCallForEver: GRE that goes both ways and never agrees passes no
// better in the end than GRE that nobody answers.
func TestAdoptNoCallForEver(t *testing.T) {
	w := tracktest.New(t, adopting)
	talk(t, established(w))
	second := func(n int) (passed int) {
		for i := range n {
			for _, ends := range [][2]*tracktest.Host{{w.Client, w.Server}, {w.Server, w.Client}} {
				g := tracktest.GRE{CallID: 1, HasSeq: true, Seq: uint32(i), HasAck: true, Ack: 1 << 30}
				if w.Send(ends[0].Side, g.Frame(ends[0], ends[1])).Passed() {
					passed++
				}
			}
		}
		w.Advance(time.Second)
		return passed
	}
	second(3000)
	if n := second(3000); n > 64 {
		t.Errorf("%d packets passed", n)
	}
	wantCalls(t, w, 0)
	oldCall(w, w.Client, 7, w.Server, 9, 70_000).adopted(t)
}
