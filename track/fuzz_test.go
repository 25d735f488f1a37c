package track_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// script reads a fuzzer's octets as decisions; at its end all are 0.
type script struct{ rest []byte }

func (s *script) octet() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *script) below(n int) int { return int(s.octet()) % n }

func (s *script) octets(n int) []byte {
	n = min(n, len(s.rest))
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// id is a call ID from a set so small that calls collide.
func (s *script) id() uint16 { return uint16(s.below(4)) }

// fuzzLimits are so small that every one of them is reached.
func fuzzLimits(o *track.Options) {
	o.Limits = track.Limits{
		Connections: 4, Calls: 8, CallsPerConnection: 5, CallsPerHost: 6, Expectations: 8,
		Fragments: 4, HoldBytes: 12 << 10,
	}
}

// stage is what a script plays on.
type stage struct {
	script
	w     *tracktest.World
	hosts []*tracktest.Host
	conns []*tracktest.Conn
	past  [][]byte // frames that were sent
}

func newStage(t *testing.T, data []byte) *stage {
	s := &stage{script: script{data}, w: tracktest.New(t, fuzzLimits)}
	if flags := s.octet(); flags != 0 {
		w := tracktest.New(t, fuzzLimits, func(o *track.Options) {
			o.Policy.AnyGRE = flags&1 != 0
			o.Policy.Other = track.Action(flags >> 1 & 1)
			o.Policy.StrictGRE = track.Action(1 + flags>>2&1)
			o.Policy.GREv0 = track.Action(flags >> 3 & 1)
			o.Policy.Adopt = flags>>4&1 != 0
		})
		s.w = w
	}
	v6 := tracktest.NewHost(track.LAN, "2001:db8::1")
	s.hosts = []*tracktest.Host{
		s.w.Client, s.w.Server, tracktest.NewHost(track.LAN, "192.0.2.11"), v6, tracktest.NewHost(track.WAN, "2001:db8::2"),
	}
	s.w.Tap = func(r tracktest.Result) {
		if len(s.past) < 64 {
			s.past = append(s.past, r.Data)
		}
	}
	return s
}

// play plays the script to its end.
func (s *stage) play() {
	moves := []func(){
		s.connect, s.say, s.say, s.say, s.gre, s.gre, s.closing, s.fragments, s.again, s.mutated, s.random, s.wait, s.cut,
	}
	for len(s.rest) > 0 {
		moves[s.below(len(moves))]()
	}
}

func (s *stage) conn() *tracktest.Conn {
	if len(s.conns) == 0 {
		s.connect()
	}
	return s.conns[s.below(len(s.conns))]
}

// connect opens a connection, or half of one.
func (s *stage) connect() {
	pairs := [][2]int{{0, 1}, {1, 0}, {2, 1}, {3, 4}}
	pair := pairs[s.below(len(pairs))]
	c := s.w.NewConn(s.hosts[pair[0]], s.hosts[pair[1]])
	if n := s.octet(); n&3 == 3 {
		c.Ends[0].Port = pptp.Port
	}
	s.conns = append(s.conns, c)
	steps := s.below(8)
	if steps == 7 { // it was there before
		for i := range c.Ends {
			c.Ends[i].Got = c.Ends[1-i].Next
			c.Say(c.Ends[i].Host, tracktest.EchoRequest(1))
		}
		return
	}
	for i, flags := range []uint8{wire.SYN, wire.SYN | wire.ACK, wire.ACK} {
		if steps != i { // one of them may get lost
			c.Flags(c.Ends[i%2].Host, flags)
		}
	}
	if steps > 3 {
		c.Say(c.Ends[0].Host, tracktest.StartRequest())
		c.Say(c.Ends[1].Host, tracktest.StartReply(okStart))
	}
}

// message is any message with small ids.
func (s *stage) message() pptp.Message {
	a, b, result := s.id(), s.id(), uint8(s.below(3))
	switch s.below(12) {
	case 0:
		return tracktest.StartRequest()
	case 1:
		return tracktest.StartReply(pptp.StartResult(result))
	case 2:
		return tracktest.StopRequest()
	case 3:
		return tracktest.EchoRequest(uint32(a))
	case 4:
		return tracktest.OutRequest(a)
	case 5, 6:
		return tracktest.OutReply(a, b, okOut)
	case 7:
		return tracktest.InRequest(a)
	case 8:
		return tracktest.InReply(a, b, pptp.InCallResult(result))
	case 9:
		return tracktest.InConnected(a)
	case 10:
		return tracktest.ClearRequest(a)
	}
	return tracktest.Disconnect(a)
}

func (s *stage) say() {
	c := s.conn()
	c.Say(c.Ends[s.below(2)].Host, s.message())
}

// cut says messages in segments cut, doubled and shuffled.
func (s *stage) cut() {
	c := s.conn()
	from := c.Ends[s.below(2)].Host
	data := tracktest.Encode(s.message(), s.message())
	start := c.End(from).Next
	for range 4 {
		at := int(s.octet()) % len(data)
		end := min(at+1+int(s.octet()), len(data))
		c.At(from, start+uint32(at), data[at:end])
	}
	c.At(from, start, data)
}

func (s *stage) gre() {
	c := s.conn()
	end := s.below(2)
	from, to := c.Ends[end].Host, c.Ends[1-end].Host
	if s.below(8) == 0 {
		from = from.Moved()
	}
	g := tracktest.GRE{CallID: s.id(), HasSeq: true, Seq: uint32(s.octet()), Payload: make([]byte, 8)}
	if ack := s.octet(); ack > 127 {
		g.HasAck, g.Ack = true, uint32(ack-128)
	}
	s.w.Send(from.Side, g.Frame(from, to))
}

func (s *stage) closing() {
	c := s.conn()
	flags := []uint8{wire.FIN | wire.ACK, wire.RST | wire.ACK, wire.RST, wire.SYN, wire.SYN | wire.ACK}
	c.Flags(c.Ends[s.below(2)].Host, flags[s.below(len(flags))])
}

// fragments sends a GRE packet or a segment in fragments, in any order, some
// twice, some never.
func (s *stage) fragments() {
	c := s.conn()
	end := s.below(2)
	from, to := c.Ends[end].Host, c.Ends[1-end].Host
	packet := tracktest.GRE{CallID: s.id(), HasSeq: true, Payload: make([]byte, 100)}.IP()
	if s.below(3) == 0 {
		packet = c.Segment(from, c.End(from).Next, wire.ACK, tracktest.Encode(s.message())).IP(from, to)
	}
	packet.ID = uint32(1 + s.below(4))
	size := len(packet.Payload)
	for range 1 + s.below(6) {
		start := s.below(16) * 8 % size
		stop := min(start+8*(1+s.below(16)), size)
		s.w.Send(from.Side, packet.Piece(from, to, start, stop, stop < size))
	}
}

// again sends an earlier frame once more, by any side.
func (s *stage) again() {
	if len(s.past) > 0 {
		s.w.Send(track.Side(s.below(2)), s.past[s.below(len(s.past))])
	}
}

// mutated sends an earlier frame with changes.
func (s *stage) mutated() {
	if len(s.past) == 0 {
		return
	}
	frame := bytes.Clone(s.past[s.below(len(s.past))])
	for range 1 + s.below(3) {
		if len(frame) > 0 {
			frame[int(s.octet())%len(frame)] ^= s.octet()
		}
	}
	if n := int(s.octet()); n < len(frame) && n&1 == 0 {
		frame = frame[:n]
	}
	s.w.Batch(track.Side(s.below(2)), []track.Frame{{Data: frame, Truncated: s.below(16) == 15}})
}

func (s *stage) random() {
	s.w.Send(track.Side(s.below(2)), bytes.Clone(s.octets(int(s.octet()))))
}

func (s *stage) wait() { s.w.Advance(time.Duration(s.octet()) * 10 * time.Second) }

// FuzzTracker plays a script on a tracker of small tables. The World sees
// after every frame that limits hold and bytes are unchanged; in the end there
// must be nothing left.
func FuzzTracker(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 1, 0, 4, 1, 0, 1, 1, 2, 0, 5, 4, 0, 0, 1, 1, 1, 4, 0, 1, 1, 1, 2})
	for seed := byte(1); seed < 16; seed++ {
		b := make([]byte, 512)
		for i := range b {
			b[i] = byte(i*int(seed)*31) ^ byte(i>>3)
		}
		f.Add(b)
	}
	f.Fuzz(runScript)
}

func runScript(t *testing.T, data []byte) {
	if len(data) > 2048 {
		data = data[:2048]
	}
	s := newStage(t, data)
	s.play()
	s.w.CheckEmpty()
	if hosts, keys := s.w.Tracker.TableSizes(); hosts != 0 || keys != 0 || s.w.Tracker.ControlKeys() != 0 {
		t.Errorf("%d hosts, %d keys, %d control keys left over", hosts, keys, s.w.Tracker.ControlKeys())
	}
}

// TestRandomScripts plays scripts that nobody guided.
func TestRandomScripts(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		data := make([]byte, 1500)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if runScript(t, data); t.Failed() {
			t.Fatalf("seed %d, script %d", seed, i)
		}
	}
}
