package track

import (
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
)

// Some segments of the LAN's end leave although nobody reads them yet: whole
// messages without an ID that might have to change, of a stale connection or of one
// on trial. They have to: where the other end is will only be known from how it
// answers an Echo-Request.
//
// Where such a segment begins is only the sender's word. If its peer has some of
// it already, it takes up within it, and there may be what looks like another
// message. So each message that leaves so has its head kept like any other, and
// begins no other one within it, before or after the connection is read again.
// Where a stale connection's peer is nobody knows: there only messages leave that
// have no room for another.

// maxOpaque is the length of the longest message that can hide no other.
const maxOpaque = 20

// needless reports whether a segment may leave unread.
func (l *Lane) needless(c *connection, f *Frame) bool {
	octets := f.Data[f.Packet.Payload:f.Packet.End]
	return l.ofHandshake(c, &f.Packet) && saysNoID(l.side, octets, stream.MaxLength) ||
		c.stale() && saysNoID(l.side, octets, maxOpaque)
}

// saysNoID reports whether octets are whole messages of so many octets at most,
// without an ID that might have to change.
func saysNoID(from Side, octets []byte, longest int) bool {
	for len(octets) > 0 {
		v := pptp.View(octets)
		_, named := idField(from, v)
		if named || v.MessageType() != pptp.ControlMessage || v.Magic() != pptp.MagicCookie ||
			!v.Complete() || int(v.Length()) != pptp.FixedLength(v.ControlType()) || int(v.Length()) > longest {
			return false
		}
		octets = octets[v.Length():]
	}
	return true
}

// logOf returns the heads of the direction of a segment.
func (l *Lane) logOf(c *connection, f *Frame) headLog {
	if l.side == LAN && l.ofHandshake(c, &f.Packet) {
		return l.t.nat.heads.trialLog(c)
	}
	return l.t.nat.heads.log(c, l.side)
}

// pinNeedless keeps the heads of what leaves unread.
func (l *Lane) pinNeedless(c *connection, f *Frame) {
	position, octets := dataPosition(&f.Packet), f.Data[f.Packet.Payload:f.Packet.End]
	if l.side != LAN || len(octets) == 0 || !l.needless(c, f) {
		return
	}
	onTrial := l.ofHandshake(c, &f.Packet)
	if !onTrial && !l.promise(c, LAN, position, len(octets)/pptp.HeaderLength+1) {
		return
	}
	g := l.logOf(c, f)
	if onTrial && after(c.trialFirst, position) {
		return
	}
	for len(octets) > 0 && g.pin(position, octets) {
		length := pptp.View(octets).Length()
		position, octets = position+uint32(length), octets[length:]
	}
}

// pin makes octets begin with a message whose head is there, if they can. It must
// not reach into the next one.
func (g *headLog) pin(position uint32, octets pptp.View) bool {
	i, end := g.search(position), position+uint32(octets.Length())
	if i < int(g.n) && after(end, g.at(i).position) {
		return g.at(i).position == position
	}
	h := g.insert(i, head{position: position, whole: true, named: true})
	if h != nil {
		h.take(octets[:octets.Length()])
	}
	return h != nil
}
