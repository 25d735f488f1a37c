package nat_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// A host on the LAN that has the box's address speaks to nobody by PPTP: it would
// be taken for those who stand behind it.
func TestLANSpeaksAsTheBox(t *testing.T) {
	b := newBox(t, masquerade, func(o *track.Options) { o.Policy.AnyGRE = true })
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	thief := tracktest.NewHost(track.LAN, natAddr)
	for _, flags := range []uint8{wire.SYN, wire.RST, wire.ACK, wire.SYN | wire.ACK} {
		s := tracktest.TCP{SrcPort: c.Ends[0].Port, DstPort: 1723, Seq: c.Ends[0].Next, Flags: flags, Window: 1}
		wantDrop(t, b.Send(track.LAN, s.Frame(thief, b.wan[0])), track.ReasonNoTranslation)
	}
	wantDrop(t, b.GRE(thief, b.wan[0], 9), track.ReasonNoTranslation)
	for _, piece := range k.Packet(thief, 1400).IP().Cut(thief, b.wan[0], 704) {
		wantDrop(t, b.Send(track.LAN, piece), track.ReasonNoTranslation)
	}
	wantUp(t, k)
}

// Later fragments of a segment that nobody has looked at, or of a connection that
// is gone, do not leave as they are.
func TestFragmentsOfNoUseStayIn(t *testing.T) {
	for name, test := range map[string]struct {
		ahead uint32
		gone  bool
	}{
		"out of the window": {ahead: 1_000_000}, "connection gone": {gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, masquerade, func(o *track.Options) { o.Timeouts.TCPClosing = time.Second })
			h := b.lan[0]
			c := b.Dial(h, b.wan[0])
			s := c.Segment(h, c.End(h).Next+test.ahead, wire.ACK, tracktest.Encode(tracktest.OutRequest(7)))
			s.Options = []byte{1, 1, 1, 1}
			pieces := s.IP(h, b.wan[0]).Cut(h, b.wan[0], 24, 104)
			if r := b.Send(track.LAN, pieces[0]); !r.Passed() || bytes.Contains(r.Out, h.Addr.AsSlice()) {
				t.Errorf("the first: %s", r)
			}
			if test.gone {
				c.Reset(h)
				b.Advance(2 * time.Second)
			}
			for _, piece := range pieces[1:] {
				wantDrop(t, b.Send(track.LAN, piece), track.ReasonNoTranslation)
			}
		})
	}
}

// An error by the LAN about GRE that is of no call any more, or a later fragment,
// names a host that the WAN is not to know.
func TestErrorsAboutNothingKnownStayIn(t *testing.T) {
	for name, mode := range map[string]func(*nat.Options){"masquerade": masquerade, "forward": forwarding} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			host, peer, router := b.lan[0], b.wan[0], tracktest.NewHost(track.LAN, "192.0.2.1")
			var c *tracktest.Conn
			if name == "forward" {
				host, c = b.lan[2], b.connectForward(peer)
			} else {
				c = b.Dial(host, peer)
			}
			k := c.OutCall(7, 9)
			wantUp(t, k)
			about := func(packet []byte) tracktest.Result {
				quote := tracktest.Quote(packet, 8)
				return b.Send(track.LAN, tracktest.ICMPError{Type: 3, Code: 1, Quoted: quote}.Frame(router, peer))
			}
			pieces := k.Packet(peer, 1400).IP().Cut(peer, host, 704)
			want(t, about(pieces[0]), track.Rewrite, track.ReasonOther)
			wantDrop(t, about(pieces[1]), track.ReasonNoTranslation)
			c.Reset(host)
			wantDrop(t, about(k.Packet(peer, 40).Frame(peer, host)), track.ReasonNoTranslation)
			s := tracktest.TCP{SrcPort: 9, DstPort: pptp.Port, Flags: wire.ACK}
			wantDrop(t, about(s.Frame(peer, host)), track.ReasonNoTranslation)
			s.DstPort = 80
			want(t, about(s.Frame(peer, host)), track.Forward, track.ReasonOther)
		})
	}
}

// TestFragmentsOfSYN has the data of a SYN come in fragments.
func TestFragmentsOfSYN(t *testing.T) {
	b := newBox(t, masquerade)
	lan, wan := b.lan[0], b.wan[0]
	c := b.NewConn(lan, wan)
	data := tracktest.Encode(tracktest.OutRequest(0x0105))
	data[11] = data[12] // what is before it is no ID
	s := c.Segment(lan, c.End(lan).Next, wire.SYN, data[:13])
	f := s.IP(lan, wan).Cut(lan, wan, 32)
	for i, frame := range f {
		r := b.Send(track.LAN, frame)
		if i == 1 && r.Passed() {
			t.Errorf("half an ID leaves: %s", r)
		}
	}
}

// TestFragmentsOfSYNOnOpen has a SYN of an open connection come in fragments, the
// first of which has no data.
func TestFragmentsOfSYNOnOpen(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	at := c.End(lan).Next
	c.Say(lan, tracktest.OutRequest(0x0105))
	hidden := tracktest.Encode(tracktest.OutReply(0x0105, 9, 1))
	s := c.Segment(lan, at+29, wire.SYN, hidden)
	s.Options = []byte{2, 4, 5, 180}
	for i, frame := range s.IP(lan, wan).Cut(lan, wan, 24) {
		r := b.Send(track.LAN, frame)
		if i == 1 && r.Passed() {
			t.Errorf("data of a SYN that nobody has read leave: %s", r)
		}
	}
}
