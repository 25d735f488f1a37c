package oracle

import (
	"fmt"
	"strings"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
)

// Host is one of the hosts that sequences are about: two on each side.
type Host int

// The hosts.
const (
	Lan1 Host = iota
	Lan2
	Wan1
	Wan2
	numHosts
)

// Side returns the side of the box that the host is on.
func (h Host) Side() track.Side {
	if h < Wan1 {
		return track.LAN
	}
	return track.WAN
}

// String returns the host's name, such as "lan1".
func (h Host) String() string { return fmt.Sprintf("%s%d", h.Side(), h%2+1) }

// End is an end of a TCP connection.
type End int

// The two ends.
const (
	Opener   End = iota // who sends SYN, always to port 1723
	Answerer            // who listens there
)

// Other returns the other end.
func (e End) Other() End { return 1 - e }

// Dial says who opens a connection to whom.
type Dial struct{ Opener, Answerer Host }

// At returns the host at an end.
func (d Dial) At(e End) Host {
	if e == Opener {
		return d.Opener
	}
	return d.Answerer
}

// Sequence is a story of several hosts. An Op that makes no sense where it
// stands, such as one on a connection that is not open, does nothing: so a
// sequence stays one when ops are taken out.
type Sequence struct {
	Dials []Dial // the connections that Ops are about, by number
	Ops   []Op
}

// Op is something that hosts do.
type Op interface{ render(*renderer) }

// Open opens connection Conn, again if it was open before: with the same
// addresses and ports.
type Open struct{ Conn int }

// Say lets an end send messages.
type Say struct {
	Conn     int
	From     End
	Messages []pptp.Message
	Cuts     []int // where the octets are cut into segments; nowhere: all in one
	Reversed bool  // the segments come in reverse order
	Between  Op    // done after every segment but the last, if not nil
}

// Again lets an end send a segment of data once more: the last, or the one so
// many before it.
type Again struct {
	Conn int
	From End
	Back int
}

// Fin closes an end's direction. When it is the second FIN the other end
// acknowledges it.
type Fin struct {
	Conn int
	From End
}

// Reset lets an end reset the connection, with everything acknowledged.
type Reset struct {
	Conn int
	From End
}

// Forge sends what an end of the connection did not send: messages, or a reset
// if there are none. Far says that the sequence number is a wrong guess; if it
// is not, the sequence number is right but the segment comes in by the side
// where that end is not.
type Forge struct {
	Conn     int
	From     End
	Messages []pptp.Message
	Far      bool
}

// Form is how the header of a GRE packet looks.
type Form int

// The forms.
const (
	Enhanced      Form = iota // version 1 as RFC 2637 has it
	Plain                     // version 0
	NoKey                     // version 1 whose K bit is not set
	OtherProtocol             // version 1 that carries IPv4
)

var formNames = [...]string{Enhanced: "", Plain: ", version 0", NoKey: ", K not set", OtherProtocol: ", protocol 0x0800"}

// GRE sends a GRE packet.
type GRE struct {
	From, To Host
	ID       uint16
	Form     Form
	Spoofed  bool // it comes in by the side where From is not
}

// String returns the packet in a few words.
func (g GRE) String() string {
	s := fmt.Sprintf("GRE %s > %s id %d%s", g.From, g.To, g.ID, formNames[g.Form])
	if g.Spoofed {
		s += ", from the wrong side"
	}
	return s
}

// said is what a message says, as far as anyone follows it.
type said struct {
	kind   pptp.ControlType
	id     uint16 // Call ID
	peerID uint16 // Peer's Call ID
	result uint8
}

func read(v pptp.View) said {
	s := said{kind: v.ControlType()}
	s.id, _ = v.CallID()
	s.peerID, _ = v.PeerCallID()
	s.result, _ = v.Result()
	return s
}

// String returns the message as in "OCRP id 1 peer 2 result 1".
func (s said) String() string {
	text := s.kind.Abbreviation()
	switch s.kind {
	case pptp.OutgoingCallRequest, pptp.IncomingCallRequest, pptp.CallClearRequest, pptp.CallDisconnectNotify:
		text += fmt.Sprintf(" id %d", s.id)
	case pptp.OutgoingCallReply, pptp.IncomingCallReply:
		text += fmt.Sprintf(" id %d peer %d result %d", s.id, s.peerID, s.result)
	case pptp.IncomingCallConnected, pptp.WANErrorNotify, pptp.SetLinkInfo:
		text += fmt.Sprintf(" peer %d", s.peerID)
	case pptp.StartControlConnectionReply, pptp.StopControlConnectionReply:
		text += fmt.Sprintf(" result %d", s.result)
	}
	return text
}

func join(messages []said) string {
	var texts []string
	for _, m := range messages {
		texts = append(texts, m.String())
	}
	return strings.Join(texts, " + ")
}
