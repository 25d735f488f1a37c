package track_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// inTwo is a packet of a call in two fragments, the second first if turned is set.
func inTwo(k *tracktest.Call, from *tracktest.Host, turned bool) [][]byte {
	frames := k.Packet(from, 1400).IP().Fragment(from, k.Conn.To(from), 800)
	if turned {
		frames[0], frames[1] = frames[1], frames[0]
	}
	return frames
}

// wantFragments fails the test unless every call's fragments pass, in either order.
func wantFragments(t *testing.T, w *tracktest.World, calls ...*tracktest.Call) {
	t.Helper()
	for _, k := range calls {
		for _, turned := range []bool{false, true} {
			w.Released = nil
			for _, r := range append(w.SendAll(track.LAN, inTwo(k, k.PNS, turned)), w.Released...) {
				if r.Verdict != track.Hold {
					wantPass(t, r, track.ReasonCall)
				}
			}
			if turned && len(w.Released) != 1 {
				t.Errorf("%d fragments released, want 1", len(w.Released))
			}
		}
	}
}

// TestOneCallLeavesPlacesToOthers: fragments that are never whole, of a sender that has
// a call, of many calls, or of many addresses, take nobody else's place.
func TestOneCallLeavesPlacesToOthers(t *testing.T) {
	random := seeded(t)
	type attack func(w *tracktest.World, own []*tracktest.Call, n int) []byte
	strangers := func(n int) (from *tracktest.Host) {
		from = tracktest.NewHost(track.LAN, "10.0.0.0")
		from.Addr = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		return from
	}
	attacks := map[string]attack{
		"first fragments of a call": func(_ *tracktest.World, own []*tracktest.Call, _ int) []byte {
			return inTwo(own[0], own[0].PNS, false)[0]
		},
		"first fragments of many calls": func(_ *tracktest.World, own []*tracktest.Call, n int) []byte {
			return inTwo(own[n%len(own)], own[0].PNS, false)[0]
		},
		"later fragments of a call": func(_ *tracktest.World, own []*tracktest.Call, _ int) []byte {
			return inTwo(own[0], own[0].PNS, false)[1]
		},
		"GRE of many addresses": func(w *tracktest.World, _ []*tracktest.Call, n int) []byte {
			return tracktest.GRE{CallID: 1, Payload: make([]byte, 100)}.IP().Fragment(strangers(n), w.Server, 64)[n%2]
		},
		"control of many addresses": func(w *tracktest.World, _ []*tracktest.Call, n int) []byte {
			from := strangers(n)
			s := tracktest.TCP{SrcPort: 5000, DstPort: pptp.Port, Flags: wire.ACK, Data: make([]byte, 100)}
			return s.IP(from, w.Server).Fragment(from, w.Server, 32)[n%2]
		},
	}
	for name, next := range attacks {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { o.Limits.Fragments = 256 })
			mallory := tracktest.NewHost(track.LAN, "192.0.2.66")
			c := w.Dial(mallory, w.Server)
			var own []*tracktest.Call
			for id := range uint16(20) {
				own = append(own, c.OutCall(id, 100+id))
			}
			one, other := w.Dial(w.Client, w.Server).OutCall(7, 9), w.Dial(w.Client, w.Server).OutCall(8, 10)
			for second := range 40 {
				for n := range 77 {
					w.Send(track.LAN, next(w, own, second*77+n))
					if random.IntN(20) == 0 {
						wantFragments(t, w, one, other)
					}
				}
				w.Advance(time.Second)
			}
			w.CheckEmpty()
		})
	}
}

// TestFragmentsAfterManyThatWereLost: what was lost takes no place of the same call's next packets.
func TestFragmentsAfterManyThatWereLost(t *testing.T) {
	w, call := agreed(t, false)
	for range 3 * w.Options.Limits.Fragments {
		wantPass(t, w.Send(track.LAN, inTwo(call, w.Client, false)[0]), track.ReasonCall)
	}
	wantFragments(t, w, call)
}

// TestHeldFragmentsLeaveRoom: a sender with fragments held leaves room for others.
func TestHeldFragmentsLeaveRoom(t *testing.T) {
	random := seeded(t)
	for _, octets := range []int{8, 1400, 8000} {
		t.Run(fmt.Sprint(octets), func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { o.Limits.Fragments = 4096 })
			mallory := tracktest.NewHost(track.LAN, "192.0.2.66")
			own, call := w.Dial(mallory, w.Server).OutCall(1, 11), w.Dial(w.Client, w.Server).OutCall(7, 9)
			held := 0
			for range 1500 {
				p := own.Packet(mallory, octets+8).IP()
				if w.Send(track.LAN, p.Fragment(mallory, w.Server, 8)[1]).Verdict == track.Hold {
					held++
				}
				if random.IntN(100) == 0 {
					wantFragments(t, w, call)
				}
			}
			if held == 0 || held == 1500 {
				t.Errorf("%d of 1500 fragments held: the limit was not reached, or nothing was", held)
			}
			w.CheckEmpty()
		})
	}
}

// TestWholeDatagramsLeaveAtOnce, in any order of their fragments.
func TestWholeDatagramsLeaveAtOnce(t *testing.T) {
	random := seeded(t)
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		for range 10 * w.Options.Limits.Fragments {
			frames := call.Packet(w.Client, 3000).IP().Fragment(w.Client, w.Server, 800)
			random.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
			w.SendAll(track.LAN, frames)
			wantUsed(t, w, "fragments", 0)
		}
		if got, _ := w.Find(call.Number); got.LANToWAN.Packets != uint64(10*w.Options.Limits.Fragments) {
			t.Errorf("%d packets", got.LANToWAN.Packets)
		}
		w.Step()
		wantUsed(t, w, "hold_bytes", 0)
	})
}
