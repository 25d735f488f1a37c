package tracktest

import (
	"net/netip"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// What leaves the box is looked at as the end sees it that gets it: by which
// names it is addressed, and by which it knows the other end.

// Message returns the first message of what left, if it begins with one.
func (r Result) Message() pptp.View {
	data := r.Out
	if data == nil {
		data = r.Data
	}
	var p wire.Packet
	wire.Decode(data, &p)
	if p.Kind != wire.TCP || p.PayloadLength() < pptp.HeaderLength {
		return nil
	}
	return pptp.View(data[p.Payload:p.End])
}

// CallID returns the Call ID of the first message of what left.
func (r Result) CallID() uint16 {
	id, _ := r.Message().CallID()
	return id
}

// PeerCallID returns the Peer's Call ID of the first message of what left.
func (r Result) PeerCallID() uint16 {
	id, _ := r.Message().PeerCallID()
	return id
}

// Delivered checks that a segment of from went to the other end, and takes note
// of the names by which that knows from.
func (c *Conn) Delivered(from *Host, r Result) {
	c.World.tb.Helper()
	if r.Out == nil || c.World.Translate == nil {
		return
	}
	var p wire.Packet
	wire.Decode(r.Out, &p)
	to := c.Peer(from)
	c.World.checkDestination(r, &p, to.Host)
	if p.DstPort != to.Port && !c.World.Astray {
		c.World.tb.Errorf("%s went to port %d, not %d", r, p.DstPort, to.Port)
	}
	me := c.End(from)
	me.Alias, me.AliasPort = nil, 0
	if seen := (netip.AddrPortFrom(p.Src.Netip(), p.SrcPort)); seen != netip.AddrPortFrom(from.Addr, me.Port) {
		alias := *from
		alias.Addr, alias.Side, alias.MAC = seen.Addr(), from.Side, [6]byte(r.Out[6:12])
		me.Alias, me.AliasPort = &alias, seen.Port()
	}
}

// checkDestination checks that a packet which left is addressed to host.
func (w *World) checkDestination(r Result, p *wire.Packet, to *Host) {
	w.tb.Helper()
	if w.Astray {
		return
	}
	if got := p.Dst.Netip(); got != to.Addr {
		w.tb.Errorf("%s went to %s, not to %s", r, got, to.Addr)
	}
	if got := [6]byte(r.Out[:6]); got != to.MAC {
		w.tb.Errorf("%s went to MAC %x, not to %x", r, got, to.MAC)
	}
}

// delivered checks that a GRE packet which left went to the other end, by the
// call ID which that has assigned, and from whom it knows.
func (k *Call) delivered(from *Host, r Result) {
	w := k.Conn.World
	w.tb.Helper()
	if r.Out == nil || w.Translate == nil || r.Reason != track.ReasonCall {
		return
	}
	var p wire.Packet
	wire.Decode(r.Out, &p)
	to := k.Conn.Peer(from).Host
	w.checkDestination(r, &p, to)
	if p.CallID != k.own(to) {
		w.tb.Errorf("%s went to call ID %d, not %d", r, p.CallID, k.own(to))
	}
	known := from
	if alias := k.Conn.End(from).Alias; alias != nil {
		known = alias
	}
	if got := p.Src.Netip(); got != known.Addr {
		w.tb.Errorf("%s came from %s, not from %s", r, got, known.Addr)
	}
	if got := [6]byte(r.Out[6:12]); got != known.MAC {
		w.tb.Errorf("%s came from MAC %x, not from %x", r, got, known.MAC)
	}
}
