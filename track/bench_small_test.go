package track_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// A flood of small messages: on so many connections, in segments as long as
// Ethernet has them.
const (
	floodConns   = 64
	floodSegment = 1460
)

// BenchmarkSmallMessages is a batch with a segment of each of 64 connections,
// each with a call that carries GRE and 64 that nobody has answered, full of
// the shortest messages that change nothing. From "behind half a message" on
// the segments end within messages.
func BenchmarkSmallMessages(b *testing.B) {
	unknown := tracktest.Encode(tracktest.EchoRequest(1))
	unknown[9] = 99
	for name, m := range map[string][]byte{
		"echo": tracktest.Encode(tracktest.EchoRequest(1)), "unknown": unknown,
		"clear": tracktest.Encode(tracktest.ClearRequest(9999)), "link info": tracktest.Encode(tracktest.LinkInfo(9999)),
		"reply": tracktest.Encode(tracktest.OutReply(9999, 9999, okOut)), "disconnect": tracktest.Encode(tracktest.Disconnect(9999)),
	} {
		b.Run(name, func(b *testing.B) {
			b.Run("aligned", func(b *testing.B) { newSmallFlood(b, m, 0).measure(b) })
			b.Run("behind half a message", func(b *testing.B) { newSmallFlood(b, m, len(m)/2).measure(b) })
		})
	}
}

// smallFlood is the flood: the segments that come next, the acknowledgments of
// the other end.
type smallFlood struct {
	*tracktest.World
	frames, acks []track.Frame
	message      int    // its length
	length       int    // of a segment
	sent         uint32 // octets that each connection has sent
}

func newSmallFlood(b *testing.B, m []byte, begun int) *smallFlood {
	w := tracktest.New(b, func(o *track.Options) {
		o.Limits.Connections, o.Limits.Calls, o.Limits.CallsPerConnection, o.Limits.CallsPerHost = 1024, 8192, 128, 8192
	})
	f := &smallFlood{World: w, message: len(m), length: floodSegment / len(m) * len(m)}
	for i := range uint16(floodConns) {
		c := w.Dial(w.Client, w.Server)
		c.OutCall(1000+i, 1000+i).Both()
		for id := range uint16(64) {
			c.Say(w.Client, tracktest.OutRequest(id))
		}
		c.Ack(w.Server)
		if begun > 0 {
			c.Write(w.Client, m[:begun])
		}
		data := bytes.Repeat(m, f.length/len(m)+1)[begun:][:f.length]
		s := c.Segment(w.Client, c.End(w.Client).Next, wire.ACK, data)
		f.frames = append(f.frames, track.Frame{Data: s.Frame(w.Client, w.Server)})
		s = c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, nil)
		f.acks = append(f.acks, track.Frame{Data: s.Frame(w.Server, w.Client)})
	}
	return f
}

// step moves the number at an offset of the TCP header; the checksum is left to
// an offload.
func (f *smallFlood) step(frames []track.Frame, at int, by uint32) {
	const tcp = 14 + 20
	for i := range frames {
		field := frames[i].Data[tcp+at:]
		binary.BigEndian.PutUint32(field, binary.BigEndian.Uint32(field)+by)
		frames[i].Offload = wire.Offload{Flags: 1} // what NeedsChecksum tells
	}
}

func (f *smallFlood) measure(b *testing.B) {
	const seq, ack, window = 4, 8, 32 * floodSegment
	messages := 0
	for range b.N {
		f.step(f.frames, seq, 0)
		for _, d := range f.Lane(track.LAN).Process(f.frames, f.Now) {
			if d.Verdict != track.Forward || d.Reason != track.ReasonControl {
				b.Fatalf("%s (%s)", d.Verdict, d.Reason)
			}
		}
		f.step(f.frames, seq, uint32(f.length))
		if f.sent += uint32(f.length); f.sent > window {
			f.step(f.acks, ack, f.sent)
			f.sent = 0
			f.Lane(track.WAN).Process(f.acks, f.Now)
		}
		messages += floodConns * f.length / f.message
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(messages), "ns/message")
}
