package tracktest

import (
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
)

// Start starts the control connection, from being the one that asks.
func (c *Conn) Start(from *Host) {
	c.World.tb.Helper()
	c.must(c.Say(from, StartRequest()))
	c.must(c.Say(c.Peer(from).Host, StartReply(pptp.StartResultOK)))
}

// Call is an agreed call.
type Call struct {
	Conn         *Conn
	PNS, PAC     *Host
	PNSID, PACID uint16
	Number       uint64 // the tracker's
	// PNSAlias and PACAlias are the IDs as the other end knows them; without
	// translation they are the same.
	PNSAlias, PACAlias uint16

	seq [2]uint32 // of the PNS's and the PAC's next GRE packet
}

// OutCall agrees an outgoing call; the one that opened the connection is the
// PNS.
func (c *Conn) OutCall(pnsID, pacID uint16) *Call {
	c.World.tb.Helper()
	return c.OutCallBy(c.Ends[0].Host, pnsID, pacID)
}

// OutCallBy is OutCall with the PNS given.
func (c *Conn) OutCallBy(pns *Host, pnsID, pacID uint16) *Call {
	c.World.tb.Helper()
	pac := c.Peer(pns).Host
	pnsAlias := c.must(c.Say(pns, OutRequest(pnsID))).CallID()
	r := c.Say(pac, OutReply(pacID, pnsAlias, pptp.OutCallResultConnected))
	k := c.agreed(r, pns, pnsID, pacID)
	k.PNSAlias, k.PACAlias = pnsAlias, r.CallID()
	return k
}

// InCall agrees an incoming call; the one that opened the connection is the
// PNS.
func (c *Conn) InCall(pnsID, pacID uint16) *Call {
	c.World.tb.Helper()
	return c.InCallBy(c.Ends[0].Host, pnsID, pacID)
}

// InCallBy is InCall with the PNS given.
func (c *Conn) InCallBy(pns *Host, pnsID, pacID uint16) *Call {
	c.World.tb.Helper()
	pac := c.Peer(pns).Host
	pacAlias := c.must(c.Say(pac, InRequest(pacID))).CallID()
	pnsAlias := c.must(c.Say(pns, InReply(pnsID, pacAlias, pptp.InCallResultConnect))).CallID()
	k := c.agreed(c.Say(pac, InConnected(pnsAlias)), pns, pnsID, pacID)
	k.PNSAlias, k.PACAlias = pnsAlias, pacAlias
	return k
}

// agreed makes the Call that a segment has opened.
func (c *Conn) agreed(r Result, pns *Host, pnsID, pacID uint16) *Call {
	c.World.tb.Helper()
	if r.Verdict != track.Expect || r.Call == 0 {
		c.World.tb.Fatalf("%s, want expect: it opens a call", r)
	}
	return &Call{
		Conn: c, PNS: pns, PAC: c.Peer(pns).Host, PNSID: pnsID, PACID: pacID, PNSAlias: pnsID, PACAlias: pacID, Number: r.Call,
	}
}

// To returns the ID in the header of GRE that from sends.
func (k *Call) To(from *Host) uint16 {
	if from == k.PNS {
		return k.PACAlias
	}
	return k.PNSAlias
}

// own is the ID that the end h has assigned itself.
func (k *Call) own(h *Host) uint16 {
	if h == k.PNS {
		return k.PNSID
	}
	return k.PACID
}

// Packet returns from's next GRE packet with a payload of so many octets.
func (k *Call) Packet(from *Host, payload int) GRE {
	at := &k.seq[0]
	if from == k.PAC {
		at = &k.seq[1]
	}
	g := GRE{CallID: k.To(from), HasSeq: true, Seq: *at, Payload: make([]byte, payload)}
	*at++
	return g
}

// GRE sends a GRE packet of from to the other end.
func (k *Call) GRE(from *Host) Result {
	k.Conn.World.tb.Helper()
	r := k.Conn.World.Send(from.Side, k.Packet(from, 40).Frame(from, k.Conn.To(from)))
	k.delivered(from, r)
	return r
}

// Both sends a GRE packet each way, the PNS's first, and reports whether both
// passed as the call's.
func (k *Call) Both() bool {
	k.Conn.World.tb.Helper()
	return k.passes(k.PNS) && k.passes(k.PAC)
}

func (k *Call) passes(from *Host) bool {
	r := k.GRE(from)
	return r.Passed() && r.Reason == track.ReasonCall && r.Call == k.Number
}

// State returns the call's state, CallEnded once the tracker has forgotten it.
func (k *Call) State() track.CallState {
	if call, ok := k.Conn.World.Find(k.Number); ok {
		return call.State
	}
	return track.CallEnded
}

// Clear asks for the call's end: a Call-Clear-Request of the PNS.
func (k *Call) Clear() Result {
	k.Conn.World.tb.Helper()
	return k.Conn.Say(k.PNS, ClearRequest(k.PNSID))
}

// Disconnect ends the call: a Call-Disconnect-Notify of the PAC.
func (k *Call) Disconnect() Result {
	k.Conn.World.tb.Helper()
	return k.Conn.Say(k.PAC, Disconnect(k.PACID))
}

// GRE sends one GRE packet with the given call ID, whether or not there is
// such a call.
func (w *World) GRE(from, to *Host, id uint16) Result {
	w.tb.Helper()
	return w.Send(from.Side, GRE{CallID: id, HasSeq: true, Payload: make([]byte, 40)}.Frame(from, to))
}
