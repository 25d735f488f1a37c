package oracle

import (
	"math/rand/v2"
	"slices"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// A natStory is a sequence for translators: what a host says depends on the names by
// which it knows the other, which every translator chooses by itself. So it is no
// list of frames. It is what a kernel's NAT is made for: whole messages, one in
// each segment, nothing sent again, one call for each connection, and all
// connections opened by the LAN.
type natStory struct {
	conns []natConn
	deeds []deed
}

// natConn is a connection of a story, and its call.
type natConn struct {
	Dial         // the opener is on the LAN
	port         uint16
	pns          End
	pnsID, pacID uint16
	incoming     bool // the call is an in-call
}

// deed is something that an end of a connection does.
type deed struct {
	conn int
	from End
	act  natAct
}

// natAct is what a deed is.
type natAct int

const (
	natSYN natAct = iota
	natSYNACK
	natACK
	natFIN
	natReset
	natGRE
	natSay // and above: a message of type act-natSay
)

func says(t pptp.ControlType) natAct { return natSay + natAct(t) }

// message returns what a deed says, of a call that the sender has given an ID and
// knows by another.
func (a natAct) message(own, known uint16) pptp.Message {
	switch pptp.ControlType(a - natSay) {
	case pptp.StartControlConnectionRequest:
		return tracktest.StartRequest()
	case pptp.StartControlConnectionReply:
		return tracktest.StartReply(pptp.StartResultOK)
	case pptp.StopControlConnectionRequest:
		return tracktest.StopRequest()
	case pptp.StopControlConnectionReply:
		return tracktest.StopReply()
	case pptp.EchoRequest:
		return tracktest.EchoRequest(1)
	case pptp.EchoReply:
		return tracktest.EchoReply(1)
	case pptp.OutgoingCallRequest:
		return tracktest.OutRequest(own)
	case pptp.OutgoingCallReply:
		return tracktest.OutReply(own, known, pptp.OutCallResultConnected)
	case pptp.IncomingCallRequest:
		return tracktest.InRequest(own)
	case pptp.IncomingCallReply:
		return tracktest.InReply(own, known, pptp.InCallResultConnect)
	case pptp.IncomingCallConnected:
		return tracktest.InConnected(known)
	case pptp.CallClearRequest:
		return tracktest.ClearRequest(own)
	case pptp.CallDisconnectNotify:
		return tracktest.Disconnect(own)
	case pptp.WANErrorNotify:
		return tracktest.WANError(known)
	default:
		return tracktest.LinkInfo(known)
	}
}

// randomNATStory returns one of a few connections between four hosts.
func randomNATStory(r *rand.Rand) natStory {
	a := author{r}
	var s natStory
	var parts [][]deed
	for conn := range 1 + a.IntN(4) {
		s.conns = append(s.conns, a.natConn(s.conns))
		parts = append(parts, a.natPart(conn, &s.conns[conn]))
	}
	for len(parts) > 0 {
		i := a.IntN(len(parts))
		n := min(1+a.IntN(4), len(parts[i]))
		s.deeds = append(s.deeds, parts[i][:n]...)
		if parts[i] = parts[i][n:]; len(parts[i]) == 0 {
			parts = slices.Delete(parts, i, i+1)
		}
	}
	return s
}

// natConn picks who opens a connection to whom. Hosts on the LAN collide in ports
// and IDs; those of a host are its own, and so are those of a peer on the WAN.
func (a author) natConn(others []natConn) natConn {
	c := natConn{Dial: Dial{Lan1 + Host(a.IntN(2)), Wan1}, pns: Opener, port: firstPort}
	if a.chance(25) {
		c.Answerer = Wan2
	}
	if a.chance(15) {
		c.pns = Answerer
	}
	lan, wan := [...]uint16{0, 7, 7, 7, firstPort, 0xffff}[a.IntN(6)], uint16(1)
	if a.chance(10) {
		wan = 0
	}
	for _, o := range others {
		if o.Opener == c.Opener {
			c.port++
			lan += 1000
		}
		wan += 128
	}
	c.pnsID, c.pacID = lan, wan
	if c.pns == Answerer {
		c.pnsID, c.pacID = wan, lan
	}
	return c
}

// natTeller tells of one connection.
type natTeller struct {
	author
	*natConn
	conn  int
	deeds []deed
}

func (a author) natPart(conn int, c *natConn) []deed {
	t := &natTeller{author: a, natConn: c, conn: conn}
	t.add(Opener, natSYN)
	t.add(Answerer, natSYNACK)
	t.add(Opener, natACK)
	t.ask(Opener, pptp.StartControlConnectionRequest, pptp.StartControlConnectionReply)
	t.call()
	for range a.IntN(6) {
		t.talk()
	}
	t.gre()
	t.end()
	t.gre()
	return t.deeds
}

func (t *natTeller) add(from End, acts ...natAct) {
	for _, act := range acts {
		t.deeds = append(t.deeds, deed{t.conn, from, act})
	}
}

func (t *natTeller) ask(from End, request, reply pptp.ControlType) {
	t.add(from, says(request))
	t.add(from.Other(), says(reply))
}

func (t *natTeller) call() {
	if t.incoming = t.chance(25); t.incoming {
		t.ask(t.pns.Other(), pptp.IncomingCallRequest, pptp.IncomingCallReply)
		t.add(t.pns.Other(), says(pptp.IncomingCallConnected))
		return
	}
	t.ask(t.pns, pptp.OutgoingCallRequest, pptp.OutgoingCallReply)
}

func (t *natTeller) talk() {
	switch t.IntN(8) {
	case 0:
		t.ask(t.author.end(), pptp.EchoRequest, pptp.EchoReply)
	case 1:
		t.add(t.author.end(), says(pptp.SetLinkInfo))
	case 2:
		t.add(t.pns.Other(), says(pptp.WANErrorNotify))
	default:
		t.add(t.author.end(), natGRE)
	}
}

func (t *natTeller) gre() {
	t.add(t.pns, natGRE)
	t.add(t.pns.Other(), natGRE)
}

func (t *natTeller) end() {
	first := t.author.end()
	switch t.IntN(7) {
	case 0:
		t.add(t.pns, says(pptp.CallClearRequest))
	case 1:
		t.ask(t.pns, pptp.CallClearRequest, pptp.CallDisconnectNotify)
	case 2, 3:
		t.add(t.pns.Other(), says(pptp.CallDisconnectNotify))
	case 4:
		t.ask(first, pptp.StopControlConnectionRequest, pptp.StopControlConnectionReply)
	case 5:
		t.add(first, natFIN)
		t.add(first.Other(), natFIN)
		t.add(first, natACK)
	case 6:
		t.add(first, natReset)
	}
}
