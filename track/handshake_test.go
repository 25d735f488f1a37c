package track_test

import (
	"slices"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// TestHandshakes opens connections in every way that RFC 9293, section 3.5
// knows, and with what the network does to it.
func TestHandshakes(t *testing.T) {
	type step struct {
		end   int
		flags uint8
	}
	const syn, synAck, ack = wire.SYN, wire.SYN | wire.ACK, wire.ACK
	for name, steps := range map[string][]step{
		"plain":                    {{0, syn}, {1, synAck}, {0, ack}},
		"SYN twice":                {{0, syn}, {0, syn}, {1, synAck}, {0, ack}},
		"answer twice":             {{0, syn}, {1, synAck}, {1, synAck}, {0, ack}},
		"answer lost and repeated": {{0, syn}, {1, synAck}, {0, syn}, {1, synAck}, {0, ack}},
		"ACK lost, data instead":   {{0, syn}, {1, synAck}},
		"both at once":             {{0, syn}, {1, syn}, {0, synAck}, {1, synAck}},
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.NewConn(w.Client, w.Server)
			for _, s := range steps {
				end := &c.Ends[s.end]
				seq := end.Next
				if s.flags&wire.SYN != 0 {
					seq = end.First
				}
				r := c.Transmit(end.Host, c.Segment(end.Host, seq, s.flags, nil))
				if !r.Passed() {
					t.Errorf("%s, want it to pass", r)
				}
			}
			c.Start(w.Client)
			call := c.OutCall(7, 9)
			wantUp(t, call)
			if opened := eventsOf(w, track.EventControlOpen); len(opened) != 1 {
				t.Errorf("control-open %d times, want once", len(opened))
			}
			c.Close()
			wantDown(t, call)
		})
	}
}

// TestKeepAlive sends keep-alives of both kinds (RFC 9293, section 3.8.4): no
// data, or one octet of any content, at the position before the next.
func TestKeepAlive(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	for _, from := range []*tracktest.Host{w.Client, w.Server} {
		for _, data := range [][]byte{nil, {0xff}} {
			wantControl(t, c.Transmit(from, c.Segment(from, c.End(from).Next-1, wire.ACK, data)))
			wantControl(t, c.Ack(c.Peer(from).Host))
		}
	}
	call := c.OutCall(7, 9)
	wantUp(t, call)
	call.Disconnect()
	wantDown(t, call)
}

// TestFinAheadOfData has a FIN overtake the data before it: what comes late is
// still read, and the calls end when both ends are through.
func TestFinAheadOfData(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call, other := c.OutCall(7, 9), c.OutCall(8, 10)
	at, data := c.End(w.Server).Next, tracktest.Encode(tracktest.Disconnect(9))
	wantControl(t, c.Transmit(w.Server, c.Segment(w.Server, at+uint32(len(data)), wire.FIN|wire.ACK, nil)))
	wantControl(t, c.At(w.Server, at, data))
	wantDown(t, call)
	wantUp(t, other)
	c.End(w.Client).Got = c.End(w.Server).Next
	wantControl(t, c.Fin(w.Client))
	wantDown(t, other)
}

// TestSYNFromAnOutsider opens a connection while somebody who cannot see it
// sends SYNs of the same ports: the answer tells which is the real one.
func TestSYNFromAnOutsider(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	wantControl(t, c.Flags(w.Client, wire.SYN))
	forged := c.Segment(w.Client, 99, wire.SYN, nil)
	w.Send(track.LAN, forged.Frame(w.Client, w.Server))
	wantControl(t, c.Flags(w.Server, wire.SYN|wire.ACK))
	wantControl(t, c.Ack(w.Client))
	c.Start(w.Client)
	wantUp(t, c.OutCall(7, 9))
}

// TestManyOctetsInFlight: what is in flight is bounded by the window of the end
// that it goes to. An end with a large one may acknowledge far behind what the
// other, with a small one, has sent.
func TestManyOctetsInFlight(t *testing.T) {
	w := tracktest.New(t)
	c := w.NewConn(w.Client, w.Server)
	for i, flags := range []uint8{wire.SYN, wire.SYN | wire.ACK} {
		from := c.Ends[i].Host
		s := c.Segment(from, c.End(from).Next, flags, nil)
		s.Options = scaling
		wantControl(t, c.Transmit(from, s))
	}
	c.Ends[0].Window, c.Ends[1].Window = 502, 16384 // times 128: 64 KiB and 2 MiB
	wantControl(t, c.Ack(w.Client))
	c.Start(w.Client)
	wantControl(t, c.Ack(w.Server))
	first := c.End(w.Server).Got
	for range 1_000_000 / 1400 {
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
		wantControl(t, c.Write(w.Client, tracktest.Encode(slices.Repeat([]pptp.Message{tracktest.EchoRequest(1)}, 86)...)))
	}
	end := c.End(w.Server).Got
	c.End(w.Server).Got = first + 1400
	wantControl(t, c.Ack(w.Server))
	c.End(w.Server).Got = end
	wantControl(t, c.Ack(w.Server))
	wantUp(t, c.OutCall(7, 9))
}
