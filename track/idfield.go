package track

import "github.com/grewire/grewire/track/pptp"

// Only IDs that the LAN's ends assigned are translated, whoever opened the
// connection and whoever is PNS: towards the WAN a message's Call ID, towards
// the LAN its Peer's Call ID.

// refusal is what a call that got no ID is answered: Result Code 2, general
// error, and Error Code 4, no resource (RFC 2637, section 2.16). Both octets
// stand behind the two IDs of a reply.
const (
	refusal   = 2<<8 | 4
	refusalAt = 16
)

// nameIDs takes note of what is there of a message, all of it or its first octets
// only, and decides what its call ID is on the other side as soon as that is
// there.
func (w *work) nameIDs(c *connection, from Side, position uint32, v pptp.View, whole bool) {
	if len(v) == 0 {
		return
	}
	h := w.headOf(c, from, position, v, whole)
	at, ok := idField(from, v)
	if h == nil || !ok || len(v) < at+fieldLength || h.named {
		return
	}
	h.named = true
	if from == LAN {
		w.nameOutward(c, h, at, v)
	} else {
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
	case from == LAN || t == pptp.CallDisconnectNotify:
		return pptp.CallIDOffset(t)
	}
	return pptp.PeerCallIDOffset(t)
}

// nameOutward decides about a message of the LAN's end.
func (w *work) nameOutward(c *connection, h *head, at int, v pptp.View) {
	id, _ := v.CallID()
	switch v.ControlType() {
	case pptp.OutgoingCallRequest, pptp.IncomingCallRequest:
		h.name(at, w.reserve(c, id, v))
	case pptp.OutgoingCallReply, pptp.IncomingCallReply:
		if result, known := v.Result(); known && result != granted {
			return // it assigns none
		}
		h.name(at, w.reserve(c, id, v))
		if c.reserved.dead {
			h.refuse()
		}
	case pptp.CallClearRequest:
		h.name(at, w.outwardOr(c, id))
	case pptp.CallDisconnectNotify:
		if r := w.agreedFirst(c, party{0, pptp.PAC, LAN, id, LAN}); r != 0 {
			h.name(at, w.t.calls.at(r).alias)
		}
	}
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

// outwardOr is what the WAN calls an ID. One of no call must not be taken for
// that of another host's; of a connection seen from its middle it may be of a
// call that nobody saw agreed.
func (w *work) outwardOr(c *connection, id uint16) uint16 {
	if alias, ok := w.t.aliasOf(c, id); ok {
		return alias
	}
	if c.midway {
		return id
	}
	return NoCallID
}

// nameInward decides about a message of the WAN's end.
func (w *work) nameInward(c *connection, h *head, at int, v pptp.View) {
	t := v.ControlType()
	id, _ := v.PeerCallID()
	if t == pptp.CallDisconnectNotify {
		id, _ = v.CallID()
		if w.agreedFirst(c, party{0, pptp.PAC, WAN, id, WAN}) != 0 {
			return // it is the PAC's own, as the RFC has it
		}
	}
	r := w.agreedFirst(c, party{0, 0, LAN, id, WAN})
	if r == 0 {
		if t != pptp.CallDisconnectNotify && w.misread(c, id) {
			h.name(at, NoCallID)
		}
		return
	}
	k := w.t.calls.at(r)
	own, _ := k.id(k.lanRole())
	h.name(at, own)
	if k.refused && isReply(t) {
		h.refuse()
	}
}

// misread reports whether c's end on the LAN has assigned this ID itself, to a
// call that the WAN knows by another: it would take the one for the other.
func (w *work) misread(c *connection, id uint16) bool {
	alias, ok := w.t.aliasOf(c, id)
	return ok && alias != id
}

func isReply(t pptp.ControlType) bool {
	return t == pptp.OutgoingCallReply || t == pptp.IncomingCallReply
}
