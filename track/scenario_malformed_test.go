package track_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// poke returns a copy of b with a 16-bit number at an offset.
func poke(b []byte, at int, value uint16) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint16(b[at:], value)
	return b
}

// unsynchronised says junk in the server's direction of a live connection and
// checks what must follow: frames pass, live calls stay until the connection
// closes, no new call opens, one event.
func unsynchronised(t *testing.T, junk []byte) {
	t.Helper()
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	wantUp(t, call)
	w.Events()
	wantControl(t, c.Write(w.Server, junk))
	wantEvents(t, w, track.EventControlDesync)
	wantUp(t, call)
	wantControl(t, c.Say(w.Client, tracktest.OutRequest(8)))
	wantControl(t, c.Say(w.Server, tracktest.OutReply(10, 8, okOut)))
	wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(9)))
	wantUp(t, call)
	wantControl(t, c.Write(w.Server, junk))
	for _, kind := range w.Kinds() {
		if kind == track.EventControlDesync {
			t.Errorf("a second %s", kind)
		}
	}
	c.Close()
	wantDown(t, call)
	w.CheckEmpty()
}

func TestScenario058_BadMagicCookie(t *testing.T) {
	unsynchronised(t, poke(tracktest.Encode(tracktest.EchoRequest(1)), 4, 0xdead))
	unsynchronised(t, poke(tracktest.Encode(tracktest.OutReply(10, 8, okOut)), 6, 0))
}

func TestScenario059_ImpossibleLength(t *testing.T) {
	for _, length := range []uint16{0, 1, 11, 513, 65535} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			unsynchronised(t, poke(tracktest.Encode(tracktest.EchoRequest(1)), 0, length))
		})
	}
}

// A body shorter than the RFC's is ignored and counted, a longer one read by
// its known fields.
func TestScenario059_WrongLength(t *testing.T) {
	t.Run("short", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		short := poke(tracktest.Encode(tracktest.OutRequest(7))[:40], 0, 40)
		wantCounted(t, w, track.AnomalyShortMessage, 1, func() { wantControl(t, c.Write(w.Client, short)) })
		wantCalls(t, w, 0)
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("long", func(t *testing.T) {
		for _, more := range []int{1, 16, 512 - 168} {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			long := tracktest.OutRequest(7)
			long.Trailing = make([]byte, more)
			wantControl(t, c.Say(w.Client, long))
			reply := tracktest.OutReply(9, 7, okOut)
			reply.Trailing = []byte{1, 2, 3}
			want(t, c.Say(w.Server, reply), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
			wantUp(t, c.OutCall(8, 10))
		}
	})
}

// A message of unknown type and sound Length is skipped.
func TestScenario060_UnknownTypes(t *testing.T) {
	request := tracktest.Encode(tracktest.OutRequest(7))
	unknown := map[string][]byte{
		"type 0": poke(request, 8, 0), "type 16": poke(request, 8, 16), "type 65535": poke(request, 8, 65535),
		"management": poke(request, 2, 2), "message type 0": poke(request, 2, 0),
	}
	for name, message := range unknown {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			call := c.OutCall(1, 2)
			wantCounted(t, w, track.AnomalyUnknownMessage, 1, func() { wantControl(t, c.Write(w.Client, message)) })
			wantCalls(t, w, 1)
			wantUp(t, call, c.OutCall(7, 9))
		})
	}
}

func TestScenario061_BodyOneByteShort(t *testing.T) {
	wanted := len(allMessages())
	for cut, l := range allMessages() {
		t.Run(l.message.ControlType().Abbreviation(), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Connect(w.Client, w.Server)
			said := 0
			play(c, allMessages()[:cut], func(from *tracktest.Host, _ int, m pptp.Message) tracktest.Result {
				said++
				return c.Say(from, m)
			})
			from := w.Client
			if l.server {
				from = w.Server
			}
			data := tracktest.Encode(l.message)
			short := poke(data[:len(data)-1], 0, uint16(len(data)-1))
			before := calls(w)
			wantCounted(t, w, track.AnomalyShortMessage, 1, func() { wantControl(t, c.Write(from, short)) })
			if after := calls(w); after != before {
				t.Errorf("calls are %s, want %s", after, before)
			}
		})
	}
	if wanted != 15 {
		t.Errorf("%d messages, want all 15", wanted)
	}
}

func TestScenario062_NonzeroReserved(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	start, startReply := tracktest.StartRequest(), tracktest.StartReply(okStart)
	start.Reserved0, start.Reserved1, startReply.Reserved0 = 0xffff, 0xffff, 1
	wantControl(t, c.Say(w.Client, start))
	wantControl(t, c.Say(w.Server, startReply))
	request, reply := tracktest.OutRequest(7), tracktest.OutReply(9, 7, okOut)
	request.Reserved0, request.Reserved1, reply.Reserved0 = 2, 3, 0xff00
	wantControl(t, c.Say(w.Client, request))
	want(t, c.Say(w.Server, reply), track.Expect, track.ReasonControl)
	disconnect := tracktest.Disconnect(9)
	disconnect.Reserved0, disconnect.Reserved1 = 1, 1
	wantControl(t, c.Say(w.Server, disconnect))
	wantCalls(t, w, 0)
}

// What cannot be read as TCP passes as other traffic; a wrong checksum has no
// effect, for the endpoint will not take it.
func TestScenario063_MalformedTCP(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	at := c.End(w.Server).Next
	const header, offset, checksum = 14 + 20, 14 + 20 + 12, 14 + 20 + 16
	build := func() []byte {
		s := c.Segment(w.Server, at, wire.ACK, tracktest.Encode(tracktest.Disconnect(9)))
		return s.Frame(w.Server, w.Client)
	}
	for _, words := range []byte{0, 4} {
		frame := build()
		frame[offset] = words << 4
		wantPass(t, w.Send(track.WAN, frame), track.ReasonOther)
	}
	cut := tracktest.IP{Proto: wire.ProtocolTCP, Payload: build()[header : header+20]}
	cut.Payload[12] = 6 << 4 // 24 octets of header in 20
	wantPass(t, w.Send(track.WAN, cut.Frame(w.Server, w.Client)), track.ReasonOther)
	frame := build()
	frame[checksum]++
	wantPass(t, w.Send(track.WAN, frame), track.ReasonControlBadChecksum)
	wantUp(t, call)
	wantControl(t, w.Send(track.WAN, build()))
	wantDown(t, call)
}

// greCase is a GRE packet of a call with something wrong.
type greCase struct {
	name   string
	packet []byte
	reason track.Reason // 0: it is the call's, with faults
}

// greCases have 9 as the call ID wherever there is one.
func greCases() []greCase {
	sound := tracktest.GRE{CallID: 9, HasSeq: true, Payload: make([]byte, 20)}.Bytes()
	flags := func(set, clear uint16) []byte { return poke(sound, 0, binary.BigEndian.Uint16(sound)&^clear|set) }
	ackOnly := tracktest.GRE{CallID: 9, HasAck: true}.Bytes()
	return []greCase{
		{"version 0", flags(0, 1), track.ReasonGREv0Denied},
		{"version 2", flags(2, 1), track.ReasonGREVersion},
		{"version 7", flags(7, 0), track.ReasonGREVersion},
		{"protocol 0x0800", poke(sound, 2, 0x0800), track.ReasonGREOtherDenied},
		{"no key", flags(0, 0x2000), track.ReasonGREVersion},
		{"C", flags(0x8000, 0), 0}, {"R", flags(0x4000, 0), 0}, {"s", flags(0x0800, 0), 0},
		{"recur", flags(0x0100, 0), 0}, {"reserved flags", flags(0x0008, 0), 0},
		{"length beyond the packet", poke(sound, 4, 21), 0},
		{"payload without sequence number", flags(0, 0x1000), 0},
		{"no room for the sequence number", sound[:8], 0},
		{"no room for the acknowledgment", ackOnly[:8], 0},
		{"half an acknowledgment", ackOnly[:10], 0},
		{"3 octets", sound[:3], track.ReasonMalformed},
		{"4 octets", sound[:4], track.ReasonMalformed}, {"5 octets", sound[:5], track.ReasonMalformed},
		{"7 octets", sound[:7], track.ReasonMalformed},
		{"none", nil, track.ReasonMalformed},
	}
}

func TestScenario064_MalformedGRE(t *testing.T) {
	for _, g := range greCases() {
		t.Run(g.name, func(t *testing.T) {
			w := tracktest.New(t)
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			frame := tracktest.GREFrame(w.Client, w.Server, g.packet)
			if g.reason != 0 {
				wantDrop(t, w.Send(track.LAN, frame), g.reason)
				wantUsed(t, w, "expectations", 2)
			} else {
				wantCounted(t, w, track.AnomalyGREHeader, 1, func() {
					wantPass(t, w.Send(track.LAN, frame), track.ReasonCall)
				})
			}
			wantUp(t, call)
		})
		t.Run(g.name+", strict", func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { o.Policy.StrictGRE = track.ActDrop })
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			reason := g.reason
			if reason == 0 {
				reason = track.ReasonStrictGRE
			}
			wantDrop(t, w.Send(track.LAN, tracktest.GREFrame(w.Client, w.Server, g.packet)), reason)
			wantUsed(t, w, "expectations", 2)
			wantUp(t, call)
		})
	}
}

// What else policy says about GRE of no call.
func TestScenario064_GREPolicy(t *testing.T) {
	for _, g := range greCases() {
		any := func(o *track.Options) { o.Policy.AnyGRE = true }
		w := tracktest.New(t, any)
		r := w.Send(track.LAN, tracktest.GREFrame(w.Client, w.Server, g.packet))
		if passed := g.reason != track.ReasonMalformed; r.Passed() != passed {
			t.Errorf("%s: %s with gre = any, want passed %v", g.name, r, passed)
		}
		v0 := func(o *track.Options) { o.Policy.GREv0 = track.ActForward }
		w = tracktest.New(t, v0)
		r = w.Send(track.LAN, tracktest.GREFrame(w.Client, w.Server, g.packet))
		if passed := g.reason == track.ReasonGREv0Denied; r.Passed() != passed {
			t.Errorf("%s: %s with gre_v0 = forward, want passed %v", g.name, r, passed)
		}
	}
}

func TestScenario065_IPHeaders(t *testing.T) {
	options := map[string][]byte{"options": {7, 7, 4, 0, 0, 0, 0, 0}, "longest header": append([]byte{7, 39, 4}, make([]byte, 37)...)}
	for name, option := range options {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			say := func(from, to *tracktest.Host, m pptp.Message) tracktest.Result {
				s := c.Segment(from, c.End(from).Next, wire.ACK, tracktest.Encode(m))
				packet := s.IP(from, to)
				packet.Options = option
				r := w.Send(from.Side, packet.Frame(from, to))
				c.Sent(from, s, r)
				return r
			}
			wantControl(t, say(w.Client, w.Server, tracktest.OutRequest(7)))
			want(t, say(w.Server, w.Client, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
			gre := tracktest.GRE{CallID: 9, HasSeq: true}.IP()
			gre.Options = option
			wantPass(t, w.Send(track.LAN, gre.Frame(w.Client, w.Server)), track.ReasonCall)
		})
	}
	lies := map[string]func(ip []byte){
		"total length < header": func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 19) },
		"total length > frame":  func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 1000) },
		"header < 20":           func(ip []byte) { ip[0] = 0x44 },
		"header > total length": func(ip []byte) { ip[0] = 0x4f; binary.BigEndian.PutUint16(ip[2:], 40) },
		"version":               func(ip []byte) { ip[0] = 0x65 },
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			call := c.OutCall(7, 9)
			gre := call.Packet(w.Client, 40).Frame(w.Client, w.Server)
			lie(gre[14:])
			wantDrop(t, w.Send(track.LAN, gre), track.ReasonMalformed)
			control := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, tracktest.Encode(tracktest.Disconnect(9))).Frame(w.Server, w.Client)
			lie(control[14:])
			wantPass(t, w.Send(track.WAN, control), track.ReasonOther)
			wantUp(t, call)
		})
	}
}

// Random frames pass or drop by policy; FuzzTracker goes on from here.
func TestScenario066_RandomFrames(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	for range 20000 {
		frame := make([]byte, random.IntN(200))
		for i := range frame {
			frame[i] = byte(random.Uint32())
		}
		if len(frame) > 40 && random.IntN(2) == 0 { // IPv4 often enough
			copy(frame[12:], []byte{8, 0, 0x45, 0, 0, byte(len(frame) - 14)})
		}
		r := w.Send(track.Side(random.IntN(2)), frame)
		if r.Verdict == track.Hold || r.Passed() || len(frame) > 23 {
			continue
		}
		t.Fatalf("%s: %x is too short to be anything", r, frame)
	}
	wantUp(t, call)
	wantCalls(t, w, 1)
}
