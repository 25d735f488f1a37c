package oracle

import (
	"encoding/binary"
	"fmt"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// Step is one frame of a rendered sequence.
type Step struct {
	Side  track.Side // where it comes in
	Frame []byte
	Text  string // what it is, in one line

	segment *segment // what it is for the model, one of these
	gre     *GRE
}

// segment is a TCP segment as the model sees it.
type segment struct {
	conn        int
	from        End
	act         act
	stream      *stream // of data
	start, stop int     // octets of the stream in it
	forged      []said  // of data that is not in the stream
	spoofed     bool    // it comes in by the wrong side
}

// act is what a segment does to its connection.
type act int

const (
	nothing act = iota
	opened
	data
	closes
	resets
)

// stream is what an end says during one life of a connection.
type stream struct {
	octets   []byte
	messages []placed
	sent     []*segment
}

// placed is a message and where in its stream it lies.
type placed struct {
	start, stop int
	said
}

// renderer makes frames of ops.
type renderer struct {
	dials []Dial
	hosts [numHosts]*tracktest.Host
	conns []*tcp
	steps []Step
}

// tcp is a connection while it is rendered.
type tcp struct {
	port   uint16
	lives  int
	isOpen bool
	ends   [2]tcpEnd
}

type tcpEnd struct {
	first, next uint32 // sequence numbers
	fin         bool
	stream      *stream
}

const (
	firstPort = 40000
	tcpWindow = 64240
)

// Render returns the frames of a sequence between hosts with the given
// addresses.
func Render(s Sequence, hosts [numHosts]*tracktest.Host) []Step {
	r := &renderer{dials: s.Dials, hosts: hosts}
	for i := range s.Dials {
		r.conns = append(r.conns, &tcp{port: uint16(firstPort + i)})
	}
	for _, op := range s.Ops {
		op.render(r)
	}
	return r.steps
}

// add adds a frame with an IP packet from one host to another. Its
// identification is the frame's number, counted from 1.
func (r *renderer) add(from, to Host, proto uint8, payload []byte, s Step) {
	src, dst := r.hosts[from], r.hosts[to]
	if s.Side = from.Side(); s.segment != nil && s.segment.spoofed || s.gre != nil && s.gre.Spoofed {
		s.Side = s.Side.Other()
		src, dst = r.disguised(src, dst), r.disguised(dst, src)
	}
	s.Frame = tracktest.IP{Proto: proto, ID: uint32(len(r.steps) + 1), Payload: payload}.Frame(src, dst)
	r.steps = append(r.steps, s)
}

// disguised is h with the MAC address of a host on the other side, so that
// bridges learn nothing wrong.
func (r *renderer) disguised(h, other *tracktest.Host) *tracktest.Host {
	d := *h
	d.MAC = other.MAC
	return &d
}

// segment adds a segment of an end.
func (r *renderer) segment(s *segment, seq uint32, flags uint8, octets []byte, text string) {
	c, d := r.conns[s.conn], r.dials[s.conn]
	me, peer := &c.ends[s.from], &c.ends[s.from.Other()]
	t := tracktest.TCP{SrcPort: c.port, DstPort: pptp.Port, Seq: seq, Flags: flags, Window: tcpWindow, Data: octets}
	if s.from == Answerer {
		t.SrcPort, t.DstPort = t.DstPort, t.SrcPort
	}
	if flags&wire.ACK != 0 {
		t.Ack = peer.next
	}
	if end := seq + uint32(len(octets)) + occupied(flags); int32(end-me.next) > 0 && !s.isForged() {
		me.next = end
	}
	from, to := d.At(s.from), d.At(s.from.Other())
	payload := t.Bytes(r.hosts[from].Addr, r.hosts[to].Addr)
	text = fmt.Sprintf("#%d %s > %s %s", s.conn, from, to, text)
	r.add(from, to, wire.ProtocolTCP, payload, Step{Text: text, segment: s})
}

func (s *segment) isForged() bool { return s.spoofed || s.act == nothing && s.forged != nil }

// occupied is how many sequence numbers flags take.
func occupied(flags uint8) uint32 {
	if flags&(wire.SYN|wire.FIN) != 0 {
		return 1
	}
	return 0
}

func (o Open) render(r *renderer) {
	c := r.conns[o.Conn]
	c.lives++
	c.isOpen = true
	for e := range c.ends {
		first := uint32(c.lives)*100_000_000 + uint32(e)*5_000_000
		c.ends[e] = tcpEnd{first: first, next: first, stream: new(stream)}
	}
	r.segment(&segment{conn: o.Conn, from: Opener, act: opened}, c.ends[Opener].first, wire.SYN, nil, "SYN")
	r.segment(&segment{conn: o.Conn, from: Answerer}, c.ends[Answerer].first, wire.SYN|wire.ACK, nil, "SYN ACK")
	r.segment(&segment{conn: o.Conn, from: Opener}, c.ends[Opener].next, wire.ACK, nil, "ACK")
}

func (o Say) render(r *renderer) {
	c := r.conns[o.Conn]
	me := &c.ends[o.From]
	if !c.isOpen || me.fin {
		return
	}
	start := len(me.stream.octets)
	me.stream.write(o.Messages)
	parts := me.stream.cut(start, o.Cuts)
	for i := range parts {
		part := parts[i]
		if o.Reversed {
			part = parts[len(parts)-1-i]
		}
		part.conn, part.from = o.Conn, o.From
		me.stream.sent = append(me.stream.sent, part)
		r.data(part, "")
		if o.Between != nil && i < len(parts)-1 {
			o.Between.render(r)
		}
	}
}

func (s *stream) write(messages []pptp.Message) {
	for _, m := range messages {
		octets := tracktest.Encode(m)
		start := len(s.octets)
		s.octets = append(s.octets, octets...)
		s.messages = append(s.messages, placed{start, len(s.octets), read(octets)})
	}
}

// cut returns the segments of the octets from start on.
func (s *stream) cut(start int, cuts []int) []*segment {
	var parts []*segment
	at := start
	for _, c := range append(cuts[:len(cuts):len(cuts)], len(s.octets)-start) {
		if end := start + c; end > at && end <= len(s.octets) {
			parts = append(parts, &segment{act: data, stream: s, start: at, stop: end})
			at = end
		}
	}
	return parts
}

// data adds a segment of an end's stream.
func (r *renderer) data(s *segment, note string) {
	seq := r.conns[s.conn].ends[s.from].first + 1 + uint32(s.start)
	r.segment(s, seq, wire.ACK|wire.PSH, s.stream.octets[s.start:s.stop], s.describe()+note)
}

// describe says what is in a segment of data.
func (s *segment) describe() string {
	text := ""
	for _, m := range s.stream.messages {
		from, to := max(m.start, s.start), min(m.stop, s.stop)
		switch {
		case from >= to:
			continue
		case text != "":
			text += " + "
		}
		text += m.String()
		if to-from < m.stop-m.start {
			text += fmt.Sprintf(" [octets %d to %d of %d]", from-m.start, to-m.start, m.stop-m.start)
		}
	}
	return text
}

func (o Again) render(r *renderer) {
	c := r.conns[o.Conn]
	s := c.ends[o.From].stream
	if s == nil || o.Back >= len(s.sent) {
		return
	}
	again := *s.sent[len(s.sent)-1-o.Back]
	r.data(&again, ", again")
}

func (o Fin) render(r *renderer) {
	c := r.conns[o.Conn]
	me, peer := &c.ends[o.From], &c.ends[o.From.Other()]
	if !c.isOpen || me.fin {
		return
	}
	r.segment(&segment{conn: o.Conn, from: o.From, act: closes}, me.next, wire.FIN|wire.ACK, nil, "FIN ACK")
	me.fin = true
	if peer.fin {
		r.segment(&segment{conn: o.Conn, from: o.From.Other()}, peer.next, wire.ACK, nil, "ACK")
		c.isOpen = false
	}
}

func (o Reset) render(r *renderer) {
	c := r.conns[o.Conn]
	if !c.isOpen {
		return
	}
	me, peer := &c.ends[o.From], &c.ends[o.From.Other()]
	r.segment(&segment{conn: o.Conn, from: o.From.Other()}, peer.next, wire.ACK, nil, "ACK")
	r.segment(&segment{conn: o.Conn, from: o.From, act: resets}, me.next, wire.RST|wire.ACK, nil, "RST ACK")
	c.isOpen = false
}

// wrongGuess is how far off a forger's sequence number is.
const wrongGuess = 1 << 30

func (o Forge) render(r *renderer) {
	c := r.conns[o.Conn]
	if !c.isOpen {
		return
	}
	s := &segment{conn: o.Conn, from: o.From, spoofed: !o.Far, forged: []said{}}
	octets := tracktest.Encode(o.Messages...)
	seq, flags, note := c.ends[o.From].next, uint8(wire.ACK|wire.PSH), ", forged, from the wrong side"
	if o.Far {
		seq, note = seq+wrongGuess, ", forged, out of window"
	}
	for _, m := range o.Messages {
		s.forged = append(s.forged, read(tracktest.Encode(m)))
	}
	text := join(s.forged)
	if len(o.Messages) == 0 {
		flags, text = wire.RST|wire.ACK, "RST ACK"
	}
	if !o.Far {
		s.act = data
	}
	r.segment(s, seq, flags, octets, text+note)
}

// greHeaders are the first two words of GRE headers, by form.
var greHeaders = [...]uint32{Enhanced: 0x3001_880b, Plain: 0x0000_0800, NoKey: 0x1001_880b, OtherProtocol: 0x3001_0800}

const grePayload = 40

func (g GRE) render(r *renderer) {
	b := binary.BigEndian.AppendUint32(nil, greHeaders[g.Form])
	b = binary.BigEndian.AppendUint16(b, grePayload)
	b = binary.BigEndian.AppendUint16(b, g.ID)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.steps)))
	r.add(g.From, g.To, wire.ProtocolGRE, append(b, make([]byte, grePayload)...), Step{Text: g.String(), gre: &g})
}
