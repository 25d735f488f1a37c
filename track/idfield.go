package track

import "github.com/grewire/grewire/track/pptp"

// Only IDs that the LAN's ends assigned are translated, whoever opened the
// connection and whoever is PNS: towards the WAN a message's Call ID, towards
// the LAN its Peer's Call ID, or its Call ID where it says the other end's by that.

// refusal is what a call that got no ID is answered: Result Code 2, general
// error, and Error Code 4, no resource (RFC 2637, section 2.16). Both octets
// stand behind the two IDs of a reply.
const (
	refusal   = 2<<8 | 4
	refusalAt = 16
)

// nameIDs takes note of what is there of a message, all of it or its first octets
// only, and decides what its call ID is on the other side as soon as that is
// there. Until then none of it is known to the WAN.
func (w *work) nameIDs(c *connection, from Side, position uint32, v pptp.View, whole bool) {
	if len(v) == 0 {
		return
	}
	h := w.headOf(c, from, position, v, whole)
	at, ok := idField(from, v)
	if h == nil || !ok || h.named {
		return
	}
	if h.named = len(v) >= at+fieldLength; from == LAN {
		w.nameOutward(c, h, at, v)
	} else if h.named {
		w.nameInward(c, h, at, v)
	}
}

// idField returns where, in a message that the end on a side sends, the ID
// stands that may have to change.
func idField(from Side, v pptp.View) (at int, ok bool) {
	t := v.ControlType()
	switch {
	case v.MessageType() != pptp.ControlMessage:
		return 0, false
	case from == LAN || endsCall(t):
		return pptp.CallIDOffset(t)
	}
	return pptp.PeerCallIDOffset(t)
}

// decides reports whether the first octets of a message that the end on a side sends
// tell how it leaves: with the whole of the ID that may have to change, or without
// any.
func decides(from Side, v pptp.View) bool {
	at, names := idField(from, v)
	return len(v) >= pptp.HeaderLength && (!names || len(v) >= at+fieldLength)
}

// endsCall tells the messages that end a call. By the RFC the PNS sends the one
// and the PAC the other, and each says its own ID; peers exist that do otherwise.
func endsCall(t pptp.ControlType) bool {
	return t == pptp.CallClearRequest || t == pptp.CallDisconnectNotify
}

// nameOutward puts the only ID into a message of the LAN's end with which it may
// leave. As long as the ID is not there that is NoCallID, whose octets are equal.
func (w *work) nameOutward(c *connection, h *head, at int, v pptp.View) {
	id := uint16(NoCallID)
	if h.named {
		id = w.outward(c, h, v)
	}
	for ; at < int(h.n) && !h.named; at++ {
		h.octets[at] = byte(id)
	}
	if h.named {
		h.name(at, id)
	}
}

// outward is the one place where it is decided with which Call ID a message of
// the LAN's end leaves, whatever its type, its sender's role, and the time: with
// what the WAN calls the ID, or with NoCallID. An ID as the LAN has it never
// leaves, for it may be another host's there. Only what is the WAN's own ID of a
// call of this connection stays what it is. What leaves is kept with the message
// (heads.go), so that it leaves the same when it is sent again.
func (w *work) outward(c *connection, h *head, v pptp.View) uint16 {
	id, _ := v.CallID()
	t := v.ControlType()
	result, known := v.Result()
	switch {
	case t == pptp.OutgoingCallRequest || t == pptp.IncomingCallRequest:
		return w.reserve(c, id, v)
	case isReply(t) && (result == granted || !known):
		alias := w.reserve(c, id, v)
		if c.reserved.dead {
			h.refuse()
		}
		return alias
	case endsCall(t):
		if r, whose := w.named(c, LAN, id); r != 0 && whose == WAN {
			return id
		}
	}
	if alias, ok := w.t.aliasOf(c, id); ok {
		return alias
	}
	return NoCallID
}

// granted is the Result Code of a reply that accepts a call.
const granted = uint8(pptp.OutCallResultConnected)

// disown takes the name back out of a message of the LAN's end at position that
// has made no call: whatever comes of it must not be taken for a later call's
// that gets the name. It is too late if the name is in octets before fresh.
func (w *work) disown(c *connection, position, fresh uint32) {
	g := w.t.nat.heads.log(c, LAN)
	h := g.last()
	if h == nil || !c.reserved.held {
		return
	}
	at, _ := pptp.CallIDOffset(pptp.OutgoingCallRequest) // the same in all that assign one
	if h.position == position && !after(fresh, position+uint32(at)) {
		h.name(at, NoCallID)
		c.reserved.unsaid = true
	}
}

// nameInward decides about a message of the WAN's end.
func (w *work) nameInward(c *connection, h *head, at int, v pptp.View) {
	r, id := w.meansLAN(c, v)
	if r == 0 {
		if !endsCall(v.ControlType()) && w.misread(c, id) {
			h.name(at, NoCallID)
		}
		return
	}
	k := w.t.calls.at(r)
	own, _ := k.id(k.lanRole())
	h.name(at, own)
	if k.refused && isReply(v.ControlType()) {
		h.refuse()
	}
}

// meansLAN returns the call that a message of the WAN's end names by the ID which
// the WAN knows the LAN's end by, or 0, and that ID.
func (w *work) meansLAN(c *connection, v pptp.View) (r ref, id uint16) {
	if !endsCall(v.ControlType()) {
		id, _ = v.PeerCallID()
		return w.agreedFirst(c, party{0, 0, LAN, id, WAN}), id
	}
	id, _ = v.CallID()
	r, whose := w.named(c, WAN, id)
	if whose != LAN {
		r = 0
	}
	return r, id
}

// misread reports whether c's end on the LAN has assigned this ID itself, to a
// call that the WAN knows by another: it would take the one for the other.
func (w *work) misread(c *connection, id uint16) bool {
	alias, ok := w.t.aliasOf(c, id)
	return ok && alias != id
}

// said is the position behind what an end has said as far as it was read: a message
// that is read anew, from its start, may have left in part.
func (w *work) said(c *connection, side Side) uint32 {
	position := c.streams[side].Frontier(w.t.buffers)
	if !c.named {
		return position
	}
	g := w.t.nat.heads.log(c, side)
	if h := g.last(); h != nil && after(h.end(), position) {
		return h.end()
	}
	return position
}

func isReply(t pptp.ControlType) bool {
	return t == pptp.OutgoingCallReply || t == pptp.IncomingCallReply
}
