package tracktest

import (
	"slices"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/wire"
)

// Conn is a TCP connection between two hosts through a World's box, played
// from both ends. What one end sends and the box lets pass is acknowledged by
// the next segment of the other.
type Conn struct {
	World *World
	Ends  [2]End // the one that opens it first
}

// End is one end of a Conn.
type End struct {
	Host   *Host
	Port   uint16
	First  uint32 // its initial sequence number
	Next   uint32 // the sequence number of its next octet
	Got    uint32 // what it has of the other end
	Window uint16

	// Alias and AliasPort are by what the other end knows this one, if it is
	// translated; what the other end gets sets them.
	Alias     *Host
	AliasPort uint16
}

// Initial sequence numbers and windows, if the test wants no others.
const (
	openerFirst   = 1_000_000
	answererFirst = 5_000_000
	window        = 64240
)

// NewConn returns a connection that is yet to be opened, from a new port of
// client to port 1723 of server.
func (w *World) NewConn(client, server *Host) *Conn {
	w.lastPort++
	return &Conn{World: w, Ends: [2]End{
		{Host: client, Port: w.lastPort, First: openerFirst, Next: openerFirst, Window: window},
		{Host: server, Port: pptp.Port, First: answererFirst, Next: answererFirst, Window: window},
	}}
}

// Connect opens a TCP connection from client to port 1723 of server.
func (w *World) Connect(client, server *Host) *Conn {
	w.tb.Helper()
	c := w.NewConn(client, server)
	c.Handshake()
	return c
}

// Dial opens a control connection: Connect, and the client starts it.
func (w *World) Dial(client, server *Host) *Conn {
	w.tb.Helper()
	c := w.Connect(client, server)
	c.Start(client)
	return c
}

// Handshake opens the connection, and checks that the box lets it.
func (c *Conn) Handshake() {
	c.World.tb.Helper()
	opener, answerer := &c.Ends[0], &c.Ends[1]
	c.must(c.Flags(opener.Host, wire.SYN))
	c.must(c.Flags(answerer.Host, wire.SYN|wire.ACK))
	c.must(c.Ack(opener.Host))
}

func (c *Conn) must(r Result) Result {
	c.World.tb.Helper()
	if !r.Passed() || r.Reason != track.ReasonControl {
		c.World.tb.Fatalf("%s, want it to pass as control", r)
	}
	return r
}

// End returns h's end of the connection.
func (c *Conn) End(h *Host) *End {
	if c.Ends[0].Host == h {
		return &c.Ends[0]
	}
	return &c.Ends[1]
}

// Peer returns the end that h talks to.
func (c *Conn) Peer(h *Host) *End {
	if c.Ends[0].Host == h {
		return &c.Ends[1]
	}
	return &c.Ends[0]
}

// To returns the host that from sends to: the other end, as from knows it.
func (c *Conn) To(from *Host) *Host {
	if peer := c.Peer(from); peer.Alias != nil {
		return peer.Alias
	}
	return c.Peer(from).Host
}

func (e *End) knownPort() uint16 {
	if e.Alias != nil {
		return e.AliasPort
	}
	return e.Port
}

// Segment returns the segment that from sends at its position seq.
func (c *Conn) Segment(from *Host, seq uint32, flags uint8, data []byte) TCP {
	me, peer := c.End(from), c.Peer(from)
	s := TCP{
		SrcPort: me.Port, DstPort: peer.knownPort(), Seq: seq, Flags: flags, Window: me.Window, Data: data,
	}
	if flags&wire.ACK != 0 {
		s.Ack = me.Got
	}
	return s
}

// Transmit sends a segment of from as it is and moves both ends as TCP would.
func (c *Conn) Transmit(from *Host, s TCP) Result {
	c.World.tb.Helper()
	r := c.World.Send(from.Side, s.Frame(from, c.To(from)))
	c.Sent(from, s, r)
	return r
}

// Sent tells the ends of a segment that was sent by other means than Transmit.
func (c *Conn) Sent(from *Host, s TCP, r Result) {
	end := s.Seq + uint32(len(s.Data))
	if s.Flags&wire.SYN != 0 {
		end++
	}
	if s.Flags&wire.FIN != 0 {
		end++
	}
	me, peer := c.End(from), c.Peer(from)
	if int32(end-me.Next) > 0 {
		me.Next = end
	}
	inOrder := int32(s.Seq-peer.Got) <= 0 && int32(end-peer.Got) > 0
	if r.Passed() && (inOrder || s.Flags&wire.SYN != 0) {
		peer.Got = end
	}
	c.Delivered(from, r)
}

// Flags sends an empty segment of from with these flags at its next position.
func (c *Conn) Flags(from *Host, flags uint8) Result {
	c.World.tb.Helper()
	return c.Transmit(from, c.Segment(from, c.End(from).Next, flags, nil))
}

// Ack sends an acknowledgment of all that from has got.
func (c *Conn) Ack(from *Host) Result {
	c.World.tb.Helper()
	return c.Flags(from, wire.ACK)
}

// At sends octets of from at any position: early, or again.
func (c *Conn) At(from *Host, seq uint32, data []byte) Result {
	c.World.tb.Helper()
	return c.Transmit(from, c.Segment(from, seq, wire.ACK|wire.PSH, data))
}

// Write sends the next octets of from in one segment.
func (c *Conn) Write(from *Host, data []byte) Result {
	c.World.tb.Helper()
	return c.At(from, c.End(from).Next, data)
}

// Say sends messages of from in one segment.
func (c *Conn) Say(from *Host, messages ...pptp.Message) Result {
	c.World.tb.Helper()
	return c.Write(from, Encode(messages...))
}

// SayCut sends messages of from in segments cut at the given octets.
func (c *Conn) SayCut(from *Host, cuts []int, messages ...pptp.Message) []Result {
	c.World.tb.Helper()
	data := Encode(messages...)
	var results []Result
	start := 0
	for _, end := range slices.Concat(cuts, []int{len(data)}) {
		results = append(results, c.Write(from, data[start:end]))
		start = end
	}
	return results
}

// Fin closes from's direction.
func (c *Conn) Fin(from *Host) Result {
	c.World.tb.Helper()
	return c.Flags(from, wire.FIN|wire.ACK)
}

// Reset resets the connection by from.
func (c *Conn) Reset(from *Host) Result {
	c.World.tb.Helper()
	return c.Flags(from, wire.RST|wire.ACK)
}

// Close closes both directions, the opener's first.
func (c *Conn) Close() {
	c.World.tb.Helper()
	c.Fin(c.Ends[0].Host)
	c.Fin(c.Ends[1].Host)
	c.Ack(c.Ends[0].Host)
}

// Encode returns the octets of messages, one behind the other.
func Encode(messages ...pptp.Message) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = pptp.Append(b, m); err != nil {
			panic(err) // a test's own mistake: its message is too long
		}
	}
	return b
}
