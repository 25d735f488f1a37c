package oracle

import (
	"slices"
	"testing"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// example is a sequence of which the last frame, or a line of the tables in
// the end, differs for the reason of one rule.
type example struct {
	flaw   Flaws
	with   Flaws  // others without which it does not show
	dials  []Dial // nil: lan1 dials wan1
	ops    []Op
	step   int    // that differs; 0: the last
	line   string // of the tables that differs, instead of a step
	kernel fate   // what the kernel does; grewire does the opposite
}

func (e example) sequence() Sequence {
	if e.dials == nil {
		e.dials = []Dial{{Lan1, Wan1}}
	}
	return Sequence{Dials: e.dials, Ops: e.ops}
}

// Words for the examples, on connection 0 unless they say another.

func client(messages ...pptp.Message) Op { return Say{From: Opener, Messages: messages} }

func server(messages ...pptp.Message) Op { return Say{From: Answerer, Messages: messages} }

// on puts ops on another connection.
func on(conn int, ops ...Op) []Op {
	moved := make([]Op, len(ops))
	for i, op := range ops {
		switch o := op.(type) {
		case Open:
			o.Conn = conn
			moved[i] = o
		case Say:
			o.Conn = conn
			moved[i] = o
		default:
			moved[i] = op
		}
	}
	return moved
}

func started() []Op {
	return []Op{Open{}, client(tracktest.StartRequest()), server(tracktest.StartReply(okStart))}
}

func outCall(pnsID, pacID uint16) []Op {
	return []Op{client(tracktest.OutRequest(pnsID)), server(tracktest.OutReply(pacID, pnsID, okOut))}
}

// up is GRE of a call between lan1, its PNS, and wan1.
func up(pacID uint16) Op { return GRE{From: Lan1, To: Wan1, ID: pacID} }

func down(pnsID uint16) Op { return GRE{From: Wan1, To: Lan1, ID: pnsID} }

func story(parts ...[]Op) []Op { return slices.Concat(parts...) }

const (
	okStart = pptp.StartResultOK
	okOut   = pptp.OutCallResultConnected
	okIn    = pptp.InCallResultConnect

	drops  fate = "drops it"
	passes fate = "passes it"
	lists  fate = "lists it"
)

var examples = []example{
	{flaw: OneCall, kernel: drops, ops: story(started(), outCall(1, 2), []Op{up(2), down(1)}, outCall(3, 4), []Op{up(4)})},
	{flaw: KeysTakenBack, with: OneCall, kernel: drops, ops: story(started(), outCall(1, 2), []Op{up(2)}, outCall(3, 2), []Op{up(2)})},
	{flaw: OpenerIsPNS, kernel: drops, ops: story(started(),
		[]Op{server(tracktest.OutRequest(1)), client(tracktest.OutReply(2, 1, okOut)), up(1)})},
	{flaw: StopKeepsCalls, kernel: passes, ops: story(started(), outCall(1, 2),
		[]Op{up(2), client(tracktest.StopRequest()), server(tracktest.StopReply()), up(2)})},
	{flaw: FinKeepsCalls, kernel: passes, ops: story(started(), outCall(1, 2),
		[]Op{up(2), Fin{From: Opener}, Fin{From: Answerer}, up(2)})},
	{flaw: ResetKeepsCalls, kernel: passes, ops: story(started(), outCall(1, 2), []Op{up(2), Reset{From: Answerer}, up(2)})},
	{flaw: ReconnectKept, kernel: passes, ops: story(started(), outCall(1, 2), []Op{up(2)}, started(), []Op{up(2)})},
	{flaw: FirstOnly, kernel: drops, ops: story(started(),
		[]Op{client(tracktest.EchoRequest(1), tracktest.OutRequest(1)), server(tracktest.OutReply(2, 1, okOut)), up(2)})},
	{flaw: SplitUnseen, kernel: drops, ops: story(started(),
		[]Op{Say{From: Opener, Messages: []pptp.Message{tracktest.OutRequest(1)}, Cuts: []int{100}},
			server(tracktest.OutReply(2, 1, okOut)), up(2)})},
	// The old Call-Disconnect-Notify, sent again, ends the new call.
	{flaw: RepeatActs, kernel: drops, ops: story(started(), outCall(1, 2),
		[]Op{server(tracktest.Disconnect(2))}, outCall(1, 2), []Op{up(2), Again{From: Answerer, Back: 1}, up(2)})},
	{flaw: EarlyActs, kernel: passes, step: 8, ops: story(started(), []Op{client(tracktest.OutRequest(1)),
		Say{From: Answerer, Messages: []pptp.Message{tracktest.EchoRequest(1), tracktest.OutReply(2, 1, okOut)},
			Cuts: []int{16}, Reversed: true, Between: up(2)}})},
	{flaw: AnyDisconnect, kernel: drops, ops: story(started(), outCall(1, 2), []Op{up(2), server(tracktest.Disconnect(9)), up(2)})},
	{flaw: RestStays, with: RepeatExpects, kernel: lists, line: "expect GRE lan1 > wan1 id 2, sender's id 1", ops: story(started(), outCall(1, 2),
		[]Op{up(2), server(tracktest.OutReply(2, 1, okOut)), server(tracktest.Disconnect(2))})},
	{flaw: AnyClear, kernel: drops, ops: story(started(), []Op{client(tracktest.OutRequest(1)),
		client(tracktest.ClearRequest(9)), server(tracktest.OutReply(2, 1, okOut)), up(2)})},
	{flaw: ErrorSticks, kernel: drops, ops: story([]Op{Open{}, client(tracktest.StartRequest()),
		server(tracktest.StartReply(pptp.StartResultGeneralError)), client(tracktest.StartRequest()),
		server(tracktest.StartReply(okStart))}, outCall(1, 2), []Op{up(2)})},
	{flaw: ZeroRefuses, kernel: drops, ops: story([]Op{Open{}, client(tracktest.StartRequest()),
		server(tracktest.StartReply(pptp.StartResultUnset))}, outCall(1, 2), []Op{up(2)})},
	{flaw: RequestTooSoon, kernel: drops, ops: []Op{Open{}, client(tracktest.StartRequest()), client(tracktest.OutRequest(1)),
		server(tracktest.StartReply(okStart)), server(tracktest.OutReply(2, 1, okOut)), up(2)}},
	{flaw: ReplyOverrules, kernel: drops, ops: story(started(), outCall(1, 2), []Op{server(tracktest.OutReply(3, 1, okOut)), up(3)})},
	{flaw: RequestWithdraws, kernel: drops, ops: story(started(), []Op{server(tracktest.InRequest(2)),
		client(tracktest.InReply(1, 2, okIn)), server(tracktest.InRequest(2)), server(tracktest.InConnected(1)), up(2)})},
	{flaw: RepeatExpects, kernel: lists, line: "expect GRE wan1 > lan1 id 1, sender's id 2", ops: story(started(), outCall(1, 2),
		[]Op{up(2), server(tracktest.OutReply(2, 1, okOut))})},
	{flaw: IDsClash, kernel: passes, dials: []Dial{{Lan1, Wan1}, {Lan1, Wan1}}, ops: story(
		started(), outCall(1, 2), on(1, story(started(), outCall(1, 3))...), []Op{up(3)})},
	{flaw: EarlyDropped, kernel: drops, step: 7, ops: story(started(),
		[]Op{client(tracktest.OutRequest(1)), down(1), server(tracktest.OutReply(2, 1, okOut))})},
	// An expectation that stayed has source key 0.
	{flaw: UnknownIsID0, with: RepeatExpects | RestStays, kernel: passes, ops: story(started(), outCall(0, 2),
		[]Op{up(2), server(tracktest.OutReply(2, 0, okOut)), server(tracktest.Disconnect(2)), up(2)})},
	{flaw: Version0IsID0, kernel: passes, ops: story(started(), outCall(0, 0), []Op{GRE{From: Lan1, To: Wan1, Form: Plain}})},
	{flaw: HeaderUnread, kernel: passes, ops: story(started(), outCall(1, 2), []Op{GRE{From: Lan1, To: Wan1, ID: 2, Form: NoKey}})},
	{flaw: SidesUnknown, kernel: passes, ops: story(started(), outCall(1, 2), []Op{GRE{From: Lan1, To: Wan1, ID: 2, Spoofed: true}})},
	{flaw: PaddingCut, kernel: "passes 54 of its 60 octets", ops: story(started(), []Op{Fin{From: Opener}})},
}

// TestRules plays each rule's example: what it says differs, for its reason
// and for no other.
func TestRules(t *testing.T) {
	o := newOracle(t)
	for _, e := range examples {
		t.Run(e.flaw.Names(), func(t *testing.T) {
			r := mustCompare(t, o, e.sequence())
			t.Logf("the kernel is wrong because %s (scenarios %v)\n%s", Rules[ruleOf(e.flaw)].Why, Rules[ruleOf(e.flaw)].Scenarios, r)
			if r.Problems != nil {
				t.Fatal("there are differences without a name")
			}
			e.check(t, r)
		})
	}
}

func (e example) check(t *testing.T, r *Report) {
	t.Helper()
	step := e.step
	if step == 0 && e.line == "" {
		step = len(r.Steps)
	}
	i := slices.IndexFunc(r.Differences, func(d Difference) bool { return d.Step == step && d.Line == e.line })
	if i < 0 {
		t.Fatal("what should differ does not")
	}
	if d := r.Differences[i]; d.Rules != e.flaw|e.with || fate(d.Kernel) != e.kernel {
		t.Errorf("%s; want the kernel: %s", d, e.kernel)
	}
}

func ruleOf(f Flaws) int { return slices.IndexFunc(Rules[:], func(r Rule) bool { return r.Flaw == f }) }

// TestEveryRuleIsTold checks the tables of rules and of examples.
func TestEveryRuleIsTold(t *testing.T) {
	names := make(map[string]bool)
	for i, r := range Rules {
		if r.Flaw != 1<<i || r.Name == "" || names[r.Name] || r.Why == "" || len(r.Scenarios) == 0 {
			t.Errorf("rule %d is incomplete or in the wrong place: %+v", i, r)
		}
		names[r.Name] = true
		if !slices.ContainsFunc(examples, func(e example) bool { return e.flaw == r.Flaw }) {
			t.Errorf("rule %s has no example", r.Name)
		}
		for _, n := range r.Scenarios {
			if n < 1 || n > 112 {
				t.Errorf("rule %s: there is no scenario %d", r.Name, n)
			}
		}
	}
	if allFlaws != 1<<len(Rules)-1 {
		t.Errorf("there are %d flaws and %d rules", allFlaws.Len(), len(Rules))
	}
}
