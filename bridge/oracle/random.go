package oracle

import (
	"math/rand/v2"
	"slices"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// ids are few, so that they collide. Sequences seldom need a large one.
var ids = [...]uint16{0, 1, 2, 2, 1, 3, 0xffff}

// author makes random sequences.
type author struct{ *rand.Rand }

// Random returns a random sequence of one to four connections, each of which
// lives through openings, calls and endings while GRE goes to and fro.
func Random(r *rand.Rand) Sequence {
	a := author{r}
	var s Sequence
	var stories [][]Op
	for conn := range 1 + a.IntN(4) {
		s.Dials = append(s.Dials, a.dial())
		stories = append(stories, a.story(conn, s.Dials[conn]))
	}
	s.Ops = append(a.merge(stories), probes(s.Dials)...)
	return s
}

func (a author) chance(percent int) bool { return a.IntN(100) < percent }

func (a author) id() uint16 { return ids[a.IntN(len(ids))] }

func (a author) end() End { return End(a.IntN(2)) }

// dial picks who opens a connection: mostly someone on the LAN, and mostly the
// same two hosts, so that connections meet.
func (a author) dial() Dial {
	lan, wan := Lan1+Host(a.IntN(2)), Wan1
	if a.chance(30) {
		wan = Wan2
	}
	if a.chance(20) {
		return Dial{wan, lan}
	}
	return Dial{lan, wan}
}

// merge shuffles stories into one, each in its own order.
func (a author) merge(stories [][]Op) []Op {
	var ops []Op
	for {
		stories = slices.DeleteFunc(stories, func(s []Op) bool { return len(s) == 0 })
		if len(stories) == 0 {
			return ops
		}
		i := a.IntN(len(stories))
		n := min(1+a.IntN(6), len(stories[i]))
		ops = append(ops, stories[i][:n]...)
		stories[i] = stories[i][n:]
	}
}

// probes ask with GRE for every call that the hosts of the dials may have.
func probes(dials []Dial) []Op {
	var ops []Op
	var asked []Dial
	for _, d := range dials {
		if slices.Contains(asked, d) || slices.Contains(asked, Dial{d.Answerer, d.Opener}) {
			continue
		}
		asked = append(asked, d)
		for _, id := range [...]uint16{0, 1, 2, 3, 0xffff} {
			ops = append(ops, GRE{From: d.Opener, To: d.Answerer, ID: id}, GRE{From: d.Answerer, To: d.Opener, ID: id})
		}
	}
	return ops
}

// storyteller tells of one connection.
type storyteller struct {
	author
	Dial
	conn int
	pns  End // the end that is PNS, unless something odd happens
	ops  []Op

	pnsID, pacID uint16 // of the last call
	incoming     bool
}

func (a author) story(conn int, d Dial) []Op {
	t := &storyteller{author: a, Dial: d, conn: conn, pns: Opener}
	if a.chance(15) {
		t.pns = Answerer
	}
	t.ops = append(t.ops, Open{conn})
	t.started()
	for range 3 + a.IntN(8) {
		t.chapter()
	}
	return t.ops
}

// chapter is one thing that happens, with its weight.
type chapter struct {
	weight int
	tell   func(*storyteller)
}

func chapters() []chapter {
	return []chapter{
		{24, (*storyteller).outCall},
		{10, (*storyteller).inCall},
		{12, (*storyteller).disconnects},
		{5, (*storyteller).clears},
		{8, (*storyteller).chatter},
		{12, func(t *storyteller) { t.gre(2) }},
		{8, func(t *storyteller) { t.say(t.end(), t.anything()) }},
		{6, (*storyteller).again},
		{5, (*storyteller).oddGRE},
		{5, (*storyteller).secondThoughts},
		{1, (*storyteller).zeroCall},
		{4, (*storyteller).forgery},
		{4, (*storyteller).stops},
		{3, (*storyteller).reopens},
		{2, (*storyteller).ends},
	}
}

func (t *storyteller) chapter() {
	total := 0
	for _, c := range chapters() {
		total += c.weight
	}
	n := t.IntN(total)
	for _, c := range chapters() {
		if n -= c.weight; n < 0 {
			c.tell(t)
			return
		}
	}
}

func (t *storyteller) pac() End { return t.pns.Other() }

// say lets an end speak: mostly whole messages, one in each segment.
func (t *storyteller) say(from End, messages ...pptp.Message) {
	s := Say{Conn: t.conn, From: from, Messages: messages}
	if t.chance(6) {
		s.Messages = append([]pptp.Message{tracktest.EchoRequest(7)}, s.Messages...)
	}
	length := len(tracktest.Encode(s.Messages...))
	if t.chance(7) {
		for range 1 + t.IntN(2) {
			s.Cuts = append(s.Cuts, 1+t.IntN(length-1))
		}
		slices.Sort(s.Cuts)
	}
	if t.chance(4) {
		s.Messages = append([]pptp.Message{tracktest.EchoRequest(8)}, s.Messages...)
		s.Cuts, s.Reversed = []int{16}, true
		if t.chance(70) {
			s.Between = t.packet()
		}
	}
	t.ops = append(t.ops, s)
}

func (t *storyteller) packet() GRE {
	g := GRE{From: t.At(Opener), To: t.At(Answerer), ID: t.id()}
	if t.chance(50) {
		g.From, g.To = g.To, g.From
	}
	return g
}

// gre sends up to n packets each way with any ID.
func (t *storyteller) gre(n int) {
	for range t.IntN(2*n + 1) {
		t.ops = append(t.ops, t.packet())
	}
}

// traffic sends GRE of a call, each way or one way only, or none.
func (t *storyteller) traffic(pnsID, pacID uint16) {
	ways := []Op{
		GRE{From: t.At(t.pns), To: t.At(t.pac()), ID: pacID},
		GRE{From: t.At(t.pac()), To: t.At(t.pns), ID: pnsID},
	}
	t.Shuffle(2, func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
	t.ops = append(t.ops, ways[:t.IntN(3)]...)
}

func (t *storyteller) started() {
	from := Opener
	if t.chance(4) {
		from = Answerer
	}
	if t.chance(95) {
		t.say(from, tracktest.StartRequest())
	}
	if t.chance(5) {
		t.pnsID, t.incoming = t.id(), false
		t.say(t.pns, tracktest.OutRequest(t.pnsID))
	}
	if t.chance(8) {
		t.say(from.Other(), tracktest.StartReply(pptp.StartResultGeneralError))
		if t.chance(70) {
			t.say(from, tracktest.StartRequest())
		}
	}
	if t.chance(95) {
		result := pptp.StartResultOK
		if t.chance(3) {
			result = pptp.StartResultUnset
		}
		t.say(from.Other(), tracktest.StartReply(result))
	}
}

// outCall tells of an out-call, with slips.
func (t *storyteller) outCall() {
	pnsID, pacID := t.id(), t.id()
	t.pnsID, t.pacID, t.incoming = pnsID, pacID, false
	if t.chance(95) {
		t.say(t.pns, tracktest.OutRequest(pnsID))
	}
	if t.chance(15) {
		t.chapter()
	}
	if t.chance(3) {
		t.say(t.pns, tracktest.ClearRequest(t.id()))
	}
	result := pptp.OutCallResultConnected
	if t.chance(10) {
		result = pptp.OutCallResultBusy
	}
	if t.chance(5) {
		pnsID = t.id()
	}
	if t.chance(95) {
		t.say(t.pac(), tracktest.OutReply(pacID, pnsID, result))
	}
	t.traffic(pnsID, pacID)
}

// inCall tells of an in-call, with slips.
func (t *storyteller) inCall() {
	pnsID, pacID := t.id(), t.id()
	t.pnsID, t.pacID, t.incoming = pnsID, pacID, true
	t.say(t.pac(), tracktest.InRequest(pacID))
	if t.chance(10) {
		t.chapter()
	}
	result := pptp.InCallResultConnect
	if t.chance(10) {
		result = pptp.InCallResultDoNotAccept
	}
	t.say(t.pns, tracktest.InReply(pnsID, pacID, result))
	if t.chance(20) {
		t.chapter()
	}
	if t.chance(5) {
		pnsID = t.id()
	}
	t.say(t.pac(), tracktest.InConnected(pnsID))
	t.traffic(pnsID, pacID)
}

// either is one of two IDs or any.
func (t *storyteller) either(a, b uint16) uint16 { return [...]uint16{a, a, b, t.id()}[t.IntN(4)] }

func (t *storyteller) disconnects() {
	t.say(t.pac(), tracktest.Disconnect(t.either(t.pacID, t.pnsID)))
	t.gre(1)
}

// secondThoughts says once more, or otherwise, what was said of the last call.
func (t *storyteller) secondThoughts() {
	pnsID, pacID := t.either(t.pnsID, t.pnsID), t.either(t.pacID, t.pacID)
	switch {
	case !t.incoming && t.chance(70):
		t.say(t.pac(), tracktest.OutReply(pacID, pnsID, pptp.OutCallResultConnected))
	case !t.incoming:
		t.say(t.pac(), tracktest.OutReply(pacID, pnsID, pptp.OutCallResultBusy))
	case t.chance(30):
		t.say(t.pac(), tracktest.InRequest(pacID))
	case t.chance(50):
		t.say(t.pns, tracktest.InReply(pnsID, pacID, pptp.InCallResult(1+t.IntN(2))))
	default:
		t.say(t.pac(), tracktest.InConnected(pnsID))
	}
	t.gre(1)
}

// zeroCall tells of a call whose IDs are what conntrack takes for none.
func (t *storyteller) zeroCall() {
	t.pnsID, t.pacID, t.incoming = 0, 0, false
	t.say(t.pns, tracktest.OutRequest(0))
	t.say(t.pac(), tracktest.OutReply(0, 0, pptp.OutCallResultConnected))
	g := t.packet()
	g.Form = Plain
	t.ops = append(t.ops, g)
	t.traffic(0, 0)
}

func (t *storyteller) clears() {
	id := t.either(t.pnsID, t.pacID)
	t.say(t.pns, tracktest.ClearRequest(id))
	t.gre(1)
	if t.chance(50) {
		t.say(t.pac(), tracktest.Disconnect(t.either(t.pacID, id)))
	}
}

func (t *storyteller) chatter() {
	switch t.IntN(4) {
	case 0:
		t.say(t.end(), tracktest.EchoRequest(1))
	case 1:
		t.say(t.end(), tracktest.EchoReply(1))
	case 2:
		t.say(t.end(), tracktest.LinkInfo(t.id()))
	case 3:
		t.say(t.pac(), tracktest.WANError(t.id()))
	}
}

// anything is a message that may make no sense.
func (t *storyteller) anything() pptp.Message {
	return [...]pptp.Message{
		tracktest.StartRequest(), tracktest.StartReply(pptp.StartResultOK), tracktest.StartReply(pptp.StartResultBadVersion),
		tracktest.StopRequest(), tracktest.StopReply(),
		&pptp.StopControlConnectionReplyMessage{ResultCode: pptp.StopResultGeneralError},
		tracktest.OutRequest(t.id()), tracktest.OutReply(t.id(), t.id(), pptp.OutCallResultConnected),
		tracktest.OutReply(t.id(), t.id(), pptp.OutCallResultNoCarrier),
		tracktest.InRequest(t.id()), tracktest.InReply(t.id(), t.id(), pptp.InCallResultConnect),
		tracktest.InReply(t.id(), t.id(), pptp.InCallResultGeneralError), tracktest.InConnected(t.id()),
		tracktest.ClearRequest(t.id()), tracktest.Disconnect(t.id()),
	}[t.IntN(15)]
}

func (t *storyteller) again() {
	t.ops = append(t.ops, Again{t.conn, t.end(), t.IntN(4)})
	t.gre(1)
}

func (t *storyteller) oddGRE() {
	g := t.packet()
	if g.Form = Form(t.IntN(len(formNames))); g.Form == Enhanced {
		g.Spoofed = true
	}
	t.ops = append(t.ops, g)
}

func (t *storyteller) forgery() {
	f := Forge{Conn: t.conn, From: t.end(), Far: t.chance(60)}
	if !f.Far || t.chance(50) {
		f.Messages = []pptp.Message{t.anything()}
	}
	t.ops = append(t.ops, f)
}

func (t *storyteller) stops() {
	from := t.end()
	t.say(from, tracktest.StopRequest())
	t.gre(2)
	if t.chance(70) {
		t.say(from.Other(), tracktest.StopReply())
	}
	if t.chance(40) {
		t.started()
	}
}

// ends closes the connection in one way or another.
func (t *storyteller) ends() {
	first := t.end()
	switch t.IntN(4) {
	case 0:
		t.ops = append(t.ops, Fin{t.conn, first})
	case 1:
		t.ops = append(t.ops, Fin{t.conn, first}, Reset{t.conn, first.Other()})
	case 2:
		t.ops = append(t.ops, Reset{t.conn, first})
	default:
		t.ops = append(t.ops, Fin{t.conn, first}, Fin{t.conn, first.Other()})
	}
	t.gre(2)
}

// reopens ends the connection, or forgets to, and opens it again.
func (t *storyteller) reopens() {
	if t.chance(70) {
		t.ends()
	}
	if t.chance(20) {
		t.again()
	}
	t.ops = append(t.ops, Open{t.conn})
	t.started()
	t.gre(2)
}
