package oracle

import (
	"slices"
	"testing"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// waiting is a story of two connections between lan1 and wan1, in which calls of
// the first one wait for an ID that a call of the second one has.
type waiting struct {
	name   string
	ops    []Op // after call 9, 3 of the second connection was agreed
	passes bool // whether the last frame passes
}

// threeFour is a call that is agreed, and ended by a Call-Disconnect-Notify only if
// the PAC has no call with ID 3: then 3 is the PNS's.
func threeFour() []Op { return story(outCall(3, 4), []Op{server(tracktest.Disconnect(3)), up(4)}) }

var waitingStories = []waiting{
	{"the PAC ends its call 3, which waits", story(outCall(2, 3), threeFour()), true},
	{"asked for again, it still has its answer", story(outCall(2, 3), []Op{client(tracktest.OutRequest(2))}, threeFour()), true},
	{"the PAC has given 3 to a second call that waits, and ended that",
		story(outCall(2, 3), outCall(5, 3), []Op{server(tracktest.Disconnect(5))}, threeFour()), false},
	{"the PAC has given 3 to an agreed call, which waits since, and ended that",
		story(outCall(5, 3), outCall(2, 7), []Op{server(tracktest.OutReply(3, 2, okOut)), server(tracktest.Disconnect(2))}, threeFour()), false},
	{"asked for again and answered anew", story(outCall(2, 3), outCall(2, 4), []Op{up(4)}), true},
	{"asked for again and refused, it stays", story(outCall(2, 3), []Op{client(tracktest.OutRequest(2)),
		server(tracktest.OutReply(0, 2, pptp.OutCallResultBusy))}, threeFour()), true},
	{"agreed in the end, it is answered anew", story(outCall(2, 3), []Op{Fin{Conn: 1, From: Answerer},
		server(tracktest.OutReply(3, 2, okOut)), server(tracktest.OutReply(4, 2, okOut)), up(4)}), true},
}

// TestCallsThatWaitForAnID: of calls that wait for an ID, grewire and the flawless
// model know alike what they are called, and do what is right. It needs no
// privilege.
func TestCallsThatWaitForAnID(t *testing.T) {
	dials := []Dial{{Lan1, Wan1}, {Lan1, Wan1}}
	holder := on(1, story(started(), outCall(9, 3))...)
	for _, s := range waitingStories {
		t.Run(s.name, func(t *testing.T) {
			hosts := Hosts(0)
			steps := Render(Sequence{dials, story(holder, started(), s.ops)}, hosts)
			for name, o := range map[string]outcome{"grewire": playGrewire(hosts, steps), "the model": play(dials, steps, 0)} {
				if passed := o.frames[len(steps)-1] != nil; passed != s.passes || o.problems != nil {
					t.Errorf("%s: the last frame passes: %v, want %v; problems: %v", name, passed, s.passes, o.problems)
				}
			}
		})
	}
}

// TestRepeatedRequestAwaitsGRE: GRE that overtakes the Incoming-Call-Connected is held
// once the call was asked for again, though another call had its ID in between.
func TestRepeatedRequestAwaitsGRE(t *testing.T) {
	ops := story(started(), []Op{client(tracktest.OutRequest(3)),
		server(tracktest.InRequest(1)), client(tracktest.InReply(1, 1, okIn)),
		server(tracktest.OutReply(1, 3, okOut)), server(tracktest.OutReply(9, 3, okOut)),
		server(tracktest.InRequest(1)), up(1), server(tracktest.InConnected(1))})
	hosts, dials := Hosts(0), []Dial{{Lan1, Wan1}}
	steps := Render(Sequence{dials, ops}, hosts)
	early := slices.IndexFunc(steps, func(s Step) bool { return s.gre != nil })
	for name, o := range map[string]outcome{"grewire": playGrewire(hosts, steps), "the model": play(dials, steps, 0)} {
		if o.frames[early] == nil || o.problems != nil {
			t.Errorf("%s drops the GRE; problems: %v", name, o.problems)
		}
	}
}
