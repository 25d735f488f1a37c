package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// translator is what a story is played through: it takes a frame, and returns what
// comes out, nil if nothing does.
type translator interface {
	Send(side track.Side, frame []byte) (out []byte, err error)
}

// natStep is what became of a deed.
type natStep struct {
	deed    deed
	side    track.Side
	after   natAct // what has ended the connection or its call before; natSYN: nothing
	conn    natConn
	in, out []byte
	reached bool // the right host gets it, with the names that it knows
}

// stage is where a story is played.
type stage struct {
	natStory
	hosts   [numHosts]*tracktest.Host
	gateway [2][6]byte // the MAC addresses that hosts send to, by their side
	through translator
	conns   []*scene
	steps   []natStep
}

// scene is a connection while it is played.
type scene struct {
	natConn
	next  [2]uint32      // sequence number, by end
	alias netip.AddrPort // of the opener, as the answerer sees it
	knows [2]uint16      // the other end's call ID, by end
	after natAct
}

// play plays a story through a translator.
func (s natStory) play(through translator, hosts [numHosts]*tracktest.Host, gateway [2][6]byte) ([]natStep, error) {
	p := &stage{natStory: s, hosts: hosts, gateway: gateway, through: through}
	for i, c := range s.conns {
		p.conns = append(p.conns, &scene{natConn: c, next: [2]uint32{uint32(i+1) * 1e8, uint32(i+1) * 2e8}})
	}
	for _, d := range s.deeds {
		if err := p.perform(d); err != nil {
			return nil, fmt.Errorf("%v: %w", d, err)
		}
	}
	return p.steps, nil
}

// perform does a deed, if it can be done: who was not heard of is not answered.
func (p *stage) perform(d deed) (err error) {
	c := p.conns[d.conn]
	if d.from == Answerer && !c.alias.IsValid() {
		return nil
	}
	s := natStep{deed: d, conn: c.natConn, side: c.At(d.from).Side(), after: c.after}
	s.in = p.frame(c, d)
	if s.out, err = p.through.Send(s.side, s.in); err != nil {
		return err
	}
	s.reached = s.out != nil && p.arrived(c, &s)
	if ends(d.act) && c.after == natSYN {
		c.after = d.act
	}
	p.steps = append(p.steps, s)
	return nil
}

// ends reports whether an act ends a call or its connection.
func ends(a natAct) bool {
	switch a {
	case natFIN, natReset, says(pptp.StopControlConnectionRequest), says(pptp.CallDisconnectNotify):
		return true
	}
	return false
}

// frame is what the sender sends, as far as he knows the other end.
func (p *stage) frame(c *scene, d deed) []byte {
	from, to := p.hosts[c.At(d.from)], *p.hosts[c.At(d.from.Other())]
	to.MAC = p.gateway[from.Side]
	if d.from == Answerer {
		to.Addr = c.alias.Addr()
	}
	ip := tracktest.IP{Proto: wire.ProtocolTCP, ID: uint32(len(p.steps) + 1)}
	if d.act == natGRE {
		ip.Proto = wire.ProtocolGRE
		ip.Payload = tracktest.GRE{CallID: c.knows[d.from], HasSeq: true, Seq: uint32(len(p.steps)), Payload: make([]byte, grePayload)}.Bytes()
	} else {
		ip.Payload = c.segment(d).Bytes(from.Addr, to.Addr)
	}
	return ip.Frame(from, &to)
}

// segment is a deed's segment, and moves its end on.
func (c *scene) segment(d deed) tracktest.TCP {
	s := tracktest.TCP{SrcPort: c.port, DstPort: pptp.Port, Seq: c.next[d.from], Ack: c.next[d.from.Other()], Flags: wire.ACK, Window: tcpWindow}
	if d.from == Answerer {
		s.SrcPort, s.DstPort = pptp.Port, c.alias.Port()
	}
	switch d.act {
	case natSYN:
		s.Flags, s.Ack = wire.SYN, 0
	case natSYNACK:
		s.Flags |= wire.SYN
	case natFIN:
		s.Flags |= wire.FIN
	case natReset:
		s.Flags |= wire.RST
	case natACK:
	default:
		s.Flags |= wire.PSH
		s.Data = tracktest.Encode(d.act.message(c.own(d.from), c.knows[d.from]))
	}
	c.next[d.from] += uint32(len(s.Data)) + occupied(s.Flags)
	return s
}

// own is the ID that an end has given the call.
func (c *natConn) own(e End) uint16 {
	if e == c.pns {
		return c.pnsID
	}
	return c.pacID
}

// arrived has the other end take what came out, and reports whether it is for
// that: addressed to the host, and with the ID that the host has given the call.
func (p *stage) arrived(c *scene, s *natStep) bool {
	var packet wire.Packet
	wire.Decode(s.out, &packet)
	receiver := s.deed.from.Other()
	if packet.Dst.Netip() != p.hosts[c.At(receiver)].Addr {
		return false
	}
	if s.deed.act == natGRE {
		return packet.CallID == c.own(receiver)
	}
	if port := [...]uint16{Opener: c.port, Answerer: pptp.Port}[receiver]; packet.DstPort != port {
		return false
	}
	if s.deed.act == natSYN {
		c.alias = netip.AddrPortFrom(packet.Src.Netip(), packet.SrcPort)
	}
	if s.deed.act < natSay {
		return true
	}
	v := pptp.View(s.out[packet.Payload:packet.End])
	if assigns(v.ControlType()) {
		c.knows[receiver], _ = v.CallID()
	}
	id, named := v.PeerCallID()
	return !named || id == c.own(receiver)
}

// assigns reports whether a message gives a call the ID of its sender.
func assigns(t pptp.ControlType) bool {
	switch t {
	case pptp.OutgoingCallRequest, pptp.OutgoingCallReply, pptp.IncomingCallRequest, pptp.IncomingCallReply:
		return true
	}
	return false
}

// natField is a field that a translator may change.
type natField string

// The fields, and what is none.
const (
	fieldDst      natField = "Ethernet destination"
	fieldSrc      natField = "Ethernet source"
	fieldTTL      natField = "time to live"
	fieldIPSum    natField = "IP checksum"
	fieldIPSrc    natField = "IP source"
	fieldIPDst    natField = "IP destination"
	fieldSrcPort  natField = "TCP source port"
	fieldDstPort  natField = "TCP destination port"
	fieldTCPSum   natField = "TCP checksum"
	fieldCallID   natField = "Call ID"
	fieldPeerID   natField = "Peer's Call ID"
	fieldGREKey   natField = "GRE call ID"
	fieldPadding  natField = "padding"
	fieldOther    natField = "something else"
	fieldReached  natField = "reachability"
	tcpSumAt               = 16
	greCallIDAt            = 6
	addressOctets          = 4
)

type span struct {
	natField
	at, length int
}

// fields returns where the fields stand in a frame.
func fields(frame []byte) []span {
	var p wire.Packet
	wire.Decode(frame, &p)
	l3, l4 := int(p.L3), int(p.L4)
	all := []span{
		{fieldDst, 0, 6}, {fieldSrc, 6, 6}, {fieldTTL, l3 + 8, 1}, {fieldIPSum, l3 + 10, 2},
		{fieldIPSrc, l3 + 12, addressOctets}, {fieldIPDst, l3 + 16, addressOctets},
	}
	if p.Kind == wire.EnhancedGRE {
		return append(all, span{fieldGREKey, l4 + greCallIDAt, 2})
	}
	all = append(all, span{fieldSrcPort, l4, 2}, span{fieldDstPort, l4 + 2, 2}, span{fieldTCPSum, l4 + tcpSumAt, 2})
	v := pptp.View(frame[p.Payload:p.End])
	if at, ok := pptp.CallIDOffset(v.ControlType()); ok {
		all = append(all, span{fieldCallID, int(p.Payload) + at, 2})
	}
	if at, ok := pptp.PeerCallIDOffset(v.ControlType()); ok {
		all = append(all, span{fieldPeerID, int(p.Payload) + at, 2})
	}
	return all
}

// differing returns the fields in which two frames differ.
func differing(a, b []byte) (all []natField) {
	if len(a) != len(b) {
		all = append(all, fieldPadding)
	}
	a, b = bytes.Clone(packetOf(a)), bytes.Clone(packetOf(b))
	if len(a) != len(b) {
		return append(all, fieldOther)
	}
	for _, f := range fields(a) {
		if x, y := a[f.at:f.at+f.length], b[f.at:f.at+f.length]; string(x) != string(y) {
			all = append(all, f.natField)
			copy(x, y)
		}
	}
	if string(a) != string(b) {
		all = append(all, fieldOther)
	}
	return all
}

// packetOf is a frame without what is behind its IP packet.
func packetOf(frame []byte) []byte {
	var p wire.Packet
	wire.Decode(frame, &p)
	return frame[:p.End]
}

// value reads a field of two octets.
func value(frame []byte, want natField) (v uint16) {
	for _, f := range fields(frame) {
		if f.natField == want && f.length == 2 {
			v = binary.BigEndian.Uint16(frame[f.at:])
		}
	}
	return v
}
