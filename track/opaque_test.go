package track_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// opaqueFrames cannot be looked into.
func opaqueFrames(w *tracktest.World) map[string][]byte {
	c, s := w.Client, w.Server
	gre := tracktest.GRE{CallID: 9, HasSeq: true}.IP().Frame(c, s)
	tags := []tracktest.Tag{{TPID: 0x88a8, TCI: 1}, {TPID: 0x8100, TCI: 2}, {TPID: 0x8100, TCI: 3}}
	return map[string][]byte{
		"third tag":         tracktest.GRE{CallID: 9}.IP().Frame(c.Tagged(tags...), s),
		"IPIP":              tracktest.IP{Proto: 4, Payload: gre[14:]}.Frame(c, s),
		"ESP":               tracktest.IP{Proto: 50, Payload: make([]byte, 40)}.Frame(c, s),
		"ESP, later piece":  tracktest.IP{Proto: 50, Payload: make([]byte, 40)}.Piece(c, s, 16, 32, true),
		"MACsec":            c.Ethernet(s.MAC, 0x88e5, make([]byte, 40)),
		"MPLS pseudowire":   c.Ethernet(s.MAC, 0x8847, append([]byte{0, 1, 0x11, 64, 0, 0, 0, 0}, gre...)),
		"PPP multilink":     c.Ethernet(s.MAC, tracktest.TypePPPoE, append([]byte{0x11, 0, 0, 7, 0, 42, 0, 0x3d}, make([]byte, 40)...)),
		"MPLS, nine labels": c.Ethernet(s.MAC, 0x8847, make([]byte, 40)),
	}
}

// clearFrames are other traffic whatever policy.opaque says.
func clearFrames(w *tracktest.World) map[string][]byte {
	c, s := w.Client, w.Server
	return map[string][]byte{
		"UDP":      tracktest.IP{Proto: 17, Payload: make([]byte, 40)}.Frame(c, s),
		"LLDP":     c.Ethernet([6]byte{1, 0x80, 0xc2, 0, 0, 14}, 0x88cc, make([]byte, 40)),
		"ARP":      c.Ethernet(s.MAC, tracktest.TypeARP, make([]byte, 28)),
		"LCP":      c.Ethernet(s.MAC, tracktest.TypePPPoE, append([]byte{0x11, 0, 0, 7, 0, 10, 0xc0, 0x21}, make([]byte, 8)...)),
		"one tag":  tracktest.IP{Proto: 17, Payload: make([]byte, 40)}.Frame(c.Tagged(tracktest.Tag{TPID: 0x9200, TCI: 5}), s),
		"one byte": {0},
	}
}

func TestPolicyOpaque(t *testing.T) {
	drop := func(o *track.Options) { o.Policy.Opaque = track.ActDrop }
	for name, frame := range opaqueFrames(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			r := tracktest.New(t).Send(track.LAN, bytes.Clone(frame))
			wantPass(t, r, track.ReasonOther)
			wantDrop(t, tracktest.New(t, drop).Send(track.LAN, bytes.Clone(frame)), track.ReasonOpaque)
			both := func(o *track.Options) { drop(o); o.Policy.Other = track.ActDrop }
			wantDrop(t, tracktest.New(t, both).Send(track.LAN, bytes.Clone(frame)), track.ReasonOpaque)
		})
	}
	for name, frame := range clearFrames(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			wantPass(t, tracktest.New(t, drop).Send(track.LAN, bytes.Clone(frame)), track.ReasonOther)
		})
	}
}

// A running box takes a change of policy.opaque, and keeps its calls.
func TestPolicyOpaqueChanges(t *testing.T) {
	w, call := agreed(t, false)
	frame := opaqueFrames(w)["IPIP"]
	for _, action := range []track.Action{track.ActDrop, track.ActForward} {
		o := w.Options
		o.Policy.Opaque = action
		if _, err := w.Tracker.SetOptions(o, w.Now); err != nil {
			t.Fatal(err)
		}
		if r := w.Send(track.LAN, bytes.Clone(frame)); r.Passed() != (action == track.ActForward) {
			t.Errorf("with action %d: %s", action, r)
		}
		wantUp(t, call)
	}
}

// authenticated puts an Authentication Header before what a packet carries.
func authenticated(p tracktest.IP) tracktest.IP {
	p.Payload = append([]byte{p.Proto, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, p.Payload...)
	p.Proto = 51
	return p
}

// GRE and control behind an Authentication Header are what they are without.
func TestAuthenticationHeader(t *testing.T) {
	w, call := agreed(t, false)
	gre := func(id uint16) tracktest.IP {
		return authenticated(tracktest.GRE{CallID: id, HasSeq: true, Payload: make([]byte, 100)}.IP())
	}
	syn := authenticated(tracktest.TCP{SrcPort: 50000, DstPort: 1723, Flags: wire.SYN}.IP(w.Client, w.Server))
	wantPass(t, w.Send(track.LAN, gre(9).Frame(w.Client, w.Server)), track.ReasonCall)
	wantDrop(t, w.Send(track.LAN, gre(10).Frame(w.Client, w.Server)), track.ReasonNotNegotiated)
	wantControl(t, w.Send(track.LAN, syn.Frame(w.Client, w.Server)))
	pieces := gre(9).Cut(w.Client, w.Server, 40, 80)
	w.SendAll(track.LAN, [][]byte{pieces[2], pieces[1]})
	if w.Held() != 2 {
		t.Errorf("%d later fragments are held, want 2", w.Held())
	}
	wantPass(t, w.Send(track.LAN, pieces[0]), track.ReasonCall)
	for _, r := range w.SendAll(track.LAN, gre(10).Cut(w.Client, w.Server, 40, 80)) {
		wantDrop(t, r, track.ReasonNotNegotiated)
	}
	wantUp(t, call)
}

// labeled puts the packet of an untagged frame behind an MPLS label.
func labeled(frame []byte) []byte {
	return append(append(bytes.Clone(frame[:12]), 0x88, 0x47, 0, 1, 1, 64), frame[14:]...)
}

// GRE behind labels is of the calls of its addresses.
func TestMPLS(t *testing.T) {
	w, _ := agreed(t, false)
	gre := func(id uint16) []byte {
		return tracktest.GRE{CallID: id, HasSeq: true, Payload: make([]byte, 100)}.IP().Frame(w.Client, w.Server)
	}
	wantPass(t, w.Send(track.LAN, labeled(gre(9))), track.ReasonCall)
	wantDrop(t, w.Send(track.LAN, labeled(gre(10))), track.ReasonNotNegotiated)
}
