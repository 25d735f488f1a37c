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

// nameIDs decides what the call ID of a message is on the other side, as soon as
// it is there: v may be the first octets of the message only.
func (w *work) nameIDs(c *connection, from Side, position uint32, v pptp.View) {
	at, ok := idField(from, v)
	d := &c.decided[from]
	if !ok || len(v) < at+fieldLength || d.known && d.position == position {
		return
	}
	*d = decision{position, true}
	if from == LAN {
		w.nameOutward(c, position, v)
	} else {
		w.nameInward(c, position, v)
	}
}

// decision is the message whose ID was decided about last.
type decision struct {
	position uint32
	known    bool
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
func (w *work) nameOutward(c *connection, position uint32, v pptp.View) {
	id, _ := v.CallID()
	at, _ := idField(LAN, v)
	at32 := position + uint32(at)
	switch v.ControlType() {
	case pptp.OutgoingCallRequest, pptp.IncomingCallRequest:
		w.addField(c, LAN, at32, w.reserve(c, id))
	case pptp.OutgoingCallReply, pptp.IncomingCallReply:
		if result, known := v.Result(); known && result != granted {
			return // it assigns none
		}
		alias := w.reserve(c, id)
		w.addField(c, LAN, at32, alias)
		if c.reserved.dead {
			w.addField(c, LAN, position+refusalAt, refusal)
		}
	case pptp.CallClearRequest:
		w.addField(c, LAN, at32, w.outwardOr(c, id))
	case pptp.CallDisconnectNotify:
		if r := w.agreedFirst(c, party{0, pptp.PAC, LAN, id, LAN}); r != 0 {
			w.addField(c, LAN, at32, w.t.calls.at(r).alias)
		}
	}
}

// granted is the Result Code of a reply that accepts a call.
const granted = uint8(pptp.OutCallResultConnected)

// disown takes the name back out of a message of the LAN's end at position that
// has made no call: whatever comes of it must not be taken for a later call's
// that gets the name. It is too late if the name is in octets before fresh.
func (w *work) disown(c *connection, position, fresh uint32) {
	r := c.fields[LAN].tail
	if r == 0 || c.reserved == (reservation{}) {
		return
	}
	if f := w.t.nat.fields.at(r); f.value == c.reserved.alias && after(f.position, position) && !after(fresh, f.position) {
		f.value = DeadID
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
	return DeadID
}

// nameInward decides about a message of the WAN's end.
func (w *work) nameInward(c *connection, position uint32, v pptp.View) {
	t := v.ControlType()
	id, _ := v.PeerCallID()
	if t == pptp.CallDisconnectNotify {
		id, _ = v.CallID()
		if w.agreedFirst(c, party{0, pptp.PAC, WAN, id, WAN}) != 0 {
			return // it is the PAC's own, as the RFC has it
		}
	}
	at, _ := idField(WAN, v)
	r := w.agreedFirst(c, party{0, 0, LAN, id, WAN})
	if r == 0 {
		if t != pptp.CallDisconnectNotify && w.misread(c, id) {
			w.addField(c, WAN, position+uint32(at), DeadID)
		}
		return
	}
	k := w.t.calls.at(r)
	own, _ := k.id(k.lanRole())
	w.addField(c, WAN, position+uint32(at), own)
	if k.refused && isReply(t) {
		w.addField(c, WAN, position+refusalAt, refusal)
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
