package oracle

import "github.com/grewire/grewire/track/pptp"

// ok is the Result Code of a reply that grants what was asked for.
const ok = 1

// sentByPNS tells who sends a message about a call: RFC 2637, sections 2.7 to
// 2.15.
var sentByPNS = map[pptp.ControlType]bool{
	pptp.OutgoingCallRequest: true, pptp.IncomingCallReply: true, pptp.CallClearRequest: true,
	pptp.OutgoingCallReply: false, pptp.IncomingCallRequest: false,
	pptp.IncomingCallConnected: false, pptp.CallDisconnectNotify: false,
}

// message acts on a message (conntrack_pptp_help).
func (m *model) message(c *control, from End, s said) {
	if c.closed {
		return
	}
	switch s.kind {
	case pptp.StartControlConnectionRequest, pptp.StartControlConnectionReply:
		m.start(c, from, s)
	case pptp.StopControlConnectionRequest, pptp.StopControlConnectionReply:
		m.stop(c, from, s)
	}
	byPNS, aboutCall := sentByPNS[s.kind]
	if !aboutCall || m.has(OpenerIsPNS) && byPNS != (from == Opener) {
		return
	}
	m.callMessage(c, from, s)
}

func (m *model) start(c *control, from End, s said) {
	request := s.kind == pptp.StartControlConnectionRequest
	if m.has(OpenerIsPNS) && request != (from == Opener) {
		return
	}
	switch {
	case request && c.session == sessionNone:
		c.session, c.requester = sessionRequested, from
	case request || c.session < sessionRequested || from == c.requester:
	case s.result == ok || s.result == 0 && !m.has(ZeroRefuses):
		c.session = sessionConfirmed
		m.replace(c)
	case m.has(ErrorSticks):
		c.session = sessionError
	case c.session == sessionRequested:
		c.session = sessionNone
		m.endAll(c) // those that waited
	}
}

// replace ends the calls of the connection before c, which has a session now, and
// has the requests count that waited for it.
func (m *model) replace(c *control) {
	if c.before == nil {
		return
	}
	m.endAll(c.before)
	c.before = nil
	for _, k := range c.calls {
		m.await(k)
	}
}

func (m *model) stop(c *control, from End, s said) {
	request := s.kind == pptp.StopControlConnectionRequest
	if m.has(StopKeepsCalls) && request != (from == Opener) {
		return
	}
	switch {
	case request:
		c.session = sessionStopping
		if !m.has(StopKeepsCalls) {
			m.endAll(c)
		}
	case c.session > sessionStopping:
	case s.result != ok && m.has(ErrorSticks):
		c.session = sessionError
	default:
		c.session = sessionNone
	}
}

func (m *model) callMessage(c *control, from End, s said) {
	confirmed := c.session == sessionConfirmed
	if c.session == sessionRequested && from == c.requester && !m.has(RequestTooSoon) {
		confirmed = s.kind == pptp.OutgoingCallRequest || s.kind == pptp.IncomingCallRequest || s.kind == pptp.CallClearRequest
	}
	waits := c.session == sessionRequested && !m.has(RequestTooSoon) // nothing is answered yet
	switch {
	case s.kind == pptp.CallDisconnectNotify && !waits: // in any other session
		m.disconnect(c, from, s)
	case s.kind == pptp.IncomingCallReply && !waits: // in any other session
		m.inReply(c, from, s)
	case !confirmed:
	case s.kind == pptp.OutgoingCallRequest:
		m.outRequest(c, from, s)
	case s.kind == pptp.OutgoingCallReply:
		m.outReply(c, from, s)
	case s.kind == pptp.IncomingCallRequest:
		m.inRequest(c, from, s)
	case s.kind == pptp.IncomingCallConnected:
		m.inConnected(c, from, s)
	case s.kind == pptp.CallClearRequest:
		m.clear(c, from, s)
	}
}

func (m *model) outRequest(c *control, from End, s said) {
	same := func(k *call) bool { return !k.incoming && k.isPNS(from, s.id) }
	k := m.forRequest(c, same)
	if k.taken && k.state == outRequested && same(k) {
		k.claim()
		return // a repeat: the call has its answer, and waits for the ID in it
	}
	k.incoming, k.pns, k.agreed, k.taken = false, from, false, false
	k.state = outRequested
	k.pnsID, k.pnsKnown, k.pacKnown = s.id, true, false
	k.claim()
	m.await(k)
}

func (m *model) inRequest(c *control, from End, s said) {
	same := func(k *call) bool { return k.incoming && k.isPAC(from, s.id) }
	k := m.forRequest(c, same)
	if k.state == inReplied && same(k) && !m.has(RequestWithdraws) {
		k.claim()
		m.await(k)
		return // a repeat
	}
	k.incoming, k.pns, k.agreed, k.taken = true, from.Other(), false, false
	k.state = inRequested
	k.pacID, k.pacKnown, k.pnsKnown = s.id, true, false
	k.claim()
	m.await(k)
}

func (m *model) outReply(c *control, from End, s said) {
	k := m.find(c, true, func(k *call) bool { return !k.incoming && k.isPNS(from.Other(), s.peerID) })
	if k != nil && k.taken && s.id != k.pacID && s.result != ok {
		return // another request is refused, and not what its ends have agreed
	}
	if k != nil && k.state == clearRequested && !k.agreed && s.result != ok && !m.has(AnyClear) {
		m.drop(k) // there is nothing to clear
	}
	if k == nil || k.state != outRequested && k.state != outConfirmed {
		return
	}
	if k.state == outConfirmed {
		same := s.result == ok && s.id == k.pacID
		if s.result == ok && !same && !m.has(ReplyOverrules) {
			m.answerAnew(k, s.id)
			return
		}
		if !m.has(ReplyOverrules) && !same || !m.has(RepeatExpects) && same {
			return
		}
	}
	if s.result != ok {
		m.drop(k)
		return
	}
	k.state, k.pacID, k.pacKnown = outConfirmed, s.id, true
	k.claim()
	m.connect(k)
}

// answerAnew replaces the answer to a call of which no GRE was seen.
func (m *model) answerAnew(k *call, pacID uint16) {
	for _, f := range m.flows {
		if f.call == k {
			return
		}
	}
	m.forget(k)
	k.pacID = pacID
	if m.connect(k); !k.agreed {
		k.claim() // it waits again
	}
}

func (m *model) inReply(c *control, from End, s said) {
	k := m.find(c, true, func(k *call) bool { return k.incoming && k.isPAC(from.Other(), s.peerID) })
	if k == nil || k.state != inRequested && k.state != inReplied {
		return
	}
	if k.state == inReplied && !m.has(ReplyOverrules) {
		return
	}
	if s.result != ok {
		m.drop(k)
		return
	}
	k.state, k.pnsID, k.pnsKnown = inReplied, s.id, true
	k.claim()
	m.await(k)
}

func (m *model) inConnected(c *control, from End, s said) {
	k := m.find(c, true, func(k *call) bool { return k.incoming && k.isPNS(from.Other(), s.peerID) })
	if k == nil || k.state != inReplied && k.state != inConfirmed {
		return
	}
	if k.state == inConfirmed && !m.has(RepeatExpects) {
		return
	}
	k.state = inConfirmed
	m.connect(k)
}

func (m *model) clear(c *control, from End, s said) {
	k := m.named(c, from, s)
	if m.has(AnyClear) {
		k = c.current()
	}
	if k != nil {
		k.state = clearRequested
	}
}

func (m *model) disconnect(c *control, from End, s said) {
	k := m.named(c, from, s)
	if m.has(AnyDisconnect) {
		k = m.sole(c)
	}
	if k != nil {
		m.remove(k)
		m.drop(k)
	}
}

// named finds the call that its sender ends, by its own ID or by the other's.
func (m *model) named(c *control, from End, s said) *call {
	for _, whose := range []End{from, from.Other()} {
		if k := m.find(c, false, func(k *call) bool { return k.isPNS(whose, s.id) || k.isPAC(whose, s.id) }); k != nil {
			return k
		}
	}
	return nil
}

// isPNS reports whether the call's PNS is this end, with this ID.
func (k *call) isPNS(e End, id uint16) bool {
	return k.pns == e && k.pnsKnown && k.pnsID == id && (k.agreed || !k.pnsPast)
}

// isPAC reports whether the call's PAC is this end, with this ID.
func (k *call) isPAC(e End, id uint16) bool {
	return k.pns == e.Other() && k.pacKnown && k.pacID == id && (k.agreed || !k.pacPast)
}

// claim has the IDs of a call that waits mean this one: who assigns an ID to a
// second call that waits has given up the first.
func (k *call) claim() {
	k.pnsPast, k.pacPast = false, false
	for _, o := range k.control.calls {
		if o == k || o.agreed || o.incoming != k.incoming || o.pns != k.pns {
			continue
		}
		o.pnsPast = o.pnsPast || o.pnsKnown && k.pnsKnown && o.pnsID == k.pnsID
		o.pacPast = o.pacPast || o.pacKnown && k.pacKnown && o.pacID == k.pacID
	}
}

// current is the call that the helper has in mind: the last.
func (c *control) current() *call {
	if len(c.calls) == 0 {
		return nil
	}
	return c.calls[len(c.calls)-1]
}

// sole is current; under OneCall there always is one, with IDs 0 at first.
func (m *model) sole(c *control) *call {
	if k := c.current(); k != nil || !m.has(OneCall) {
		return k
	}
	return m.newCall(c)
}

func (m *model) newCall(c *control) *call {
	m.calls++
	k := &call{control: c, number: m.calls}
	c.calls = append(c.calls, k)
	return k
}

// forRequest returns the call that a request is about: one that waits for its
// answer, or a new one.
func (m *model) forRequest(c *control, same func(*call) bool) *call {
	if m.has(OneCall) {
		if k := c.current(); k != nil {
			return k
		}
		return m.newCall(c)
	}
	if k := c.newest(func(k *call) bool { return !k.agreed && same(k) }); k != nil {
		if k.state != clearRequested {
			return k
		}
		m.drop(k) // its ID is used anew
	}
	return m.newCall(c)
}

// find returns the call that a message is about: among those that fit, one not
// yet agreed is preferred to an agreed one, or the other way round.
func (m *model) find(c *control, pendingFirst bool, fits func(*call) bool) *call {
	if k := c.newest(func(k *call) bool { return k.agreed != pendingFirst && fits(k) }); k != nil {
		return k
	}
	return c.newest(fits)
}

func (c *control) newest(fits func(*call) bool) *call {
	for i := len(c.calls) - 1; i >= 0; i-- {
		if fits(c.calls[i]) {
			return c.calls[i]
		}
	}
	return nil
}

// drop forgets a call that was refused, or of which the helper thinks so.
func (m *model) drop(k *call) {
	k.state, k.agreed, k.pnsKnown, k.pacKnown = callNone, false, false, false
	k.gone = true
	if m.has(OneCall) {
		return
	}
	c := k.control
	for i := range c.calls {
		if c.calls[i] == k {
			c.calls = append(c.calls[:i:i], c.calls[i+1:]...)
			return
		}
	}
}

// end ends a call with its GRE.
func (m *model) end(k *call) {
	m.forget(k)
	m.drop(k)
}

// endAll ends every call of a connection, also under OneCall those that the
// helper has forgotten.
func (m *model) endAll(c *control) {
	for _, k := range c.calls {
		m.forget(k)
		k.state, k.agreed, k.pnsKnown, k.pacKnown = callNone, false, false, false
		k.gone = true
	}
	if !m.has(OneCall) {
		c.calls = nil
	}
}
