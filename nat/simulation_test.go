package nat_test

import (
	"bytes"
	"slices"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// simEnd is an end of a control connection: a TCP that sends and receives, and
// the program above it.
type simEnd struct {
	*simulation
	d    *dialogue
	at   int // in the dialogue
	host *tracktest.Host

	start, next uint32 // positions of the first octet of out, and of the first not acknowledged
	out         []byte // said, as it was said
	said        []simMessage

	expect uint32 // the position of the next octet to come
	got    []byte // heard
	heard  int    // messages read of got
	read   int    // octets of got that were read
	ahead  []wireSegment

	pre, post [][]byte // frames of this end before the box, and of the other behind it
	started   bool
}

type simMessage struct {
	octets []byte
	call   *simCall
}

type wireSegment struct {
	seq  uint32
	data []byte
}

// say puts a message into what this end sends.
func (e *simEnd) say(m pptp.Message, k *simCall) {
	octets := tracktest.Encode(m)
	e.out = append(e.out, octets...)
	e.said = append(e.said, simMessage{octets, k})
}

func (e *simEnd) peer() *simEnd { return e.d.ends[1-e.at] }

// transmit sends octets from somewhere in what is not acknowledged on.
func (e *simEnd) transmit() {
	left := e.out[e.next-e.start:]
	if len(left) == 0 {
		return
	}
	at := 0
	if e.below(2) == 0 {
		at = e.below(len(left))
	}
	size := []int{1, 1, 2, 5, 13, 14, 40, 168, 1400}[e.below(9)]
	end := min(at+size, len(left))
	e.send(e.next+uint32(at), left[at:end])
}

func (e *simEnd) send(seq uint32, data []byte) {
	c := e.d.conn
	c.End(e.host).Got = e.expect
	s := c.Segment(e.host, seq, wire.ACK, data)
	e.pre = append(e.pre, s.Frame(e.host, c.To(e.host)))
}

// pick takes a frame out of a queue, seldom any but the first, and says whether
// it is to be lost or to come again.
func (e *simEnd) pick(queue *[][]byte, luck int) (frame []byte, ok bool) {
	if len(*queue) == 0 {
		return nil, false
	}
	i := 0
	if e.lossy && luck < 2 {
		i = e.below(len(*queue))
	}
	frame = (*queue)[i]
	if !e.lossy || luck != 2 { // else it comes again
		*queue = slices.Delete(*queue, i, i+1)
	}
	return frame, !e.lossy || luck != 3
}

// throughBox lets a frame of this end cross the box.
func (e *simEnd) throughBox(luck int) {
	if frame, ok := e.pick(&e.pre, luck); ok {
		e.crossed(e.b.Send(e.host.Side, frame))
	}
}

// crossed takes what became of a frame of this end, and of those it released.
func (e *simEnd) crossed(r tracktest.Result) {
	e.sent[r.Number] = e
	e.take(append([]tracktest.Result{r}, e.b.Released...))
}

// take puts what left the box into the network behind it, in order.
func (s *simulation) take(results []tracktest.Result) {
	if results == nil {
		results = s.b.Released
	}
	slices.SortStableFunc(results, func(a, b tracktest.Result) int { return int(int64(a.Number - b.Number)) })
	for _, r := range results {
		if e := s.sent[r.Number]; r.Passed() && e != nil {
			e.d.conn.Delivered(e.host, r)
			to := e.peer()
			to.post = append(to.post, r.Out)
		}
	}
	s.b.Released = nil
}

// receive takes a frame from behind the box.
func (e *simEnd) receive(luck int) {
	frame, ok := e.pick(&e.post, luck)
	if !ok {
		return
	}
	var p wire.Packet
	wire.Decode(frame, &p)
	if int32(p.Ack-e.next) > 0 {
		e.next = p.Ack
	}
	if p.PayloadLength() == 0 {
		return
	}
	e.ahead = append(e.ahead, wireSegment{p.Seq, frame[p.Payload:p.End]})
	e.join()
	e.send(e.next, nil) // ACK
	e.listen()
}

// join takes what is in order into got.
func (e *simEnd) join() {
	for again := true; again; {
		again = false
		for _, s := range e.ahead {
			if skip := e.expect - s.seq; int32(skip) >= 0 && int(skip) < len(s.data) {
				e.got = append(e.got, s.data[skip:]...)
				e.expect += uint32(len(s.data)) - skip
				again = true
			}
		}
		e.ahead = slices.DeleteFunc(e.ahead, func(s wireSegment) bool { return int32(e.expect-s.seq) >= int32(len(s.data)) })
	}
}

// listen reads the messages that are there now.
func (e *simEnd) listen() {
	for e.heard < len(e.peer().said) {
		m := e.peer().said[e.heard]
		if len(e.got)-e.read < len(m.octets) {
			return
		}
		heard := e.got[e.read : e.read+len(m.octets)]
		e.read += len(m.octets)
		e.heard++
		e.compare(m.octets, heard)
		e.understand(m, pptp.View(heard))
	}
}

// compare fails if a message is heard otherwise than it was said, but for its ID,
// and the result of one that is refused.
func (e *simEnd) compare(said, heard []byte) {
	v := pptp.View(said)
	t := v.ControlType()
	said = bytes.Clone(said)
	at, ok := pptp.CallIDOffset(t)
	if e.host.Side == track.LAN && t != pptp.CallDisconnectNotify {
		at, ok = pptp.PeerCallIDOffset(t)
	}
	if ok {
		copy(said[at:at+2], heard[at:at+2])
	}
	if reply := t == pptp.OutgoingCallReply || t == pptp.IncomingCallReply; reply && heard[16] == 2 && heard[17] == 4 {
		copy(said[16:18], heard[16:18])
	}
	if !bytes.Equal(said, heard) {
		e.Fatalf("%s hears\n%x, said was\n%x", e.host.Addr, heard, said)
	}
}

// flush sends and receives everything, and reports whether anything was left.
func (e *simEnd) flush() (busy bool) {
	for len(e.pre)+len(e.post) > 0 {
		busy = true
		e.throughBox(7)
		e.receive(7)
	}
	if left := e.out[e.next-e.start:]; len(left) > 0 {
		busy = true
		size := min(len(left), []int{1, 14, 168, 1400}[e.below(4)])
		e.send(e.next, left[:size])
		if size < len(left) {
			e.send(e.next+uint32(size), left[size:min(len(left), size+1400)])
		}
	}
	return busy
}
