package track_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// line is a message of a conversation and the end that says it.
type line struct {
	server  bool
	message pptp.Message
}

// allMessages is a conversation that has each of the 15 control messages, and
// of which every one that matters changes what trace shows.
func allMessages() []line {
	return []line{
		{false, tracktest.StartRequest()},
		{true, tracktest.StartReply(okStart)},
		{false, tracktest.OutRequest(7)},
		{true, tracktest.OutReply(9, 7, okOut)},
		{true, tracktest.InRequest(10)},
		{false, tracktest.InReply(8, 10, okIn)},
		{true, tracktest.InConnected(8)},
		{false, tracktest.EchoRequest(1)},
		{true, tracktest.EchoReply(1)},
		{false, tracktest.LinkInfo(9)},
		{true, tracktest.WANError(7)},
		{false, tracktest.ClearRequest(7)},
		{true, tracktest.Disconnect(9)},
		{true, tracktest.StopRequest()},
		{false, tracktest.StopReply()},
	}
}

// play says every line of the conversation by say, which returns the Result of
// the segment that completes it, and returns what could be seen after each.
func play(c *tracktest.Conn, lines []line, say func(from *tracktest.Host, at int, m pptp.Message) tracktest.Result) []string {
	var trace []string
	for at, l := range lines {
		from := c.Ends[0].Host
		if l.server {
			from = c.Ends[1].Host
		}
		r := say(from, at, l.message)
		trace = append(trace, fmt.Sprint(l.message.ControlType(), r.Verdict, r.Reason, r.Call, calls(c.World), anomalies(c.World)))
	}
	return trace
}

func calls(w *tracktest.World) string {
	var b bytes.Buffer
	for _, k := range w.Tracker.Calls() {
		fmt.Fprint(&b, k.ID, k.State, k.Kind, k.PNS, k.PAC, ";")
	}
	return b.String()
}

func anomalies(w *tracktest.World) string { return fmt.Sprint(w.Tracker.Anomalies()) }

// whole is the trace of the conversation with one message per segment.
func whole(t *testing.T) []string {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	return play(c, allMessages(), func(from *tracktest.Host, _ int, m pptp.Message) tracktest.Result {
		return c.Say(from, m)
	})
}

func TestScenario046_EveryMessageSplitAtEveryByte(t *testing.T) {
	wanted := whole(t)
	for split, l := range allMessages() {
		t.Run(l.message.ControlType().Abbreviation(), func(t *testing.T) {
			for cut := 1; cut < len(tracktest.Encode(l.message)); cut++ {
				w := tracktest.New(t)
				c := w.Connect(w.Client, w.Server)
				got := play(c, allMessages(), func(from *tracktest.Host, at int, m pptp.Message) tracktest.Result {
					if at != split {
						return c.Say(from, m)
					}
					parts := c.SayCut(from, []int{cut}, m)
					wantControl(t, parts[0])
					return parts[1]
				})
				if !slices.Equal(got, wanted) {
					t.Fatalf("cut at octet %d:\n%v, want\n%v", cut, got, wanted)
				}
			}
		})
	}
}

func TestScenario047_OneByteSegments(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	got := play(c, allMessages(), func(from *tracktest.Host, _ int, m pptp.Message) (last tracktest.Result) {
		data := tracktest.Encode(m)
		for i := range data {
			last = c.Write(from, data[i:i+1])
			if i < len(data)-1 {
				wantControl(t, last)
			}
		}
		return last
	})
	if wanted := whole(t); !slices.Equal(got, wanted) {
		t.Errorf("got\n%v, want\n%v", got, wanted)
	}
	wantUsed(t, w, "hold_bytes", 0)
}

func TestScenario048_SeveralMessagesInOneSegment(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1), tracktest.LinkInfo(9), tracktest.OutRequest(7)))
	want(t, c.Say(w.Server, tracktest.EchoReply(1), tracktest.OutReply(9, 7, okOut), tracktest.LinkInfo(7)),
		track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)

	wantControl(t, c.Say(w.Client, tracktest.OutRequest(1), tracktest.OutRequest(2), tracktest.OutRequest(3)))
	want(t, c.Say(w.Server, tracktest.OutReply(11, 1, okOut), tracktest.OutReply(12, 2, okOut), tracktest.OutReply(13, 3, okOut)),
		track.Expect, track.ReasonControl)
	for id := uint16(11); id <= 13; id++ {
		wantPass(t, w.GRE(w.Client, w.Server, id), track.ReasonCall)
	}
}

func TestScenario049_OutRequestStraddlesItsCallID(t *testing.T) {
	for _, cuts := range [][]int{{12}, {13}, {12, 13}, {12, 13, 14}, {1, 12, 13, 167}} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			for _, r := range c.SayCut(w.Client, cuts, tracktest.OutRequest(0x1234)) {
				wantControl(t, r)
			}
			want(t, c.Say(w.Server, tracktest.OutReply(9, 0x1234, okOut)), track.Expect, track.ReasonControl)
			wantPass(t, w.GRE(w.Server, w.Client, 0x1234), track.ReasonCall)
		})
	}
}

func TestScenario050_HalvesOutOfOrder(t *testing.T) {
	data := tracktest.Encode(tracktest.OutRequest(7))
	for cut := 1; cut < len(data); cut++ {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		start := c.End(w.Client).Next
		wantControl(t, c.At(w.Client, start+uint32(cut), data[cut:]))
		wantCalls(t, w, 0)
		wantControl(t, c.At(w.Client, start, data[:cut]))
		wantCalls(t, w, 1)
		want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	}
}

// A retransmission, however cut, changes nothing, and none of it is expect.
func TestScenario051_Retransmissions(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	clientAt, serverAt := c.End(w.Client).Next, c.End(w.Server).Next
	call := c.OutCall(7, 9)
	request, reply := tracktest.Encode(tracktest.OutRequest(7)), tracktest.Encode(tracktest.OutReply(9, 7, okOut))
	w.Events()
	again := func(size int) {
		for at := 0; at < len(request); at += size {
			wantControl(t, c.At(w.Client, clientAt+uint32(at), request[at:min(at+size, len(request))]))
		}
		for at := 0; at < len(reply); at += size {
			wantControl(t, c.At(w.Server, serverAt+uint32(at), reply[at:min(at+size, len(reply))]))
		}
	}
	for _, size := range []int{1, 7, 12, 13, 500} {
		again(size)
	}
	wantEvents(t, w)
	wantUp(t, call)
	// The last of it again, with new data behind it.
	tail := append(reply[20:len(reply):len(reply)], tracktest.Encode(tracktest.Disconnect(9))...)
	wantControl(t, c.At(w.Server, serverAt+20, tail))
	wantDown(t, call)
}

// Where copies differ, the first that was seen counts.
func TestScenario052_OverlapWithOtherContent(t *testing.T) {
	first, other := tracktest.Encode(tracktest.OutRequest(7)), tracktest.Encode(tracktest.OutRequest(8))
	accepts := func(c *tracktest.Conn) {
		t.Helper()
		w := c.World
		wantControl(t, c.Say(w.Server, tracktest.OutReply(10, 8, okOut)))
		want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	}
	t.Run("whole message read", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		at := c.End(w.Client).Next
		wantControl(t, c.At(w.Client, at, first))
		wantControl(t, c.At(w.Client, at, other))
		accepts(c)
	})
	t.Run("half message kept", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		at := c.End(w.Client).Next
		wantControl(t, c.At(w.Client, at, first[:20]))
		wantControl(t, c.At(w.Client, at, other))
		accepts(c)
	})
	t.Run("ahead of a gap", func(t *testing.T) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		at := c.End(w.Client).Next
		wantControl(t, c.At(w.Client, at+12, first[12:]))
		wantControl(t, c.At(w.Client, at, other))
		accepts(c)
	})
}

// A segment that was lost before the box comes later; what is behind it was
// kept. The receiver says so by SACK (RFC 2018).
func TestScenario053_LossAndRecovery(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	at := c.End(w.Client).Next
	data := tracktest.Encode(tracktest.OutRequest(7), tracktest.EchoRequest(1), tracktest.OutRequest(8))
	wantControl(t, c.At(w.Client, at+100, data[100:200]))
	sack := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, nil)
	sack.Ack = at
	sack.Options = binary.BigEndian.AppendUint32([]byte{1, 1, 5, 10}, at+100)
	sack.Options = binary.BigEndian.AppendUint32(sack.Options, at+200)
	wantControl(t, c.Transmit(w.Server, sack))
	wantControl(t, c.At(w.Client, at+200, data[200:]))
	wantCalls(t, w, 0)
	wantControl(t, c.At(w.Client, at, data[:100]))
	wantCalls(t, w, 2)
	c.End(w.Server).Got = at + uint32(len(data))
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut), tracktest.OutReply(10, 8, okOut)), track.Expect, track.ReasonControl)
	wantUsed(t, w, "hold_bytes", 0)
}

// A sender's offload may hand over several segments as one frame, checksum
// unfinished.
func TestScenario054_SuperSegment(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	var requests, replies []pptp.Message
	for id := range uint16(60) {
		requests = append(requests, tracktest.OutRequest(id))
		replies = append(replies, tracktest.OutReply(100+id, id, okOut))
	}
	super := func(from *tracktest.Host, messages []pptp.Message) tracktest.Result {
		s := c.Segment(from, c.End(from).Next, wire.ACK, tracktest.Encode(messages...))
		frame := s.Frame(from, c.Peer(from).Host)
		binary.BigEndian.PutUint16(frame[14+20+16:], 0x1111)
		offload := wire.Offload{Flags: 1, GSOType: 1, HeaderLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
		r := w.Batch(from.Side, []track.Frame{{Data: frame, Offload: offload}})[0]
		c.Sent(from, s, r)
		return r
	}
	wantControl(t, super(w.Client, requests)) // 10 080 octets
	want(t, super(w.Server, replies), track.Expect, track.ReasonControl)
	wantCalls(t, w, 60)
	for id := range uint16(60) {
		wantPass(t, w.GRE(w.Client, w.Server, 100+id), track.ReasonCall)
	}
}

// Data may come with SYN (RFC 7413).
func TestScenario055_DataInSYN(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	syn := c.Segment(w.Client, c.End(w.Client).Next, wire.SYN, tracktest.Encode(tracktest.StartRequest()))
	wantControl(t, c.Transmit(w.Client, syn))
	wantControl(t, c.Flags(w.Server, wire.SYN|wire.ACK))
	wantControl(t, c.Ack(w.Client))
	wantControl(t, c.Say(w.Server, tracktest.StartReply(okStart)))
	wantUp(t, c.OutCall(7, 9))
}

// The server may ignore the data in SYN and acknowledge the SYN alone; the
// client then sends it again.
func TestScenario055_DataInSYNNotTaken(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	data := tracktest.Encode(tracktest.StartRequest())
	first := c.End(w.Client).Next
	wantControl(t, c.Transmit(w.Client, c.Segment(w.Client, first, wire.SYN, data)))
	c.End(w.Server).Got = first + 1
	wantControl(t, c.Flags(w.Server, wire.SYN|wire.ACK))
	wantControl(t, c.Ack(w.Client))
	wantControl(t, c.At(w.Client, first+1, data))
	wantControl(t, c.Say(w.Server, tracktest.StartReply(okStart)))
	wantUp(t, c.OutCall(7, 9))
}

// A probe of a closed window is one octet of what comes next, or an empty
// segment one octet back; neither puts the reader out of step.
func TestScenario056_ZeroWindowProbe(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	at := c.End(w.Client).Next
	data := tracktest.Encode(tracktest.OutRequest(7))
	c.End(w.Server).Window = 0
	wantControl(t, c.Ack(w.Server))
	for range 3 { // refused by the server each time
		wantControl(t, c.Transmit(w.Client, c.Segment(w.Client, at, wire.ACK, data[:1])))
		c.End(w.Server).Got = at
		wantControl(t, c.Ack(w.Server))
		wantControl(t, c.Transmit(w.Client, c.Segment(w.Client, at-1, wire.ACK, nil)))
		wantControl(t, c.Ack(w.Server))
	}
	c.End(w.Server).Window = 64240
	wantControl(t, c.Ack(w.Server))
	wantControl(t, c.At(w.Client, at, data))
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
}

func TestScenario057_SequenceWrap(t *testing.T) {
	wanted := whole(t)
	total := 0
	for _, l := range allMessages() {
		total += len(tracktest.Encode(l.message))
	}
	for before := 0; before < total; before += 5 {
		w := tracktest.New(t)
		c := w.NewConn(w.Client, w.Server)
		for i := range c.Ends {
			c.Ends[i].First = -uint32(before)
			c.Ends[i].Next = c.Ends[i].First
		}
		c.Handshake()
		got := play(c, allMessages(), func(from *tracktest.Host, _ int, m pptp.Message) tracktest.Result {
			return c.SayCut(from, []int{9}, m)[1]
		})
		if !slices.Equal(got, wanted) {
			t.Fatalf("wrap %d octets after the start:\n%v, want\n%v", before, got, wanted)
		}
	}
}
