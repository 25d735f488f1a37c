package track_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// agreed returns a World with an agreed call, IPv4 or IPv6.
func agreed(t *testing.T, v6 bool, change ...func(*track.Options)) (*tracktest.World, *tracktest.Call) {
	t.Helper()
	w := tracktest.New(t, change...)
	if v6 {
		w.Client, w.Server = tracktest.NewHost(track.LAN, "2001:db8::10"), tracktest.NewHost(track.WAN, "2001:db8:1::1")
	}
	return w, w.Dial(w.Client, w.Server).OutCall(7, 9)
}

// bothFamilies runs a test over IPv4 and over IPv6.
func bothFamilies(t *testing.T, test func(t *testing.T, v6 bool)) {
	t.Run("IPv4", func(t *testing.T) { test(t, false) })
	t.Run("IPv6", func(t *testing.T) { test(t, true) })
}

// wantReleased fails the test unless n frames were released since, all with
// this verdict and reason, in the order in which they came.
func wantReleased(t *testing.T, w *tracktest.World, n int, v track.Verdict, reason track.Reason) {
	t.Helper()
	if len(w.Released) != n {
		t.Errorf("%d frames released, want %d", len(w.Released), n)
	}
	for i, r := range w.Released {
		want(t, r, v, reason)
		if i > 0 && r.Number < w.Released[i-1].Number {
			t.Errorf("%s was released behind frame %d", r, w.Released[i-1].Number)
		}
	}
	w.Released = nil
}

func TestScenario081_FragmentsInOrder(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		frames := call.Packet(w.Client, 3300).IP().Fragment(w.Client, w.Server, 1000)
		bytes := uint64(0)
		for _, r := range w.SendAll(track.LAN, frames) {
			wantPass(t, r, track.ReasonCall)
			if r.Call != call.Number {
				t.Errorf("%s, want call %d", r, call.Number)
			}
			bytes += uint64(len(r.Data) - 14)
		}
		wantUsed(t, w, "fragments", 0)
		got, _ := w.Find(call.Number)
		if wanted := (track.Traffic{Packets: 1, Bytes: bytes}); got.LANToWAN != wanted {
			t.Errorf("LAN to WAN %+v, want %+v", got.LANToWAN, wanted)
		}
		// Of no call: all of it drops.
		for _, r := range w.SendAll(track.LAN, tracktest.GRE{CallID: 10, HasSeq: true, Payload: make([]byte, 3000)}.IP().Fragment(w.Client, w.Server, 1000)) {
			wantDrop(t, r, track.ReasonNotNegotiated)
		}
	})
}

func TestScenario081_FragmentsReversed(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		for id, passes := range map[uint16]bool{9: true, 10: false} {
			w, _ := agreed(t, v6)
			frames := tracktest.GRE{CallID: id, HasSeq: true, Payload: make([]byte, 3000)}.IP().Fragment(w.Client, w.Server, 1000)
			for i := len(frames) - 1; i > 0; i-- {
				want(t, w.Send(track.LAN, frames[i]), track.Hold, 0)
			}
			r := w.Send(track.LAN, frames[0])
			if passes {
				wantPass(t, r, track.ReasonCall)
				wantReleased(t, w, 3, track.Forward, track.ReasonCall)
			} else {
				wantDrop(t, r, track.ReasonNotNegotiated)
				wantReleased(t, w, 3, track.Drop, track.ReasonNotNegotiated)
			}
			if w.Held() != 0 {
				t.Errorf("%d frames still held", w.Held())
			}
			w.Step()
			wantUsed(t, w, "hold_bytes", 0)
			wantUsed(t, w, "fragments", 0)
		}
	})
}

func TestScenario081_FirstFragmentMissing(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		frames := call.Packet(w.Client, 3000).IP().Fragment(w.Client, w.Server, 1000)
		for _, frame := range frames[1:] {
			want(t, w.Send(track.LAN, frame), track.Hold, 0)
		}
		w.Advance(3 * time.Second)
		wantReleased(t, w, len(frames)-1, track.Drop, track.ReasonFragmentOrphan)
		w.Advance(time.Second)
		wantUsed(t, w, "hold_bytes", 0)
		wantUsed(t, w, "fragments", 0)
	})
}

// A fragment that overlaps one seen before is dropped, an exact duplicate
// too: nobody but the first copy is believed.
func TestScenario081_OverlappingFragments(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		packet := call.Packet(w.Client, 3000).IP()
		packet.ID = 77
		first := packet.Piece(w.Client, w.Server, 0, 1000, true)
		second := packet.Piece(w.Client, w.Server, 1000, 2000, true)
		wantPass(t, w.Send(track.LAN, first), track.ReasonCall)
		wantPass(t, w.Send(track.LAN, second), track.ReasonCall)
		wantDrop(t, w.Send(track.LAN, second), track.ReasonFragmentOverlap)
		for _, piece := range [][2]int{{504, 1504}, {1992, 2992}, {8, 992}} {
			wantDrop(t, w.Send(track.LAN, packet.Piece(w.Client, w.Server, piece[0], piece[1], true)), track.ReasonFragmentOverlap)
		}
		last := packet.Piece(w.Client, w.Server, 2000, len(packet.Payload), false)
		wantPass(t, w.Send(track.LAN, last), track.ReasonCall)
		wantUsed(t, w, "fragments", 0)
	})
}

// A second first fragment must not open what the first of them closed, nor the
// other way round: later ones follow the one that came last.
func TestScenario081_TwoFirstFragments(t *testing.T) {
	w, _ := agreed(t, false)
	good := tracktest.GRE{CallID: 9, HasSeq: true, Payload: make([]byte, 3000)}.IP()
	bad := tracktest.GRE{CallID: 10, HasSeq: true, Payload: make([]byte, 3000)}.IP()
	good.ID, bad.ID = 77, 77
	wantPass(t, w.Send(track.LAN, good.Piece(w.Client, w.Server, 0, 1000, true)), track.ReasonCall)
	wantDrop(t, w.Send(track.LAN, bad.Piece(w.Client, w.Server, 0, 1000, true)), track.ReasonNotNegotiated)
	wantDrop(t, w.Send(track.LAN, good.Piece(w.Client, w.Server, 1000, 2000, true)), track.ReasonNotNegotiated)
}

func TestScenario081_TinyFirstFragment(t *testing.T) {
	w, call := agreed(t, false)
	packet := call.Packet(w.Client, 3000).IP()
	frames := packet.Cut(w.Client, w.Server, 8, 1000)
	for _, r := range w.SendAll(track.LAN, frames) { // 8 octets have the call ID
		wantPass(t, r, track.ReasonCall)
	}
	packet.ID = 78
	wantDrop(t, w.Send(track.LAN, packet.Piece(w.Client, w.Server, 0, 4, true)), track.ReasonFragmentTiny)
	wantDrop(t, w.Send(track.LAN, packet.Piece(w.Client, w.Server, 8, 1000, false)), track.ReasonFragmentTiny)
}

func TestScenario081_LargestDatagram(t *testing.T) {
	for _, order := range []string{"in order", "first fragment last"} {
		t.Run(order, func(t *testing.T) {
			w, call := agreed(t, false)
			frames := call.Packet(w.Client, 65535-20-12).IP().Fragment(w.Client, w.Server, 1480)
			if order != "in order" {
				frames = append(frames[1:len(frames):len(frames)], frames[0])
			}
			w.SendAll(track.LAN, frames)
			w.Step()
			wantUsed(t, w, "fragments", 0)
			got, _ := w.Find(call.Number)
			if wanted := (track.Traffic{Packets: 1, Bytes: uint64(65535 + 20*(len(frames)-1))}); got.LANToWAN != wanted {
				t.Errorf("LAN to WAN %+v, want %+v", got.LANToWAN, wanted)
			}
		})
	}
}

func TestScenario081_FragmentLimits(t *testing.T) {
	w, call := agreed(t, false, func(o *track.Options) { o.Limits.Fragments, o.Limits.HoldBytes = 8, 16<<10 })
	dropped := 0
	for range 50 {
		packet := call.Packet(w.Client, 3000).IP()
		frames := packet.Fragment(w.Client, w.Server, 1000)
		switch r := w.Send(track.LAN, frames[1]); {
		case r.Verdict == track.Hold:
		default:
			wantDrop(t, r, track.ReasonFragmentLimit)
			dropped++
		}
	}
	if dropped == 0 || len(eventsOf(w, track.EventLimitReached)) == 0 {
		t.Error("50 datagrams without first fragment, and no limit was reached")
	}
	wantUp(t, call)
	w.Advance(3 * time.Second)
	w.Advance(time.Second)
	wantUsed(t, w, "hold_bytes", 0)
	frames := call.Packet(w.Client, 3000).IP().Fragment(w.Client, w.Server, 1000)
	for _, r := range w.SendAll(track.LAN, frames) {
		wantPass(t, r, track.ReasonCall)
	}
}

// Control segments that are themselves in IP fragments are understood.
func TestScenario081_ControlInFragments(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, _ := agreed(t, v6)
		c := w.Dial(w.Client, w.Server)
		say := func(from, to *tracktest.Host, octets []byte) (last tracktest.Result) {
			s := c.Segment(from, c.End(from).Next, wire.ACK, octets)
			for _, last = range w.SendAll(from.Side, s.IP(from, to).Fragment(from, to, 32)) {
				if !last.Passed() || last.Reason != track.ReasonControl {
					t.Errorf("%s, want it to pass as control", last)
				}
			}
			c.Sent(from, s, last)
			return last
		}
		wantControl(t, say(w.Client, w.Server, tracktest.Encode(tracktest.OutRequest(20))))
		want(t, say(w.Server, w.Client, tracktest.Encode(tracktest.OutReply(21, 20, okOut))), track.Expect, track.ReasonControl)
		wantPass(t, w.GRE(w.Client, w.Server, 21), track.ReasonCall)
		wantControl(t, say(w.Server, w.Client, tracktest.Encode(tracktest.Disconnect(21))))
		wantDrop(t, w.GRE(w.Client, w.Server, 21), track.ReasonNotNegotiated)
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
	})
}

// Fragments that concern neither GRE nor PPTP pass, whatever must be held until
// that is known.
func TestScenario081_FragmentsOfOthers(t *testing.T) {
	inOrder := func(t *testing.T, w *tracktest.World, packet tracktest.IP) {
		t.Helper()
		for _, r := range w.SendAll(track.LAN, packet.Fragment(w.Client, w.Server, 1000)) {
			wantPass(t, r, track.ReasonOther)
		}
		packet.ID++
		frames := packet.Fragment(w.Client, w.Server, 1000)
		frames[0], frames[1] = frames[1], frames[0]
		for _, r := range append(w.SendAll(track.LAN, frames), w.Released...) {
			if r.Verdict != track.Hold {
				wantPass(t, r, track.ReasonOther)
			}
		}
		if w.Held() != 0 {
			t.Errorf("%d frames held of a datagram that is whole", w.Held())
		}
	}
	udp := tracktest.IP{Proto: 17, ID: 300, Payload: make([]byte, 3000)}
	t.Run("UDP", func(t *testing.T) {
		w, _ := agreed(t, false)
		inOrder(t, w, udp)
	})
	t.Run("IPv6 with options in the fragmented part", func(t *testing.T) {
		w, _ := agreed(t, true)
		packet := udp
		packet.Proto, packet.Payload = 60, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp.Payload...)
		inOrder(t, w, packet)
	})
	t.Run("TCP to another port, with clients restricted", func(t *testing.T) {
		w, _ := agreed(t, false, func(o *track.Options) {
			o.Policy.Clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		})
		s := tracktest.TCP{SrcPort: 5000, DstPort: 80, Flags: wire.ACK, Data: make([]byte, 3000)}
		packet := s.IP(w.Client, w.Server)
		packet.ID = 400
		inOrder(t, w, packet)
	})
}

func TestScenario082_TwoSendersWithOneIdentification(t *testing.T) {
	bothFamilies(t, func(t *testing.T, v6 bool) {
		w, call := agreed(t, v6)
		stranger := tracktest.NewHost(track.LAN, "192.0.2.66")
		if v6 {
			stranger = tracktest.NewHost(track.LAN, "2001:db8::66")
		}
		good, bad := call.Packet(w.Client, 3000).IP(), call.Packet(w.Client, 3000).IP()
		good.ID, bad.ID = 5, 5
		ours, theirs := good.Fragment(w.Client, w.Server, 1000), bad.Fragment(stranger, w.Server, 1000)
		for i := range ours {
			wantPass(t, w.Send(track.LAN, ours[i]), track.ReasonCall)
			wantDrop(t, w.Send(track.LAN, theirs[i]), track.ReasonNotNegotiated)
		}
	})
}
