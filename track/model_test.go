package track_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// The model says the rules of calls once more, in the plainest way: lists that
// are searched from end to end. Ends of a connection are 0, the LAN's, and 1.

type modelCall struct {
	conn     int
	outgoing bool
	pns      int    // the end that is the PNS
	ids      [2]int // by end, -1 while unknown
	state    string // requested, replied, agreed, clearing, aborting
	seen     [2]bool
	taken    bool // an id of it is another call's, and nothing is held for it
}

func (k *modelCall) agreed() bool { return k.state == "agreed" || k.state == "clearing" }

// has reports whether the call's end has this id.
func (k *modelCall) has(end, id int) bool { return k.ids[end] == id }

type modelConn struct {
	pair      int // connections of one pair of hosts share call IDs
	session   string
	requester int
	fin       [2]bool
	closed    bool
}

type model struct {
	conns   []modelConn
	calls   []*modelCall // in the order in which they were asked for
	awaited map[greTo]*modelCall
	held    []modelHeld
}

// greTo is GRE for an ID of an end.
type greTo struct{ pair, end, id int }

// modelHeld is GRE from an end that came before its call was agreed.
type modelHeld struct {
	call *modelCall
	from int
}

// await makes GRE for the call's known ids wait for it, and for no older one.
func (m *model) await(k *modelCall) {
	if k.taken {
		return
	}
	for end, id := range k.ids {
		at := greTo{m.conns[k.conn].pair, end, id}
		had := m.awaited[at]
		if id < 0 || m.waiting(had) && slices.Index(m.calls, had) >= slices.Index(m.calls, k) {
			continue
		}
		m.held = slices.DeleteFunc(m.held, func(h modelHeld) bool { return h.call == had && h.from == 1-end })
		m.awaited[at] = k
	}
}

// find returns the newest call of a connection that satisfies is, agreed ones
// or pending ones.
func (m *model) find(conn int, agreed bool, is func(k *modelCall) bool) *modelCall {
	for _, k := range slices.Backward(m.calls) {
		if k.conn == conn && k.agreed() == agreed && is(k) {
			return k
		}
	}
	return nil
}

// waiting reports whether a call is asked for, and not agreed or over.
func (m *model) waiting(k *modelCall) bool { return slices.Contains(m.calls, k) && !k.agreed() }

// restart forgets what is held.
func (m *model) restart() {
	m.held, m.awaited = nil, make(map[greTo]*modelCall)
	for _, k := range m.calls {
		if !k.agreed() {
			m.await(k)
		}
	}
}

func (m *model) end(gone func(k *modelCall) bool) { m.calls = slices.DeleteFunc(m.calls, gone) }

func (m *model) endAll(conn int) { m.end(func(k *modelCall) bool { return k.conn == conn }) }

// takes reports whether a call gets its id at an end. One that has it is replaced if
// it is of the same connection, or of one that this end has closed; as long as the
// end is there, the ids of other connections are taken.
func (m *model) takes(k *modelCall, end int) bool {
	taken := false
	m.end(func(old *modelCall) bool {
		if old == k || !old.agreed() || m.conns[old.conn].pair != m.conns[k.conn].pair || !old.has(end, k.ids[end]) {
			return false
		}
		taken = taken || old.conn != k.conn && !m.conns[old.conn].fin[end]
		return !taken
	})
	return !taken
}

// connect agrees a call if its ids are not taken; otherwise it stays as it is, and
// nothing is held for it.
func (m *model) connect(k *modelCall) {
	if k.taken = !m.takes(k, k.pns) || !m.takes(k, 1-k.pns); k.taken {
		if k.outgoing {
			k.state = "requested"
		}
		for end, id := range k.ids {
			at := greTo{m.conns[k.conn].pair, end, id}
			if m.awaited[at] == k {
				m.held = slices.DeleteFunc(m.held, func(h modelHeld) bool { return h.call == k && h.from == 1-end })
				delete(m.awaited, at)
			}
		}
		return
	}
	k.state = "agreed"
	for end, id := range k.ids {
		at := greTo{m.conns[k.conn].pair, end, id}
		had := m.awaited[at]
		for _, h := range m.held {
			if h.call == had && h.from == 1-end && slices.Contains(m.calls, had) {
				k.seen[h.from] = true
			}
		}
		m.held = slices.DeleteFunc(m.held, func(h modelHeld) bool { return h.call == had && h.from == 1-end })
		delete(m.awaited, at)
	}
}

func (m *model) session(conn, from int, t pptp.ControlType, ok bool) {
	c := &m.conns[conn]
	switch {
	case t == pptp.StartControlConnectionRequest && c.session == "":
		c.session, c.requester = "requested", from
	case t == pptp.StartControlConnectionReply && c.session == "requested" && from != c.requester:
		c.session = "established"
		if !ok {
			c.session = ""
			m.endAll(conn)
		}
	case t == pptp.StopControlConnectionRequest:
		c.session = "stopping"
		m.endAll(conn)
	case t == pptp.StopControlConnectionReply && c.session == "stopping":
		c.session = ""
	}
}

// said is a message of the end from: its sender's id, the receiver's, success.
type said struct {
	conn, from int
	t          pptp.ControlType
	own, peers int
	ok         bool
}

func (m *model) say(s said) {
	c := &m.conns[s.conn]
	switch {
	case c.closed:
	case s.t <= pptp.StopControlConnectionReply:
		m.session(s.conn, s.from, s.t, s.ok)
	case c.session != "established" && !c.waits(s):
	case s.t == pptp.OutgoingCallRequest || s.t == pptp.IncomingCallRequest:
		m.request(s)
	case s.t == pptp.OutgoingCallReply || s.t == pptp.IncomingCallReply:
		m.reply(s)
	case s.t == pptp.IncomingCallConnected:
		if k := m.find(s.conn, false, func(k *modelCall) bool {
			return !k.outgoing && k.pns == 1-s.from && k.has(k.pns, s.peers)
		}); k != nil && k.state == "replied" {
			m.connect(k)
		}
	case s.t == pptp.CallClearRequest:
		m.clear(s)
	case s.t == pptp.CallDisconnectNotify:
		m.disconnect(s)
	}
}

// waits reports whether what is said goes with the start that is not answered
// yet.
func (c *modelConn) waits(s said) bool {
	early := s.t == pptp.OutgoingCallRequest || s.t == pptp.IncomingCallRequest || s.t == pptp.CallClearRequest
	return c.session == "requested" && s.from == c.requester && early
}

func (m *model) request(s said) {
	outgoing := s.t == pptp.OutgoingCallRequest
	k := &modelCall{conn: s.conn, outgoing: outgoing, pns: s.from, ids: [2]int{-1, -1}, state: "requested"}
	if !outgoing {
		k.pns = 1 - s.from
	}
	k.ids[s.from] = s.own
	again := m.find(s.conn, false, func(had *modelCall) bool {
		return had.outgoing == outgoing && had.pns == k.pns && had.has(s.from, s.own)
	})
	if again != nil && again.state == "aborting" { // its ID is used anew
		m.end(func(gone *modelCall) bool { return gone == again })
		again = nil
	}
	if again == nil {
		m.calls = append(m.calls, k)
		again = k
	}
	m.await(again)
}

func (m *model) reply(s said) {
	outgoing := s.t == pptp.OutgoingCallReply
	asker := 1 - s.from
	k := m.find(s.conn, false, func(k *modelCall) bool {
		return k.outgoing == outgoing && (k.pns == asker) == outgoing && k.has(asker, s.peers)
	})
	switch {
	case k == nil:
		m.answerAnew(s)
	case k.ids[s.from] >= 0 && k.ids[s.from] != s.own && !(outgoing && k.taken && s.ok):
	case !s.ok && (k.state == "requested" || k.state == "aborting" && outgoing):
		m.end(func(gone *modelCall) bool { return gone == k })
	case s.ok && k.state == "requested":
		k.ids[s.from] = s.own
		if outgoing {
			m.connect(k)
		} else {
			k.state = "replied"
			m.await(k)
		}
	}
}

// answerAnew takes another answer to an agreed call of which no GRE was seen.
func (m *model) answerAnew(s said) {
	k := m.find(s.conn, true, func(k *modelCall) bool { return k.pns == 1-s.from && k.has(k.pns, s.peers) })
	if k == nil || !k.outgoing || s.t != pptp.OutgoingCallReply || !s.ok {
		return
	}
	if k.state == "agreed" && k.seen == [2]bool{} && !k.has(s.from, s.own) {
		k.ids[s.from] = s.own
		m.connect(k)
	}
}

func (m *model) clear(s said) {
	k := m.named(s)
	switch {
	case k == nil:
	case k.agreed():
		k.state = "clearing"
	default:
		k.state = "aborting"
	}
}

func (m *model) disconnect(s said) {
	if k := m.named(s); k != nil {
		m.end(func(gone *modelCall) bool { return gone == k })
	}
}

// named finds the call that its sender ends, by its own ID or by the other's.
func (m *model) named(s said) *modelCall {
	for _, whose := range []int{s.from, 1 - s.from} {
		for _, agreed := range []bool{true, false} {
			if k := m.find(s.conn, agreed, func(k *modelCall) bool { return k.has(whose, s.own) }); k != nil {
				return k
			}
		}
	}
	return nil
}

func (m *model) fin(conn, from int) {
	c := &m.conns[conn]
	if c.fin[from] = true; c.fin[1-from] && !c.closed {
		c.closed = true
		m.endAll(conn)
	}
}

func (m *model) reset(conn int) {
	m.conns[conn].closed = true
	m.endAll(conn)
}

// gre reports whether GRE between a pair of hosts, from an end, may pass.
func (m *model) gre(pair, from, id int) bool {
	for _, k := range m.calls {
		if k.agreed() && m.conns[k.conn].pair == pair && k.has(1-from, id) {
			k.seen[from] = true
			return true
		}
	}
	if k := m.awaited[greTo{pair, 1 - from, id}]; m.waiting(k) {
		m.held = append(m.held, modelHeld{k, from})
	}
	return false
}

func (m *model) String() string {
	var b strings.Builder
	for _, k := range m.calls {
		state, kind := "requested", track.Incoming
		switch {
		case k.state == "clearing":
			state = "clearing"
		case k.agreed() && k.seen[0] && k.seen[1]:
			state = "active"
		case k.agreed():
			state = "connected"
		}
		if k.outgoing {
			kind = track.Outgoing
		}
		fmt.Fprintf(&b, "connection %d: %s %s, PNS on %s, ids %d and %d\n", k.conn, kind, state, track.Side(k.pns), max(k.ids[0], 0), max(k.ids[1], 0))
	}
	return b.String()
}

// theatre plays the same on a tracker and on the model.
type theatre struct {
	w       *tracktest.World
	m       model
	clients []*tracktest.Host
	conns   []*tracktest.Conn
}

// connect opens a connection of a pair of hosts, by either of them.
func (p *theatre) connect(pair int, byServer bool) {
	opener, answerer := p.clients[pair], p.w.Server
	if byServer {
		opener, answerer = answerer, opener
	}
	p.conns = append(p.conns, p.w.Connect(opener, answerer))
	p.m.conns = append(p.m.conns, modelConn{pair: pair})
}

func (p *theatre) host(conn, end int) *tracktest.Host {
	if end == 1 {
		return p.w.Server
	}
	return p.clients[p.m.conns[conn].pair]
}

func (p *theatre) String() string {
	var b strings.Builder
	for _, k := range p.w.Tracker.Calls() {
		conn := slices.IndexFunc(p.conns, func(c *tracktest.Conn) bool {
			return k.Control.LANPort == c.End(p.host(p.index(c), 0)).Port && k.Control.WANPort == c.End(p.w.Server).Port
		})
		lan, wan := k.PNS, k.PAC
		if lan.Side == track.WAN {
			lan, wan = wan, lan
		}
		fmt.Fprintf(&b, "connection %d: %s %s, PNS on %s, ids %d and %d\n", conn, k.Kind, k.State, k.PNS.Side, lan.CallID, wan.CallID)
	}
	return b.String()
}

func (p *theatre) index(c *tracktest.Conn) int { return slices.Index(p.conns, c) }

// message makes the message that s describes.
func (s said) message() pptp.Message {
	own, peers, result := uint16(s.own), uint16(s.peers), uint8(2)
	if s.ok {
		result = 1
	}
	switch s.t {
	case pptp.StartControlConnectionRequest:
		return tracktest.StartRequest()
	case pptp.StartControlConnectionReply:
		return tracktest.StartReply(pptp.StartResult(result))
	case pptp.StopControlConnectionRequest:
		return tracktest.StopRequest()
	case pptp.StopControlConnectionReply:
		return tracktest.StopReply()
	case pptp.EchoRequest:
		return tracktest.EchoRequest(1)
	case pptp.EchoReply:
		return tracktest.EchoReply(1)
	case pptp.OutgoingCallRequest:
		return tracktest.OutRequest(own)
	case pptp.OutgoingCallReply:
		return tracktest.OutReply(own, peers, pptp.OutCallResult(result))
	case pptp.IncomingCallRequest:
		return tracktest.InRequest(own)
	case pptp.IncomingCallReply:
		return tracktest.InReply(own, peers, pptp.InCallResult(result))
	case pptp.IncomingCallConnected:
		return tracktest.InConnected(peers)
	case pptp.CallClearRequest:
		return tracktest.ClearRequest(own)
	case pptp.CallDisconnectNotify:
		return tracktest.Disconnect(own)
	case pptp.WANErrorNotify:
		return tracktest.WANError(peers)
	}
	return tracktest.LinkInfo(peers)
}

// spoken are the messages that conversations are made of; the ones that lead
// somewhere come more often.
var spoken = []pptp.ControlType{
	pptp.OutgoingCallRequest, pptp.OutgoingCallReply, pptp.OutgoingCallRequest, pptp.OutgoingCallReply,
	pptp.IncomingCallRequest, pptp.IncomingCallReply, pptp.IncomingCallConnected,
	pptp.IncomingCallRequest, pptp.IncomingCallReply, pptp.IncomingCallConnected,
	pptp.CallClearRequest, pptp.CallDisconnectNotify, pptp.WANErrorNotify, pptp.SetLinkInfo, pptp.EchoRequest, pptp.EchoReply,
	pptp.StartControlConnectionRequest, pptp.StartControlConnectionReply,
	pptp.StopControlConnectionRequest, pptp.StopControlConnectionReply,
}

func (p *theatre) step(t *rapid.T) {
	id := func(label string) int { return rapid.IntRange(0, 2).Draw(t, label) }
	conn, end := rapid.IntRange(0, len(p.conns)-1).Draw(t, "connection"), rapid.IntRange(0, 1).Draw(t, "end")
	switch move := rapid.IntRange(0, 39).Draw(t, "move"); {
	case move == 0 && len(p.conns) < 6:
		p.connect(rapid.IntRange(0, 1).Draw(t, "pair"), rapid.Bool().Draw(t, "by the server"))
	case move == 1 && !p.m.conns[conn].fin[end]:
		p.conns[conn].Fin(p.host(conn, end))
		p.m.fin(conn, end)
	case move == 2:
		p.conns[conn].Reset(p.host(conn, end))
		p.m.reset(conn)
	case move < 14:
		pair, number := rapid.IntRange(0, 1).Draw(t, "pair"), id("GRE call ID")
		hosts := [2]*tracktest.Host{p.clients[pair], p.w.Server}
		r := p.w.GRE(hosts[end], hosts[1-end], uint16(number))
		if wanted := p.m.gre(pair, end, number); r.Passed() != wanted {
			t.Fatalf("%s, want passed %v", r, wanted)
		}
	default:
		s := said{
			conn: conn, from: end, t: rapid.SampledFrom(spoken).Draw(t, "message"),
			own: id("own"), peers: id("peer's"), ok: rapid.IntRange(0, 3).Draw(t, "result") != 0,
		}
		if p.m.conns[conn].fin[end] {
			return // TCP lets nothing come behind FIN
		}
		p.conns[conn].Say(p.host(conn, end), s.message())
		p.m.say(s)
	}
	p.w.Step() // what is held by the other side's Lane leaves with its next batch
	if got, wanted := p.String(), p.m.String(); got != wanted {
		t.Fatalf("calls are\n%swant\n%s", got, wanted)
	}
}

// newTheatre has three connections of two clients, on which calls may be opened.
func newTheatre(t *rapid.T) *theatre {
	w := tracktest.New(t)
	p := &theatre{w: w, m: model{awaited: make(map[greTo]*modelCall)}, clients: []*tracktest.Host{w.Client, tracktest.NewHost(track.LAN, "192.0.2.11")}}
	p.connect(0, false)
	p.connect(0, true)
	p.connect(1, false)
	for conn := range p.conns {
		for _, t := range []pptp.ControlType{pptp.StartControlConnectionRequest, pptp.StartControlConnectionReply} {
			s := said{conn: conn, from: int(t - 1), t: t, ok: true}
			p.conns[conn].Say(p.host(conn, s.from), s.message())
			p.m.say(s)
		}
	}
	return p
}

// TestAgainstModel plays random conversations, legal and not, on connections
// whose call IDs collide.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newTheatre(t)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			p.step(t)
		}
		p.w.CheckEmpty()
	})
}
