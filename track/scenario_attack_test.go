package track_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

func TestScenario090_GREThatNobodyNegotiated(t *testing.T) {
	w := tracktest.New(t)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantDrop(t, w.GRE(w.Server, w.Client, 7), track.ReasonNotNegotiated)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	stranger := tracktest.NewHost(track.WAN, "203.0.113.66")
	inner := tracktest.NewHost(track.LAN, "192.0.2.66")
	wantDrop(t, w.GRE(w.Client, w.Server, 7), track.ReasonNotNegotiated) // its own id, not the peer's
	wantDrop(t, w.GRE(stranger, w.Client, 7), track.ReasonNotNegotiated)
	wantDrop(t, w.GRE(inner, w.Server, 9), track.ReasonNotNegotiated)
	wantDrop(t, w.GRE(w.Server, inner, 7), track.ReasonNotNegotiated)
	wantUp(t, call)
	for _, r := range []tracktest.Result{w.GRE(w.Client, w.Server, 10), w.GRE(w.Client, stranger, 9)} {
		wantDrop(t, r, track.ReasonNotNegotiated)
	}
}

func TestScenario091_ZeroIDsAllowNoPlainGRE(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(0, 0)
	for _, plain := range [][]byte{{0, 0, 8, 0, 1, 2, 3, 4}, {0x20, 0, 8, 0, 0, 0, 0, 0}, {0x20, 0, 0x88, 0x0b, 0, 0, 0, 0}} {
		wantDrop(t, w.Send(track.LAN, tracktest.GREFrame(w.Client, w.Server, plain)), track.ReasonGREv0Denied)
		wantDrop(t, w.Send(track.WAN, tracktest.GREFrame(w.Server, w.Client, plain)), track.ReasonGREv0Denied)
	}
	wantUsed(t, w, "expectations", 2)
	wantUp(t, call)
}

func TestScenario092_SpoofedFromTheWrongPort(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	client, server := w.Client.Moved(), w.Server.Moved()
	for _, r := range []tracktest.Result{w.GRE(client, server, 9), w.GRE(server, client, 7)} {
		wantDrop(t, r, track.ReasonWrongSide)
		if r.Call != call.Number {
			t.Errorf("%s, want it to name call %d", r, call.Number)
		}
	}
	wantUsed(t, w, "expectations", 2)
	for _, flags := range []uint8{wire.ACK, wire.RST, wire.SYN, wire.FIN | wire.ACK} {
		s := c.Segment(w.Server, c.End(w.Server).Next, flags, tracktest.Encode(tracktest.Disconnect(9)))
		wantDrop(t, w.Send(track.LAN, s.Frame(w.Server, w.Client)), track.ReasonWrongSide)
	}
	wantUp(t, call)
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
}

func TestScenario093_ForgeryOutOfWindow(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	c.Say(w.Client, tracktest.OutRequest(8))
	forgeries := [][]byte{
		tracktest.Encode(tracktest.Disconnect(9)), tracktest.Encode(tracktest.OutReply(10, 8, okOut)),
		tracktest.Encode(tracktest.StopRequest()),
	}
	next := c.End(w.Server).Next
	for _, data := range forgeries {
		for _, off := range []int{70000, 1 << 20, math.MinInt32, -70000 - len(data), -1 << 24} {
			s := c.Segment(w.Server, next+uint32(off), wire.ACK|wire.PSH, data)
			wantPass(t, w.Send(track.WAN, s.Frame(w.Server, w.Client)), track.ReasonControlOutOfWindow)
		}
		for _, off := range []int{1, 1000, 1 << 30, -200_000, math.MinInt32} { // an acknowledgment of what was never sent
			s := c.Segment(w.Server, next, wire.ACK|wire.PSH, data)
			s.Ack += uint32(off)
			wantPass(t, w.Send(track.WAN, s.Frame(w.Server, w.Client)), track.ReasonControlOutOfWindow)
		}
	}
	wantUp(t, call)
	wantCalls(t, w, 2)
	wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
	want(t, c.Say(w.Server, tracktest.OutReply(11, 8, okOut)), track.Expect, track.ReasonControl)
	wantUp(t, call)
}

// A segment without ACK cannot be judged by what it acknowledges; no TCP sends
// one on an open connection, and none takes it (RFC 9293, section 3.10.7.4).
func TestScenario093_SegmentWithoutACK(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	s := c.Segment(w.Server, c.End(w.Server).Next, wire.PSH, tracktest.Encode(tracktest.Disconnect(9)))
	wantPass(t, w.Send(track.WAN, s.Frame(w.Server, w.Client)), track.ReasonControlOutOfWindow)
	wantUp(t, call)
}

func TestScenario094_ReplyWithoutRequest(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 3, func() {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
		wantControl(t, c.Say(w.Client, tracktest.InReply(7, 9, okIn)))
		wantControl(t, c.Say(w.Server, tracktest.InConnected(7)))
	})
	wantCalls(t, w, 0)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	// The one who asks cannot answer himself.
	c.Say(w.Client, tracktest.OutRequest(7))
	wantControl(t, c.Say(w.Client, tracktest.OutReply(9, 7, okOut)))
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	// An incoming call's request is not answered by an outgoing call's reply.
	c.Say(w.Server, tracktest.InRequest(30))
	wantControl(t, c.Say(w.Client, tracktest.OutReply(31, 30, okOut)))
	wantDrop(t, w.GRE(w.Server, w.Client, 31), track.ReasonNotNegotiated)
}

// floodRounds is how many frames a flood has.
func floodRounds() int {
	if testing.Short() {
		return 20_000
	}
	return 1_000_000
}

// flood sends frames through a Lane of their own, 64 at a time, and fails the
// test if one of them is held.
func flood(t *testing.T, w *tracktest.World, side track.Side, rounds int, next func(i int) []byte) (reasons [track.NumReasons]int) {
	t.Helper()
	lane := w.Tracker.Lane(side)
	frames := make([]track.Frame, 64)
	for i := 0; i < rounds; i += len(frames) {
		for j := range frames {
			frames[j] = track.Frame{Data: next(i + j)}
		}
		decided := lane.Process(frames, w.Now)
		lane.Events()
		for _, f := range decided {
			reasons[f.Reason]++
		}
	}
	for name, use := range w.Tracker.Usage() {
		if use.Used > use.Limit {
			t.Errorf("%s: %d used, the limit is %d", name, use.Used, use.Limit)
		}
	}
	return reasons
}

func TestScenario095_SYNFlood(t *testing.T) {
	w := tracktest.New(t)
	live := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantUp(t, live)
	s := tracktest.TCP{DstPort: pptp.Port, Flags: wire.SYN, Window: 1024}
	flood(t, w, track.WAN, floodRounds(), func(i int) []byte {
		attacker := tracktest.NewHost(track.WAN, "203.0.113.1")
		attacker.Addr = netip.AddrFrom4([4]byte{203, 0, byte(i >> 16), byte(i >> 8)})
		s.SrcPort, s.Seq = uint16(i), uint32(i)
		return s.Frame(attacker, w.Client)
	})
	if w.Tracker.Anomalies()[track.AnomalyLimit] == 0 {
		t.Error("the flood never reached the limit")
	}
	wantUp(t, live)
	wantUsed(t, w, "connections", w.Options.Limits.Connections/2+1) // the share of the unconfirmed, and the live one
	wantUp(t, live.Conn.OutCall(8, 10))
}

func TestScenario095_RequestFlood(t *testing.T) {
	w := tracktest.New(t)
	live := w.Dial(w.Client, w.Server).OutCall(7, 9)
	attacker := w.Dial(tracktest.NewHost(track.LAN, "192.0.2.66"), w.Server)
	from := attacker.Ends[0].Host
	flood(t, w, track.LAN, floodRounds()/8, func(i int) []byte {
		s := attacker.Segment(from, attacker.End(from).Next, wire.ACK, tracktest.Encode(tracktest.OutRequest(uint16(i))))
		attacker.End(from).Next += uint32(len(s.Data))
		if i%200 == 0 { // keep within the window
			attacker.End(w.Server).Got = attacker.End(from).Next
			attacker.Ack(w.Server)
		}
		return s.Frame(from, w.Server)
	})
	wantUp(t, live)
	wantUsed(t, w, "calls", w.Options.Limits.CallsPerConnection+1) // what a connection may ask for, and the live one
	wantUp(t, live.Conn.OutCall(8, 10))
}

// Beyond a cap control passes, its calls are granted no GRE, and an event says
// so.
func TestScenario095_Caps(t *testing.T) {
	limits := map[string]func(*track.Limits){
		"calls":                func(l *track.Limits) { l.Calls = 2 },
		"calls_per_connection": func(l *track.Limits) { l.CallsPerConnection = 2 },
		"calls_per_host":       func(l *track.Limits) { l.CallsPerHost = 2 },
		"expectations":         func(l *track.Limits) { l.Expectations = 4 },
	}
	for name, change := range limits {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { change(&o.Limits) })
			c := w.Dial(w.Client, w.Server)
			one, two := c.OutCall(1, 11), c.OutCall(2, 12)
			w.Events()
			wantControl(t, c.Say(w.Client, tracktest.OutRequest(3)))
			wantControl(t, c.Say(w.Server, tracktest.OutReply(13, 3, okOut)))
			reached := eventsOf(w, track.EventLimitReached)
			if len(reached) != 1 || reached[0].Cause != name {
				t.Errorf("limits reached: %+v, want %q once", reached, name)
			}
			wantDrop(t, w.GRE(w.Client, w.Server, 13), track.ReasonNotNegotiated)
			wantUp(t, one, two)
			one.Disconnect()
			wantUp(t, c.OutCall(4, 14), two)
		})
	}
	t.Run("connections_per_host", func(t *testing.T) {
		w := tracktest.New(t, func(o *track.Options) { o.Limits.ConnectionsPerHost = 2 })
		servers := []*tracktest.Host{w.Server, tracktest.NewHost(track.WAN, "198.51.100.9"), tracktest.NewHost(track.WAN, "198.51.100.10")}
		one, two := w.Dial(w.Client, servers[0]).OutCall(1, 11), w.Dial(w.Client, servers[1]).OutCall(2, 12)
		w.Events()
		wantPass(t, w.NewConn(w.Client, servers[2]).Flags(w.Client, wire.SYN), track.ReasonControlUntracked)
		if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "connections_per_host" {
			t.Errorf("limits reached: %+v, want connections_per_host once", reached)
		}
		other := w.Dial(tracktest.NewHost(track.LAN, "192.0.2.99"), servers[2]).OutCall(3, 13)
		wantUp(t, one, two, other)
		one.Conn.Close()
		wantUp(t, w.Dial(w.Client, servers[2]).OutCall(4, 14), two, other)
	})
	t.Run("connections", func(t *testing.T) {
		w := tracktest.New(t, func(o *track.Options) { o.Limits.Connections = 1 })
		call := w.Dial(w.Client, w.Server).OutCall(1, 11)
		c := w.NewConn(w.Client, w.Server)
		wantPass(t, c.Flags(w.Client, wire.SYN), track.ReasonControlUntracked)
		wantUp(t, call)
		call.Conn.Close()
		w.Advance(2 * w.Options.Timeouts.TCPClosing)
		wantUp(t, w.Dial(w.Client, w.Server).OutCall(1, 11))
	})
}

func TestScenario096_IDScan(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	reasons := flood(t, w, track.WAN, 65536, func(i int) []byte {
		return tracktest.GRE{CallID: uint16(i), HasSeq: true, Payload: make([]byte, 8)}.Frame(w.Server, w.Client)
	})
	if reasons[track.ReasonCall] != 1 || reasons[track.ReasonNotNegotiated] != 65535 {
		t.Errorf("%d of the call, %d not negotiated; want 1 and 65535", reasons[track.ReasonCall], reasons[track.ReasonNotNegotiated])
	}
	if dropped := eventsOf(w, track.EventFrameDropped); len(dropped) > 10 {
		t.Errorf("%d drops reported", len(dropped))
	}
	wantUp(t, call)
}

// sequenceCounts are what is counted of the sequence numbers of a call.
type sequenceCounts struct{ lost, reordered, repeated, jumps uint64 }

// countsOf sends the client's GRE with these sequence numbers.
func countsOf(t *testing.T, numbers ...uint32) sequenceCounts {
	t.Helper()
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	for _, n := range numbers {
		g := tracktest.GRE{CallID: 9, HasSeq: true, Seq: n, Payload: make([]byte, 20)}
		wantPass(t, w.Send(track.LAN, g.Frame(w.Client, w.Server)), track.ReasonCall)
	}
	got, _ := w.Find(call.Number)
	if got.LANToWAN.Packets != uint64(len(numbers)) {
		t.Errorf("%d packets, want %d", got.LANToWAN.Packets, len(numbers))
	}
	return sequenceCounts{got.Lost, got.Reordered, got.Repeated, got.Jumps}
}

// lost counts the gaps not filled yet; a late packet fills its gap and counts
// as reordered. A jump too far to be loss counts as neither.
func TestScenario097_SequenceNumbers(t *testing.T) {
	for _, s := range []struct {
		name    string
		numbers []uint32
		want    sequenceCounts
	}{
		{"in order", []uint32{0, 1, 2, 3}, sequenceCounts{0, 0, 0, 0}},
		{"gap", []uint32{0, 1, 5, 6}, sequenceCounts{3, 0, 0, 0}},
		{"late", []uint32{0, 1, 3, 2, 4}, sequenceCounts{0, 1, 0, 0}},
		{"two late", []uint32{0, 4, 1, 3, 5}, sequenceCounts{1, 2, 0, 0}},
		{"replay", []uint32{0, 1, 2, 1, 1, 2, 0}, sequenceCounts{0, 0, 4, 0}},
		{"replay does not fill a gap", []uint32{0, 1, 5, 1, 1, 5}, sequenceCounts{3, 0, 3, 0}},
		{"wrap", []uint32{math.MaxUint32 - 1, math.MaxUint32, 0, 1}, sequenceCounts{0, 0, 0, 0}},
		{"loss across the wrap", []uint32{math.MaxUint32 - 1, 1, math.MaxUint32}, sequenceCounts{1, 1, 0, 0}},
		{"far jump", []uint32{0, 1, 1 << 24, 1<<24 + 1}, sequenceCounts{0, 0, 0, 1}},
		{"far jump back", []uint32{1 << 24, 1<<24 + 1, 0, 1, 2}, sequenceCounts{0, 0, 0, 1}},
		{"start in the middle", []uint32{500, 501}, sequenceCounts{0, 0, 0, 0}},
		{"before the first seen", []uint32{500, 499, 501}, sequenceCounts{0, 0, 1, 0}},
		{"before the first seen, with a gap open", []uint32{500, 502, 499}, sequenceCounts{1, 0, 1, 0}},
	} {
		t.Run(s.name, func(t *testing.T) {
			if got := countsOf(t, s.numbers...); got != s.want {
				t.Errorf("%+v, want %+v", got, s.want)
			}
		})
	}
}

// Acknowledgement numbers are followed as well: one far from the last is a
// forgery, or of an end that has begun anew.
func TestScenario097_AcknowledgementNumbers(t *testing.T) {
	for _, s := range []struct {
		name  string
		acks  []uint32
		jumps uint64
	}{
		{"in order", []uint32{1, 2, 3, 7, 5}, 0},
		{"wrap", []uint32{math.MaxUint32, 0, 1}, 0},
		{"far ahead", []uint32{1, 2, 1 << 24, 1<<24 + 1}, 1},
		{"far ahead and back", []uint32{1, 2, 1 << 24, 3}, 2},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := tracktest.New(t)
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			for _, ack := range s.acks {
				g := tracktest.GRE{CallID: 9, HasAck: true, Ack: ack}
				wantPass(t, w.Send(track.LAN, g.Frame(w.Client, w.Server)), track.ReasonCall)
			}
			if got, _ := w.Find(call.Number); got.Jumps != s.jumps {
				t.Errorf("%d jumps, want %d", got.Jumps, s.jumps)
			}
		})
	}
}

// What a peer writes into its names never reaches a line of output unescaped.
func TestScenario098_LogInjection(t *testing.T) {
	const evil = "x\n2026 \x1b[31mcall-connected \"}\r\x00\x7f\xff"
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	request, reply := tracktest.StartRequest(), tracktest.StartReply(okStart)
	request.HostName, request.VendorString = pptp.TextOf(evil), pptp.TextOf(evil)
	reply.HostName, reply.VendorString = pptp.TextOf(evil), pptp.TextOf(evil)
	outgoing := tracktest.OutRequest(7)
	outgoing.PhoneNumber, outgoing.PhoneNumberLength = pptp.TextOf(evil), 64
	wantControl(t, c.Say(w.Client, request))
	wantControl(t, c.Say(w.Server, reply))
	wantControl(t, c.Say(w.Client, outgoing))
	c.Say(w.Server, tracktest.OutReply(9, 7, okOut))
	c.Say(w.Server, tracktest.Disconnect(9))
	c.Close()
	events := w.Events()
	if len(events) < 4 {
		t.Fatalf("%d events, want the story of a call", len(events))
	}
	lines := []string{request.String(), reply.String(), outgoing.String(), request.HostName.String()}
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
			t.Errorf("not printable: %q", line)
		}
	}
}
