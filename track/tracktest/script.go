package tracktest

import (
	"bytes"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// decisions reads a fuzzer's octets as decisions; at its end all are 0.
type decisions struct{ rest []byte }

func (s *decisions) octet() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *decisions) below(n int) int { return int(s.octet()) % n }

func (s *decisions) octets(n int) []byte {
	n = min(n, len(s.rest))
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// id is a call ID from a set so small that calls collide.
func (s *decisions) id() uint16 { return uint16(s.below(4)) }

// Script plays what a fuzzer decides: hosts that open connections, say messages,
// whole or cut, and send GRE, fragments and nonsense. IDs are so few, and the
// World's tables should be so small, that everything collides.
type Script struct {
	decisions
	World *World
	Hosts []*Host
	// Pairs are the hosts, by their place in Hosts, of which the first may open a
	// connection to the second.
	Pairs [][2]int
	// Aliases are who hosts on the LAN are to those on the WAN, by their place.
	Aliases map[int]*Host

	conns []*Conn
	past  [][]byte // frames that were sent
}

// NewScript returns what plays the script data on w.
func NewScript(w *World, data []byte) *Script {
	v6 := NewHost(track.LAN, "2001:db8::1")
	s := &Script{decisions: decisions{data}, World: w, Hosts: []*Host{
		w.Client, w.Server, NewHost(track.LAN, "192.0.2.11"), v6, NewHost(track.WAN, "2001:db8::2"),
	}}
	s.Pairs = [][2]int{{0, 1}, {1, 0}, {2, 1}, {3, 4}}
	w.Astray = true
	w.Tap = func(r Result) {
		if len(s.past) < 64 {
			s.past = append(s.past, r.Data)
		}
	}
	return s
}

// Play plays the script to its end.
func (s *Script) Play() {
	moves := []func(){
		s.connect, s.say, s.say, s.say, s.gre, s.gre, s.closing, s.fragments, s.again, s.mutated, s.random, s.wait, s.cut,
	}
	for len(s.rest) > 0 {
		moves[s.below(len(moves))]()
	}
}

func (s *Script) conn() *Conn {
	if len(s.conns) == 0 {
		s.connect()
	}
	return s.conns[s.below(len(s.conns))]
}

// connect opens a connection, or half of one.
func (s *Script) connect() {
	pair := s.Pairs[s.below(len(s.Pairs))]
	c := s.World.NewConn(s.Hosts[pair[0]], s.Hosts[pair[1]])
	if alias := s.Aliases[pair[1]]; alias != nil {
		c.Ends[1].Alias, c.Ends[1].AliasPort = alias, pptp.Port
	}
	if n := s.octet(); n&3 == 3 {
		c.Ends[0].Port = pptp.Port
	}
	s.conns = append(s.conns, c)
	steps := s.below(8)
	if steps == 7 { // it was there before
		for i := range c.Ends {
			c.Ends[i].Got = c.Ends[1-i].Next
			c.Say(c.Ends[i].Host, EchoRequest(1))
		}
		return
	}
	for i, flags := range []uint8{wire.SYN, wire.SYN | wire.ACK, wire.ACK} {
		if steps != i { // one of them may get lost
			c.Flags(c.Ends[i%2].Host, flags)
		}
	}
	if steps > 3 {
		c.Say(c.Ends[0].Host, StartRequest())
		c.Say(c.Ends[1].Host, StartReply(pptp.StartResultOK))
	}
}

// message is any message with small ids.
func (s *Script) message() pptp.Message {
	a, b, result := s.id(), s.id(), uint8(s.below(3))
	switch s.below(12) {
	case 0:
		return StartRequest()
	case 1:
		return StartReply(pptp.StartResult(result))
	case 2:
		return StopRequest()
	case 3:
		return EchoRequest(uint32(a))
	case 4:
		return OutRequest(a)
	case 5, 6:
		return OutReply(a, b, pptp.OutCallResultConnected)
	case 7:
		return InRequest(a)
	case 8:
		return InReply(a, b, pptp.InCallResult(result))
	case 9:
		return InConnected(a)
	case 10:
		return ClearRequest(a)
	}
	return Disconnect(a)
}

func (s *Script) say() {
	c := s.conn()
	c.Say(c.Ends[s.below(2)].Host, s.message())
}

// cut says messages in segments cut, doubled and shuffled.
func (s *Script) cut() {
	c := s.conn()
	from := c.Ends[s.below(2)].Host
	data := Encode(s.message(), s.message())
	start := c.End(from).Next
	for range 4 {
		at := int(s.octet()) % len(data)
		end := min(at+1+int(s.octet()), len(data))
		c.At(from, start+uint32(at), data[at:end])
	}
	c.At(from, start, data)
}

func (s *Script) gre() {
	c := s.conn()
	end := s.below(2)
	from := c.Ends[end].Host
	to := c.To(from)
	if s.below(8) == 0 {
		from = from.Moved()
	}
	g := GRE{CallID: s.id(), HasSeq: true, Seq: uint32(s.octet()), Payload: make([]byte, 8)}
	if ack := s.octet(); ack > 127 {
		g.HasAck, g.Ack = true, uint32(ack-128)
	}
	s.World.Send(from.Side, g.Frame(from, to))
}

func (s *Script) closing() {
	c := s.conn()
	flags := []uint8{wire.FIN | wire.ACK, wire.RST | wire.ACK, wire.RST, wire.SYN, wire.SYN | wire.ACK}
	c.Flags(c.Ends[s.below(2)].Host, flags[s.below(len(flags))])
}

// fragments sends a GRE packet or a segment in fragments, in any order, some
// twice, some never.
func (s *Script) fragments() {
	c := s.conn()
	end := s.below(2)
	from := c.Ends[end].Host
	to := c.To(from)
	packet := GRE{CallID: s.id(), HasSeq: true, Payload: make([]byte, 100)}.IP()
	if s.below(3) == 0 {
		packet = c.Segment(from, c.End(from).Next, wire.ACK, Encode(s.message())).IP(from, to)
	}
	packet.ID = uint32(1 + s.below(4))
	size := len(packet.Payload)
	for range 1 + s.below(6) {
		start := s.below(16) * 8 % size
		stop := min(start+8*(1+s.below(16)), size)
		s.World.Send(from.Side, packet.Piece(from, to, start, stop, stop < size))
	}
}

// again sends an earlier frame once more, by any side.
func (s *Script) again() {
	if len(s.past) > 0 {
		s.World.Send(track.Side(s.below(2)), s.past[s.below(len(s.past))])
	}
}

// mutated sends an earlier frame with changes.
func (s *Script) mutated() {
	if len(s.past) == 0 {
		return
	}
	frame := bytes.Clone(s.past[s.below(len(s.past))])
	for range 1 + s.below(3) {
		if body := frame[min(2*6, len(frame)):]; len(body) > 0 { // MAC addresses are believed
			body[int(s.octet())%len(body)] ^= s.octet()
		}
	}
	if n := int(s.octet()); n < len(frame) && n&1 == 0 {
		frame = frame[:n]
	}
	s.World.Batch(track.Side(s.below(2)), []track.Frame{{Data: frame, Truncated: s.below(16) == 15}})
}

func (s *Script) random() {
	s.World.Send(track.Side(s.below(2)), bytes.Clone(s.octets(int(s.octet()))))
}

func (s *Script) wait() { s.World.Advance(time.Duration(s.octet()) * 10 * time.Second) }
