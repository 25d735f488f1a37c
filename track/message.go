package track

import (
	"github.com/grewire/grewire/track/pptp"
)

// message acts on a control message that the end on side from sent. It returns
// the number of the call concerned, if any, and whether the message opened it.
func (w *work) message(c *connection, from Side, v pptp.View) (opened bool, serial uint64) {
	w.spent += messageWork
	w.alike = alike{}
	t := v.ControlType()
	switch {
	case v.MessageType() != pptp.ControlMessage || pptp.FixedLength(t) == 0:
		w.ignore(AnomalyUnknownMessage)
	case !v.Complete():
		w.ignore(AnomalyShortMessage)
	case isSessionMessage(t):
		w.sessionMessage(c, from, v)
	case !w.inSession(c, from, v):
		w.ignore(AnomalyIllegalMessage)
	case t == pptp.OutgoingCallRequest || t == pptp.IncomingCallRequest:
		serial = w.request(c, from, v)
	case w.beyondBudget(c, from):
		w.ignore(AnomalySkippedMessage)
	default:
		return w.callMessage(c, from, v)
	}
	return false, serial
}

// inSession reports whether the session allows a message about a call. What was
// agreed before on a connection seen from its middle is not known. What comes
// before the answer to the start counts only if its sender has shown to be there:
// nobody else has said anything yet.
func (w *work) inSession(c *connection, from Side, v pptp.View) bool {
	_, legal := c.session.Next(v.ControlType(), from == c.requester, 0)
	return legal && (c.session == pptp.SessionEstablished || c.hears(from)) || c.midway
}

// hears reports whether the end on side has acknowledged exactly what the other
// end has sent: somebody who does not see the connection would have to guess 32
// bits.
func (c *connection) hears(side Side) bool {
	me, peer := &c.ends[side], &c.ends[side.Other()]
	return c.phase == open && me.acks && peer.known && me.acked == peer.end
}

// isSessionMessage tells the messages about the control connection itself.
func isSessionMessage(t pptp.ControlType) bool { return t <= pptp.EchoReply }

// sessionMessage acts on a message about the connection itself.
func (w *work) sessionMessage(c *connection, from Side, v pptp.View) {
	t := v.ControlType()
	if t == pptp.StartControlConnectionRequest && c.session == pptp.SessionIdle {
		c.requester = from
	}
	result, _ := v.Result()
	next, ok := c.session.Next(t, from == c.requester, result)
	if !ok {
		w.count(AnomalyIllegalMessage)
		return
	}
	if t == pptp.EchoRequest || t == pptp.EchoReply {
		w.ignore(noAnomaly)
		return
	}
	c.session = next
	if t == pptp.StartControlConnectionReply && result == uint8(pptp.StartResultUnset) {
		w.count(AnomalyStartResult)
	}
	if t == pptp.StartControlConnectionRequest || t == pptp.StopControlConnectionRequest {
		w.t.leavePair(c)
		c.midway = false // now it is known where the session stands
	}
	switch {
	case t == pptp.StopControlConnectionRequest:
		w.endAll(c, "stop") // RFC 2637, section 2.3: it clears all calls
	case t == pptp.StartControlConnectionReply && next == pptp.SessionIdle:
		w.endAll(c, "start-refused") // those that waited for it
	}
}

// request opens a call that is asked for, or renews one that already is. A call
// that was being cleared before it was agreed is gone when its ID is used anew.
func (w *work) request(c *connection, from Side, v pptp.View) uint64 {
	t := v.ControlType()
	kind, _ := pptp.KindOf(t)
	role, _ := pptp.SenderOf(t)
	id, _ := v.CallID()
	r := w.t.findPending(c, &party{kind: kind, role: role, side: from, id: id, from: from})
	if r != 0 {
		if _, again := w.t.calls.at(r).state.Next(kind, t, 0); !again {
			w.endCall(c, r, "replaced")
			r = 0
		}
	}
	if r == 0 {
		if r = w.newCall(c); r == 0 {
			return 0
		}
		w.t.calls.at(r).ask(c, kind, role, from, id)
		w.callEvent(EventCallRequested, c, w.t.calls.at(r))
	}
	k := w.t.calls.at(r)
	if from == LAN {
		k.takeName(c, id)
	}
	w.t.reindex(c, r)
	k.control, k.waits = w.now, w.now
	w.await(c, k)
	return k.serial.Load()
}

// ask makes k a call that the end with this role, on side from, asks for.
func (k *call) ask(c *connection, kind pptp.CallKind, role pptp.Role, from Side, id uint16) {
	k.kind, k.pns = kind, from
	if role == pptp.PAC {
		k.pns = from.Other()
	}
	k.setID(c, role, id)
	k.state, _ = pptp.CallIdle.Next(kind, requestOf(kind), 0)
}

func requestOf(kind pptp.CallKind) pptp.ControlType {
	if kind == pptp.IncomingCall {
		return pptp.IncomingCallRequest
	}
	return pptp.OutgoingCallRequest
}

// callMessage acts on a message about a call that was asked for before.
func (w *work) callMessage(c *connection, from Side, v pptp.View) (opened bool, serial uint64) {
	r := w.concerned(c, from, v)
	if r == 0 {
		w.count(AnomalyUnmatchedMessage)
		return false, 0
	}
	k := w.t.calls.at(r)
	serial = k.serial.Load()
	result, _ := v.Result()
	if result == granted && isReply(v.ControlType()) && (k.refused || from == LAN && c.named && !c.reserved.held) {
		w.refuseGranted(c, r, v)
		return false, serial
	}
	next, ok := k.state.Next(k.kind, v.ControlType(), result)
	if !ok {
		w.count(AnomalyIllegalMessage)
		return false, serial
	}
	if k.control = w.now; next != k.state {
		c.notInVain(from)
	}
	return w.transition(c, r, next, v), serial
}

// refuseGranted notes that a reply which accepts a call leaves as a refusal, see
// refusal. Who has accepted it thinks that it lives, and will say by its own ID
// when it is over: until then, or until it has waited too long, that is not to
// be taken for another call's.
func (w *work) refuseGranted(c *connection, r ref, v pptp.View) {
	k := w.t.calls.at(r)
	role, _ := pptp.SenderOf(v.ControlType())
	id, _ := v.CallID()
	again := k.undead()
	w.answer(&c.identity, k)
	k.refused = true
	k.setID(c, role, id)
	w.t.reindex(c, r)
	k.control, k.waits = w.now, w.now
	if !again {
		c.notInVain(k.side(role))
		w.refusedEvent(c, k, uint16(pptp.OutCallResultGeneralError), 0)
	}
}

// concerned finds the call that a message is about.
func (w *work) concerned(c *connection, from Side, v pptp.View) ref {
	own, _ := v.CallID()
	peers, _ := v.PeerCallID()
	to := from.Other()
	switch v.ControlType() {
	case pptp.OutgoingCallReply:
		return w.answered(c, party{pptp.OutgoingCall, pptp.PNS, to, peers, from}, pptp.PAC, v)
	case pptp.IncomingCallReply:
		return w.answered(c, party{pptp.IncomingCall, pptp.PAC, to, peers, from}, pptp.PNS, v)
	case pptp.IncomingCallConnected:
		return w.pendingFirst(c, party{pptp.IncomingCall, pptp.PNS, to, peers, from})
	case pptp.CallClearRequest, pptp.CallDisconnectNotify:
		r, _ := w.named(c, from, own)
		return r
	case pptp.WANErrorNotify:
		return w.agreedFirst(c, party{0, pptp.PNS, to, peers, from})
	case pptp.SetLinkInfo:
		return w.agreedFirst(c, party{0, 0, to, peers, from})
	}
	return 0
}

// named finds the call that a message means which ends one, and says whose the ID
// is that it names it by. By the RFC it is the sender's own, and only the PNS asks
// and only the PAC tells; PNSs that tell exist as well as PACs that ask, and
// either may name the call by the other's ID instead.
func (w *work) named(c *connection, from Side, id uint16) (r ref, whose Side) {
	for _, whose = range [...]Side{from, from.Other()} {
		if r = w.agreedFirst(c, party{0, 0, whose, id, from}); r != 0 {
			break
		}
	}
	return r, whose
}

// answered finds the call that a reply answers: one that waits for it, one that
// got the same answer before, or one whose answer it may replace.
func (w *work) answered(c *connection, asker party, replier pptp.Role, v pptp.View) ref {
	r := w.pendingFirst(c, asker)
	if r != 0 {
		k := w.t.calls.at(r)
		id, _ := v.CallID()
		if had, known := k.id(replier); known && had != id && !k.replaceable(c, v) {
			return 0
		}
	}
	return r
}

// replaceable reports whether another answer may replace the one that agreed an
// outgoing call: as long as no GRE of it was seen. One of the LAN's end must have
// a call ID that leaves. The ends of a call that waits for a key have agreed as well:
// another answer that refuses it does not end it.
func (k *call) replaceable(c *connection, v pptp.View) bool {
	if k.kind != pptp.OutgoingCall || k.side(pptp.PAC) == LAN && c.named && !c.reserved.held {
		return false
	}
	result, _ := v.Result()
	return k.list == expecting && k.state == pptp.CallConnected || k.awaitsKey() && result == granted
}

func (w *work) pendingFirst(c *connection, p party) ref {
	if r := w.t.findPending(c, &p); r != 0 {
		return r
	}
	return w.t.findAgreed(c, &p)
}

func (w *work) agreedFirst(c *connection, p party) ref {
	if r := w.t.findAgreed(c, &p); r != 0 {
		return r
	}
	return w.t.findPending(c, &p)
}

// transition moves a call to its next state and reports whether that opened
// it.
func (w *work) transition(c *connection, r ref, next pptp.CallState, v pptp.View) (opened bool) {
	k := w.t.calls.at(r)
	had := k.state
	switch {
	case next == pptp.CallEnded && v.ControlType() == pptp.CallDisconnectNotify:
		w.endCall(c, r, "call-disconnect-notify")
	case next == pptp.CallEnded:
		w.refuse(c, r, v)
	case next == pptp.CallReplied && had != next:
		id, _ := v.CallID()
		k.setID(c, pptp.PNS, id)
		w.t.reindex(c, r)
		k.state, k.waits = next, w.now
		w.await(c, k)
	case next == pptp.CallConnected && had != next:
		if v.ControlType() == pptp.OutgoingCallReply {
			id, _ := v.CallID()
			w.setAnswer(c, k, id)
			w.t.reindex(c, r) // it may still not be let in
		}
		return w.connect(c, r)
	case next == pptp.CallConnected && v.ControlType() == pptp.OutgoingCallReply:
		id, _ := v.CallID()
		return w.answerAnew(c, r, id)
	default:
		k.state = next
	}
	return false
}

// answerAnew gives an agreed call the ID that another answer of its PAC has, and
// reports whether that is a new one.
func (w *work) answerAnew(c *connection, r ref, id uint16) (opened bool) {
	k := w.t.calls.at(r)
	had, _ := k.id(pptp.PAC)
	if had == id {
		return false
	}
	w.t.leaveKey(&c.identity, k, pptp.PAC)
	w.t.leaveQuote(&c.identity, k)
	w.setAnswer(c, k, id)
	switch entered := w.enterKey(c, r, pptp.PAC); {
	case !entered && k.contested:
		w.waitForKey(c, r)
		return false
	case !entered:
		w.endCall(c, r, "evicted")
		return false
	}
	w.enterTranslation(c, k)
	w.answer(&c.identity, k)
	w.callEvent(EventCallConnected, c, k)
	return true
}

// setAnswer gives an outgoing call the ID that its PAC has assigned, in place of
// another if it had one.
func (w *work) setAnswer(c *connection, k *call, id uint16) {
	had, known := k.id(pptp.PAC)
	if known && had != id && k.named && k.side(pptp.PAC) == LAN {
		w.t.nat.letGo(&c.identity, had, true, w.now)
		k.named = false
	}
	k.setID(c, pptp.PAC, id)
}
