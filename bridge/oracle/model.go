package oracle

import (
	"encoding/binary"
	"fmt"
)

// model is the PPTP helper of Linux with conntrack's GRE tracker, as far as
// the frames of a Step can tell: with all flaws it is the kernel, without any
// it is right. Comments name functions of the kernel.
type model struct {
	flaws  Flaws
	conns  []*control
	keymap []*mapping
	expect []*expectation
	flows  []*flow

	awaited map[tuple]*call // by GRE without source key: calls that are not agreed
	early   []early
	late    []int // steps whose frames pass after all
	steps   int   // done
	calls   int   // there ever were
}

// early is GRE that came before its call was agreed.
type early struct {
	tuple
	call *call
	step int
}

// control is a TCP connection with what the helper knows of it.
type control struct {
	Dial
	exists    bool // opened at least once
	closed    bool // nothing it says counts any more
	session   session
	requester End      // who sent the Start-Control-Connection-Request
	calls     []*call  // the newest last
	before    *control // the connection whose calls go on until this one has a session
	ends      [2]direction

	fins      int
	left      [2]bool // the end has said FIN
	wasReset  bool
	resetLast bool // a reset of the opener was the last segment
	resetFar  bool // a reset out of window came behind a FIN
}

// session is the state of a control connection, in the kernel's order.
type session int

const (
	sessionNone session = iota
	sessionError
	sessionStopping
	sessionRequested
	sessionConfirmed
)

// call is a call. Under the flaw OneCall a connection has only one, which
// takes whatever is said.
type call struct {
	control            *control
	incoming           bool
	pns                End
	state              callState
	pnsID, pacID       uint16
	pnsKnown, pacKnown bool
	pnsPast, pacPast   bool // another call that waits has got this ID
	agreed             bool
	taken              bool // an ID of it is another call's, and nothing is held for it
	gone               bool
	number             int // the order in which calls are asked for
}

// callState is the state of a call, as the kernel has it.
type callState int

const (
	callNone callState = iota
	outRequested
	outConfirmed
	inRequested
	inReplied
	inConfirmed
	clearRequested
)

// outcome is what a player (kernel, grewire, model) made of a sequence.
type outcome struct {
	frames   [][]byte        // what came out, by step; nil: nothing
	tables   map[string]bool // calls and expectations in the end
	problems []string        // what went wrong otherwise
}

// flowLine is a call's line in the tables of all players: the lower host first.
func flowLine(t tuple) string {
	if t.src > t.dst {
		t = t.inverse()
	}
	return fmt.Sprintf("call %s id %d, %s id %d", t.src, t.srcKey, t.dst, t.dstKey)
}

func expectLine(t tuple) string {
	return fmt.Sprintf("expect GRE %s > %s id %d, sender's id %d", t.src, t.dst, t.dstKey, t.srcKey)
}

// play plays steps through a model with these flaws.
func play(dials []Dial, steps []Step, flaws Flaws) outcome {
	m := &model{flaws: flaws, awaited: make(map[tuple]*call)}
	for _, d := range dials {
		m.conns = append(m.conns, &control{Dial: d})
	}
	out := outcome{tables: make(map[string]bool)}
	for i := range steps {
		out.frames = append(out.frames, m.forward(&steps[i]))
		m.steps++
	}
	for _, i := range m.late {
		out.frames[i] = steps[i].Frame
	}
	for _, f := range m.flows {
		out.tables[flowLine(f.tuple)] = true
	}
	for _, e := range m.expect {
		out.tables[expectLine(e.tuple)] = true
	}
	return out
}

func (m *model) has(f Flaws) bool { return m.flaws&f != 0 }

// forward returns what comes out when a frame is sent.
func (m *model) forward(s *Step) []byte {
	if !m.step(s) {
		return nil
	}
	if m.has(PaddingCut) { // br_validate_ipv4
		return s.Frame[:ethernetHeader+int(binary.BigEndian.Uint16(s.Frame[ethernetHeader+2:]))]
	}
	return s.Frame
}

func (m *model) step(s *Step) (passed bool) {
	if s.gre != nil {
		return m.gre(s.gre)
	}
	seg := s.segment
	c := m.conns[seg.conn]
	if seg.spoofed && !m.has(SidesUnknown) {
		return false
	}
	resetLast := false
	switch seg.act {
	case opened:
		m.open(seg.conn)
	case closes:
		c.left[seg.from] = true
		m.finish(c)
	case resets:
		m.reset(c)
		resetLast = seg.from == Opener
	case data:
		m.segment(c, seg)
	case nothing:
		c.resetFar = c.resetFar || c.fins == 1 && seg.isForged() && len(seg.forged) == 0
	}
	m.conns[seg.conn].resetLast = resetLast || c.resetLast && seg.isForged() && !seg.spoofed
	return true
}

// open starts a connection's next life.
func (m *model) open(conn int) {
	c := m.conns[conn]
	next := &control{Dial: c.Dial, exists: true}
	switch {
	case !c.exists:
	case !m.has(ReconnectKept):
		next.before = m.goesOn(c)
	case c.fins == 2 || c.resetFar || c.wasReset && (c.fins > 0 || c.resetLast):
		m.destroy(c) // nf_conntrack_tcp_packet: SYN on a closed connection kills it
	default:
		next.session, next.requester, next.calls = c.session, c.requester, c.calls
		for _, k := range next.calls {
			k.control = next
		}
	}
	m.conns[conn] = next
}

// goesOn returns the connection whose calls go on when its ends shake hands again:
// c unless it is over, or the one before if c never had a session.
func (m *model) goesOn(c *control) *control {
	if c.before == nil && !c.closed && !c.wasReset && c.fins == 0 {
		return c
	}
	m.endAll(c)
	return c.before
}

// hasLeft reports whether a host has closed its end.
func (c *control) hasLeft(h Host) bool {
	return c.left[Opener] && c.At(Opener) == h || c.left[Opener.Other()] && c.At(Opener.Other()) == h
}

func (m *model) finish(c *control) {
	if c.fins++; c.fins == 2 && !m.has(FinKeepsCalls) {
		m.close(c)
	}
}

func (m *model) reset(c *control) {
	c.wasReset = true
	if !m.has(ResetKeepsCalls) {
		m.close(c)
	}
}

func (m *model) close(c *control) {
	m.endAll(c)
	c.closed, c.session = true, sessionNone
}

// direction is how far an end's stream was read.
type direction struct {
	have []bool         // by octet
	seen map[int]*views // by the start of a message
}

// views is how a message was seen.
type views struct {
	whole, first bool // in one segment; at its start
	taken        bool // acted upon
}

// segment reads the messages in a segment of data.
func (m *model) segment(c *control, s *segment) {
	if s.stream == nil {
		for _, say := range s.forged {
			m.message(c, s.from, say)
		}
		return
	}
	d := &c.ends[s.from]
	d.receive(s)
	inOrder := d.prefix()
	for i := range s.stream.messages {
		if p := &s.stream.messages[i]; m.visible(d, s, p, inOrder) {
			d.seen[p.start].taken = true
			m.message(c, s.from, p.said)
		}
	}
}

// receive notes the octets of a segment and how its messages lie in it.
func (d *direction) receive(s *segment) {
	if d.seen == nil {
		d.seen = make(map[int]*views)
	}
	for len(d.have) < s.stop {
		d.have = append(d.have, false)
	}
	for i := s.start; i < s.stop; i++ {
		d.have[i] = true
	}
	for _, p := range s.stream.messages {
		v := d.seen[p.start]
		if v == nil {
			v = new(views)
			d.seen[p.start] = v
		}
		if whole := s.start <= p.start && p.stop <= s.stop; whole {
			v.whole, v.first = true, v.first || s.start == p.start
		}
	}
}

// prefix is the number of octets before the first gap.
func (d *direction) prefix() int { return d.gap(0, len(d.have)) }

// gap returns the first octet in [from, to) that is not there, or to.
func (d *direction) gap(from, to int) int {
	for i := from; i < to; i++ {
		if i >= len(d.have) || !d.have[i] {
			return i
		}
	}
	return to
}

// visible reports whether a message is acted upon now that segment s has come.
func (m *model) visible(d *direction, s *segment, p *placed, inOrder int) bool {
	v := d.seen[p.start]
	inside := s.start <= p.start && p.stop <= s.stop
	if v.taken {
		return m.has(RepeatActs) && inside && (s.start == p.start || !m.has(FirstOnly))
	}
	switch {
	case d.gap(p.start, p.stop) < p.stop:
		return false // not all there
	case inOrder < p.stop && !m.has(EarlyActs):
		return false // something before it is not there
	case !v.whole:
		return !m.has(SplitUnseen)
	case !v.first:
		return !m.has(FirstOnly)
	}
	return true
}
