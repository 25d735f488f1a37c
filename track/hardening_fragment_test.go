package track_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// buffers is how many stream buffers the World of fewBuffers has.
const buffers = 8

func fewBuffers(o *track.Options) { o.Limits.HoldBytes = 2 * buffers * stream.BufferMemory }

// wantBuffers fails the test unless streams hold so many buffers.
func wantBuffers(t *testing.T, w *tracktest.World, n int) {
	t.Helper()
	wantUsed(t, w, "hold_bytes", n*stream.BufferMemory)
}

// spoofParts has an outsider send the start of a message on so many
// connections that are none.
func spoofParts(w *tracktest.World, connections int) {
	part := tracktest.Encode(tracktest.OutRequest(5))[:100]
	for i := range connections {
		s := tracktest.TCP{SrcPort: uint16(1000 + i), DstPort: pptp.Port, Flags: wire.ACK, Window: 1024, Data: part}
		w.Send(track.WAN, s.Frame(outsider(), w.Client))
	}
}

// wantSplitWorks fails the test unless a call opens that is asked for, and
// agreed, in two segments each.
func wantSplitWorks(t *testing.T, c *tracktest.Conn) {
	t.Helper()
	client, server := c.Ends[0].Host, c.Ends[1].Host
	wantControl(t, c.SayCut(client, []int{100}, tracktest.OutRequest(7))[1])
	r := c.SayCut(server, []int{20}, tracktest.OutReply(9, 7, okOut))[1]
	want(t, r, track.Expect, track.ReasonControl)
	c.Say(server, tracktest.Disconnect(9))
}

func TestUnconfirmedConnectionsTakeHalfOfTheBuffers(t *testing.T) {
	w := tracktest.New(t, fewBuffers)
	victim := w.Dial(w.Client, w.Server)
	w.Events()
	spoofParts(w, 2*buffers)
	wantBuffers(t, w, buffers/2)
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "hold_bytes" {
		t.Errorf("limits reached: %+v, want hold_bytes once", reached)
	}
	wantSplitWorks(t, victim)
}

// hoard has a client hold every buffer.
func hoard(w *tracktest.World) (conns []*tracktest.Conn) {
	for range buffers {
		c := w.Dial(tracktest.NewHost(track.LAN, "192.0.2.66"), w.Server)
		c.Write(c.Ends[0].Host, tracktest.Encode(tracktest.OutRequest(5))[:100])
		conns = append(conns, c)
	}
	return conns
}

// Who has a connection may hold a part of a message for as long as RFC 2637,
// section 3.1.4 lets an answer take.
func TestPartOfAMessageIsGivenBackInTime(t *testing.T) {
	w := tracktest.New(t, fewBuffers)
	victim, hoarders := w.Dial(w.Client, w.Server), hoard(w)
	wantBuffers(t, w, buffers)
	wantControl(t, victim.SayCut(w.Client, []int{100}, tracktest.OutRequest(6))[1])
	if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != "hold_bytes" {
		t.Errorf("limits reached: %+v, want hold_bytes once", reached)
	}
	w.Advance(59 * time.Second)
	wantBuffers(t, w, buffers)
	wantCounted(t, w, track.AnomalyMissedOctets, buffers, func() { w.Advance(2 * time.Second) })
	wantBuffers(t, w, 0)
	wantSplitWorks(t, w.Dial(w.Client, w.Server))
	wantControl(t, victim.Say(w.Server, tracktest.EchoRequest(1))) // acknowledges what was missed
	wantSplitWorks(t, victim)
	wantSplitWorks(t, hoarders[0])
}

// A part that comes right behind one that was given back has time of its own.
func TestNextPartOfAMessageHasTimeOfItsOwn(t *testing.T) {
	w := tracktest.New(t, fewBuffers)
	c := hoard(w)[0]
	w.Advance(61 * time.Second)
	wantBuffers(t, w, 0)
	request, from := tracktest.Encode(tracktest.OutRequest(7)), c.Ends[0].Host
	wantControl(t, c.Write(from, request[:100]))
	w.Advance(2 * time.Second)
	wantControl(t, c.Write(from, request[100:]))
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
}

// heap returns how much is allocated.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// holder makes a Lane hold fragments without a first.
type holder struct {
	world *tracktest.World
	lane  *track.Lane
	now   track.Time
}

func newHolder(t *testing.T) *holder {
	w := tracktest.New(t, func(o *track.Options) { o.Limits.HoldBytes, o.Limits.Fragments = 8<<20, 4096 })
	return &holder{w, w.Lane(track.WAN), tracktest.Epoch}
}

// hold sends n fragments of so many octets of each of the datagrams in turn,
// and returns how many are held.
func (h *holder) hold(n, octets, firstID, datagrams int) (held int) {
	for i := range n {
		p := tracktest.IP{Proto: wire.ProtocolGRE, ID: uint32(firstID + i%datagrams), Payload: make([]byte, 8+octets)}
		f := []track.Frame{{Data: p.Piece(outsider(), h.world.Client, 8, 8+octets, true)}}
		h.lane.Process(f, h.now)
		h.lane.Events()
		if f[0].Verdict == track.Hold {
			held++
		}
	}
	return held
}

// letGo lets so much time pass that nothing is held any more.
func (h *holder) letGo() {
	h.now = h.now.Add(3 * time.Second)
	h.lane.Process(nil, h.now)
	h.lane.Process(nil, h.now)
	h.lane.Events()
}

func TestHoldBytesBoundMemory(t *testing.T) {
	for _, octets := range []int{8, 400, 1480, 8000} {
		h := newHolder(t)
		limit := int64(h.world.Options.Limits.HoldBytes)
		before := heap()
		held := h.hold(20_000, octets, 1, 1000)
		if grew := heap() - before; held == 0 || grew > limit {
			t.Errorf("%d frames of %d octets held: the heap grew by %d octets, the limit is %d", held, octets, grew, limit)
		}
		h.letGo()
		wantUsed(t, h.world, "hold_bytes", 0)
		wantUsed(t, h.world, "fragments", 0)
		if kept := heap() - before; kept > limit/4 {
			t.Errorf("%d octets are kept though nothing is held", kept)
		}
		runtime.KeepAlive(h)
	}
}

// One datagram after the other has as many fragments held as there can be.
func TestDatagramsKeepNoMemoryOfWhatTheyHeld(t *testing.T) {
	h := newHolder(t)
	before := heap()
	for round := range 80 {
		h.hold(round, 8, 1, max(round, 1)) // those that were used before
		h.hold(10_000, 8, 5000, 1)
		h.letGo()
	}
	if kept := heap() - before; kept > int64(h.world.Options.Limits.HoldBytes)/4 {
		t.Errorf("%d octets are kept though nothing is held", kept)
	}
	runtime.KeepAlive(h)
}

// floodFirst has a stranger send more first fragments of GRE of no call than
// there are places.
func floodFirst(t *testing.T, w *tracktest.World, stranger *tracktest.Host) {
	t.Helper()
	for range 3 * w.Options.Limits.Fragments {
		g := tracktest.GRE{CallID: 1, Payload: make([]byte, 100)}
		wantDrop(t, w.Send(track.WAN, g.IP().Fragment(stranger, w.Client, 64)[0]), track.ReasonNotNegotiated)
	}
}

func TestDroppedFirstFragmentsStopNoOthers(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		stranger := outsider()
		if v6 {
			stranger = tracktest.NewHost(track.WAN, "2001:db8::9")
		}
		flood := func() { floodFirst(t, w, stranger) }
		wantCounted(t, w, track.AnomalyLimit, 0, func() {
			flood()
			frames := call.Packet(w.Server, 1000).IP().Fragment(w.Server, w.Client, 512)
			wantPass(t, w.Send(track.WAN, frames[0]), track.ReasonCall)
			flood()
			wantPass(t, w.Send(track.WAN, frames[1]), track.ReasonCall)
			flood()
			frames = call.Packet(w.Server, 1000).IP().Fragment(w.Server, w.Client, 512)
			want(t, w.Send(track.WAN, frames[1]), track.Hold, 0)
			flood()
			wantPass(t, w.Send(track.WAN, frames[0]), track.ReasonCall)
			wantReleased(t, w, 1, track.Forward, track.ReasonCall)
		})
	})
}

// What strangers can have followed leaves room for the GRE of calls: fragments
// without a first, and first fragments that pass.
func TestFragmentsOfStrangersStopNoCall(t *testing.T) {
	for name, frame := range map[string]func(stranger, to *tracktest.Host) []byte{
		"GRE without a first fragment": func(stranger, to *tracktest.Host) []byte {
			return tracktest.GRE{CallID: 1, Payload: make([]byte, 100)}.IP().Fragment(stranger, to, 64)[1]
		},
		"control": func(stranger, to *tracktest.Host) []byte {
			s := tracktest.TCP{SrcPort: 5000, DstPort: pptp.Port, Flags: wire.ACK, Data: make([]byte, 100)}
			return s.IP(stranger, to).Fragment(stranger, to, 32)[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, call := agreed(t, false)
			stranger := outsider()
			for range 3 * w.Options.Limits.Fragments {
				w.Send(track.WAN, frame(stranger, w.Client))
			}
			for range w.Options.Limits.Fragments {
				for _, r := range w.SendAll(track.WAN, call.Packet(w.Server, 1000).IP().Fragment(w.Server, w.Client, 512)) {
					wantPass(t, r, track.ReasonCall)
				}
			}
			w.Advance(time.Minute)
			wantUsed(t, w, "fragments", 0)
		})
	}
}

func TestControlInFragmentsIsReadDuringAFlood(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	floodFirst(t, w, outsider())
	s := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, tracktest.Encode(tracktest.OutReply(9, 7, okOut)))
	results := w.SendAll(track.WAN, s.IP(w.Server, w.Client).Fragment(w.Server, w.Client, 24))
	want(t, results[len(results)-1], track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
}

// TestFragmentLimitsHaveTheirNames reaches each limit once.
func TestFragmentLimitsHaveTheirNames(t *testing.T) {
	for name, change := range map[string]func(*track.Limits){
		"fragments":  func(l *track.Limits) { l.Fragments = 2 },
		"hold_bytes": func(l *track.Limits) { l.HoldBytes = 4 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { change(&o.Limits) })
			later := func(id uint32) tracktest.Result {
				p := tracktest.IP{Proto: wire.ProtocolGRE, ID: id, Payload: make([]byte, 1208)}
				return w.Send(track.WAN, p.Piece(outsider(), w.Client, 8, 1208, true))
			}
			want(t, later(1), track.Hold, 0)
			wantCounted(t, w, track.AnomalyLimit, 1, func() { wantDrop(t, later(2), track.ReasonFragmentLimit) })
			if reached := eventsOf(w, track.EventLimitReached); len(reached) != 1 || reached[0].Cause != name {
				t.Errorf("limits reached: %+v, want %s once", reached, name)
			}
		})
	}
}

func TestAnyGREFragmentsPassInAnyOrder(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6, func(o *track.Options) { o.Policy.AnyGRE = true })
		for _, id := range []uint16{call.To(w.Server), 1} {
			p := tracktest.GRE{CallID: id, Payload: make([]byte, 100)}.IP()
			p.ID = 1 + uint32(id) // used anew by every datagram: fast senders do
			frames := p.Fragment(w.Server, w.Client, 40)
			for _, order := range [][]int{{2, 0, 1}, {1, 0, 2}, {2, 1, 0}, {0, 1, 2}, {1, 1, 2, 0}, {0, 2, 2, 1}} {
				for _, at := range order {
					if r := w.Send(track.WAN, frames[at]); r.Verdict != track.Forward {
						t.Errorf("fragment %d of %v, call ID %d: %s", at, order, id, r)
					}
				}
			}
		}
	})
}

func TestLaterFragmentsOfAnEndedCallDrop(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		frames := call.Packet(w.Client, 1000).IP().Fragment(w.Client, w.Server, 512)
		wantPass(t, w.Send(track.LAN, frames[0]), track.ReasonCall)
		call.Disconnect()
		next := call.Conn.OutCall(7, 9) // of the same IDs
		wantDrop(t, w.Send(track.LAN, frames[1]), track.ReasonNotNegotiated)
		wantUp(t, next)
	})
}
