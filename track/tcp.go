package track

import (
	"github.com/grewire/grewire/track/wire"
)

// tcpEnd is what is known of the octets that one end of a control connection
// sends, in the terms of RFC 9293, section 3.3.1. Windows are octets, already
// scaled.
type tcpEnd struct {
	end    uint32 // one past the highest sequence number sent
	edge   uint32 // one past the highest that the other end's window allows
	window uint32 // the largest window that this end offered
	acked  uint32 // the highest acknowledgment that this end sent
	scale  uint8  // shift of the windows this end offers (RFC 7323, section 2)
	known  bool   // a segment of this end was seen
	acks   bool   // acked is valid
	limits bool   // edge comes from the other end's window, not from a guess
	scales bool   // its SYN offered to scale
	agreed bool   // both SYNs were seen: scale is right
	fin    bool   // sent FIN
	// unsummed is set when this end's first segment had a wrong checksum and
	// was answered all the same: a capture from before its checksums were
	// finished. They tell nothing then.
	unsummed bool
}

// Slack for windows that are not known: an end picked up in mid-stream may
// scale its windows, and acknowledgments may come late.
const (
	unscaledWindow = 65535
	maxAckLag      = 66000
)

// segmentEnd returns one past the last sequence number of the segment, SYN and
// FIN counted.
func segmentEnd(p *wire.Packet) uint32 {
	end := p.Seq + uint32(p.PayloadLength())
	if p.Flags&wire.SYN != 0 {
		end++
	}
	if p.Flags&wire.FIN != 0 {
		end++
	}
	return end
}

// after reports whether sequence number a comes after b (RFC 9293, section
// 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

// inWindow reports whether the segment from me, which has ACK, is one that peer can take and
// that acknowledges only what peer sent. It is the four-sided check of van
// Rooij, "Real stateful TCP packet filtering": nobody who does not see the
// connection can pass it but by guessing.
func inWindow(me, peer *tcpEnd, p *wire.Packet) bool {
	if !me.known {
		return !peer.known || acksSent(me, peer, p.Ack)
	}
	if after(p.Seq, me.edge) || after(me.end-max(peer.window, unscaledWindow), segmentEnd(p)) {
		return false
	}
	return !peer.known || acksSent(me, peer, p.Ack)
}

// acksSent reports whether an acknowledgement by me is of something that peer
// has sent, and not of long ago: me's window bounds what can be in flight (RFC
// 5961, section 5).
func acksSent(me, peer *tcpEnd, ack uint32) bool {
	return !after(ack, peer.end) && !after(peer.end-maxAckLag-me.window, ack)
}

// agrees reports whether a segment of me fits what the end that it goes to has
// said, when nothing is known from before: it acknowledges what that end sent,
// and comes where that end waits for the next.
func agrees(me, peer *tcpEnd, p *wire.Packet) bool {
	return peer.known && peer.acks && acksSent(me, peer, p.Ack) && !after(peer.acked, segmentEnd(p)) && !after(p.Seq, peer.acked+unscaledWindow)
}

// resets reports whether a reset from me is one that peer will take. By RFC
// 5961, section 3 it takes one at the very octet it waits for, which lies
// between what peer acknowledged and what me sent; for one elsewhere in the
// window it asks back, so that nobody who guesses can end the connection.
func resets(me, peer *tcpEnd, p *wire.Packet) bool {
	switch {
	case me.known && peer.acks:
		return p.Seq-peer.acked <= me.end-peer.acked // as distances: 2^31 is neither before nor behind
	case me.known:
		return p.Seq == me.end
	case p.Flags&wire.ACK != 0: // an answer to SYN (RFC 9293, section 3.10.7.3)
		return peer.known && p.Ack == peer.end
	}
	return peer.acks && p.Seq == peer.acked // an answer to a segment of no connection (section 3.10.7.1)
}

// advance takes note of a segment in the window.
func advance(me, peer *tcpEnd, p *wire.Packet) {
	end := segmentEnd(p)
	if !me.known {
		me.known, me.end = true, end
		if !me.limits {
			me.edge = end + unscaledWindow
		}
	} else if after(end, me.end) {
		me.end = end
	}
	window := uint32(p.Window)
	if p.Flags&wire.SYN == 0 { // windows in SYN are never scaled (RFC 7323, section 2.2)
		window <<= me.scale
		if !me.agreed {
			window = max(window, unscaledWindow)
		}
	}
	me.window = max(me.window, window)
	if p.Flags&wire.ACK == 0 {
		return
	}
	if !me.acks || after(p.Ack, me.acked) {
		me.acked, me.acks = p.Ack, true
	}
	if edge := p.Ack + max(window, 1); !peer.limits || after(edge, peer.edge) {
		peer.edge, peer.limits = edge, true
	}
}

// begin starts an end at its SYN.
func (e *tcpEnd) begin(frame []byte, p *wire.Packet) {
	*e = tcpEnd{}
	e.scale, e.scales = wire.WindowScale(frame, p)
}

// agreeScale applies RFC 7323, section 2.2: windows are scaled only when both
// SYNs offered it.
func agreeScale(a, b *tcpEnd) {
	if !a.scales || !b.scales {
		a.scale, b.scale = 0, 0
	}
	a.agreed, b.agreed = true, true
}
