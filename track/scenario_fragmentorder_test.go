package track_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// permutations returns every order of n things.
func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, rest := range permutations(n - 1) {
		for at := 0; at <= len(rest); at++ {
			order := append(append(append([]int{}, rest[:at]...), n-1), rest[at:]...)
			all = append(all, order)
		}
	}
	return all
}

// sayInFragments has a host say octets in one segment whose fragments come in the
// given order, and returns what became of them.
func sayInFragments(c *tracktest.Conn, from *tracktest.Host, octets []byte, order []int, cuts ...int) (results []tracktest.Result) {
	w := c.World
	s := c.Segment(from, c.End(from).Next, wire.ACK|wire.PSH, octets)
	frames := s.IP(from, c.To(from)).Cut(from, c.To(from), cuts...)
	w.Released = nil
	for _, at := range order {
		if r := w.Send(from.Side, frames[at]); r.Verdict != track.Hold {
			results = append(results, r)
		}
		results = append(results, w.Released...)
		w.Released = nil
	}
	c.End(from).Next += uint32(len(octets))
	c.Peer(from).Got = c.End(from).Next
	return results
}

// Control messages in fragments are read in whatever order these come, and all of
// them leave.
func TestScenario081_ControlInFragmentsInAnyOrder(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		for _, order := range permutations(4) {
			t.Run(fmt.Sprint(order), func(t *testing.T) {
				w, _ := agreed(t, v6)
				c := w.Dial(w.Client, w.Server)
				pass := func(results []tracktest.Result) (opened bool) {
					t.Helper()
					if len(results) != 4 || w.Held() != 0 {
						t.Errorf("%d fragments left, %d are held", len(results), w.Held())
					}
					for _, r := range results {
						if !r.Passed() || r.Reason != track.ReasonControl {
							t.Errorf("%s, want it to pass as control", r)
						}
						opened = opened || r.Verdict == track.Expect
					}
					return opened
				}
				pass(sayInFragments(c, w.Client, tracktest.Encode(tracktest.OutRequest(20)), order, 24, 80, 120))
				if !pass(sayInFragments(c, w.Server, tracktest.Encode(tracktest.OutReply(21, 20, okOut)), order, 24, 32, 40)) {
					t.Error("the reply opened nothing")
				}
				wantPass(t, w.GRE(w.Client, w.Server, 21), track.ReasonCall)
				wantPass(t, w.GRE(w.Server, w.Client, 20), track.ReasonCall)
				pass(sayInFragments(c, w.Server, tracktest.Encode(tracktest.Disconnect(21), tracktest.EchoRequest(1)), order, 24, 48, 160))
				wantDrop(t, w.GRE(w.Client, w.Server, 21), track.ReasonNotNegotiated)
				wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
				w.Step()
				wantUsed(t, w, "fragments", 0)
				wantUsed(t, w, "hold_bytes", 0)
			})
		}
	})
}

// Of two copies that overlap the first counts, and what differs drops; a
// retransmission in other fragments changes nothing.
func TestScenario081_ControlInFragmentsTwice(t *testing.T) {
	w, _ := agreed(t, false)
	c := w.Dial(w.Client, w.Server)
	wantControl(t, c.Say(w.Client, tracktest.OutRequest(20)))
	octets := tracktest.Encode(tracktest.OutReply(21, 20, okOut))
	forged := tracktest.Encode(tracktest.OutReply(99, 20, okOut))
	s := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, octets)
	f := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, forged)
	good, bad := s.IP(w.Server, w.Client), f.IP(w.Server, w.Client)
	good.ID, bad.ID = 77, 77
	w.Released = nil
	want(t, w.Send(track.WAN, good.Piece(w.Server, w.Client, 32, 52, false)), track.Hold, 0)
	want(t, w.Send(track.WAN, bad.Piece(w.Server, w.Client, 24, 52, false)), track.Hold, 0)
	wantControl(t, w.Send(track.WAN, good.Piece(w.Server, w.Client, 0, 32, true)))
	if len(w.Released) != 2 {
		t.Fatalf("%d fragments released, want 2", len(w.Released))
	}
	wantDrop(t, w.Released[0], track.ReasonFragmentOverlap)
	want(t, w.Released[1], track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 21), track.ReasonCall)
	wantDrop(t, w.GRE(w.Client, w.Server, 99), track.ReasonNotNegotiated)
	at := c.End(w.Server).Next
	sayInFragments(c, w.Server, octets, []int{2, 0, 1}, 24, 40)
	c.End(w.Server).Next = at
	sayInFragments(c, w.Server, octets, []int{1, 0}, 32)
	wantPass(t, w.GRE(w.Client, w.Server, 21), track.ReasonCall)
	wantCalls(t, w, 2)
}

// TCP of hosts that have a control connection is held for a moment; what never has
// its first fragment drops, and what is beyond the limit passes unread.
func TestScenario081_TCPFragmentsAreHeldABit(t *testing.T) {
	w, call := agreed(t, false)
	s := tracktest.TCP{SrcPort: 5000, DstPort: 80, Flags: wire.ACK, Data: make([]byte, 3000)}
	passed, held := 0, 0
	for range 3 * w.Options.Limits.Fragments {
		switch r := w.Send(track.LAN, s.IP(w.Client, w.Server).Fragment(w.Client, w.Server, 1000)[1]); r.Verdict {
		case track.Hold:
			held++
		default:
			wantPass(t, r, track.ReasonOther)
			passed++
		}
	}
	if passed == 0 || held == 0 {
		t.Errorf("%d passed, %d held", passed, held)
	}
	wantFragments(t, w, call)
	w.Released = nil
	w.Advance(3 * time.Second)
	wantReleased(t, w, held, track.Drop, track.ReasonFragmentOrphan)
	stranger := tracktest.NewHost(track.LAN, "192.0.2.66")
	wantPass(t, w.Send(track.LAN, s.IP(stranger, w.Server).Fragment(stranger, w.Server, 1000)[1]), track.ReasonOther)
}
