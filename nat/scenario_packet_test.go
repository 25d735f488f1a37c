package nat_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// An ICMP error is about a packet that went the other way, and quotes it as it
// was where the error began. Who gets it must find what he has sent himself.
func TestScenario045_ICMPErrors(t *testing.T) {
	for name, mode := range modes {
		for _, carried := range []int{8, 16, 17, 18, 20, 48} {
			t.Run(fmt.Sprint(name, "/", carried), func(t *testing.T) {
				b := newBox(t, mode)
				b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
				c := b.Dial(b.lan[0], b.wan[0])
				k := c.OutCall(7, 9)
				for _, from := range []*tracktest.Host{b.lan[0], b.wan[0]} {
					b.quotes(t, c, from, c.Ack(from), carried)
					b.quotes(t, c, from, k.GRE(from), carried)
				}
			})
		}
	}
}

// The MAC address is the one that the control connection has taught, whoever
// opened it.
func TestScenario045_ICMPErrorsBehindForward(t *testing.T) {
	b := newBox(t, forwarding)
	c := b.connectForward(b.wan[0])
	k := c.OutCall(7, 9)
	wantUp(t, k)
	b.lonely = true
	for _, from := range []*tracktest.Host{b.lan[2], b.wan[0]} {
		b.quotes(t, c, from, c.Ack(from), 8)
		b.quotes(t, c, from, k.GRE(from), 8)
	}
}

// quotes lets a router on the other side report that a packet of from, which
// crossed, came no further.
func (b *box) quotes(t *testing.T, c *tracktest.Conn, from *tracktest.Host, crossed tracktest.Result, carried int) {
	t.Helper()
	router := tracktest.NewHost(from.Side.Other(), "10.9.9.9")
	if from.Side == track.WAN {
		router = c.Peer(from).Host // who else is on the LAN
	}
	report := tracktest.ICMPError{Type: 3, Code: 4, Rest: [4]byte{0, 0, 5, 0}, Quoted: tracktest.Quote(crossed.Out, carried)}
	back := from
	if known := c.End(from).Alias; known != nil {
		back = known
	}
	r := b.Send(router.Side, report.Frame(router, back))
	if !r.Passed() {
		t.Fatal(r)
	}
	var p wire.Packet
	wire.Decode(r.Out, &p)
	wantEqual(t, "the error goes to", p.Dst.Netip(), from.Addr)
	wantEqual(t, "the error goes to MAC", [6]byte(r.Out[:6]), from.MAC)
	if from.Side == track.WAN {
		wantEqual(t, "the error comes from", p.Src.Netip(), c.To(from).Addr)
	}
	got := r.Out[p.L4+8 : p.End]
	wanted := tracktest.Quote(crossed.Data, carried)
	if cut := 17; carried == cut && len(got) == len(wanted) { // half of a checksum
		got, wanted = got[:len(got)-1], wanted[:len(wanted)-1]
	}
	if !bytes.Equal(got, wanted) {
		t.Errorf("quoted to %s is\n%x, want\n%x", from.Addr, got, wanted)
	}
}

// An error from the WAN that quotes nothing known is for nobody, one that is not
// addressed to whom it quotes is none, and one about the packets of others
// crosses as it is.
func TestScenario045_ICMPErrorsAboutNothing(t *testing.T) {
	b := newBox(t, masquerade)
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	crossed := map[string]tracktest.Result{"TCP": c.Ack(b.lan[0]), "GRE": k.GRE(b.lan[0])}
	router := tracktest.NewHost(track.WAN, "10.9.9.9")
	report := func(quoted []byte) tracktest.ICMPError { return tracktest.ICMPError{Type: 3, Code: 1, Quoted: quoted} }
	for name, r := range crossed {
		other := bytes.Clone(tracktest.Quote(r.Out, 8))
		other[len(other)-1] ^= 1 // another call, another sequence number
		if name == "TCP" {
			other[20] ^= 1 // another port
		}
		wantDrop(t, b.Send(track.WAN, report(other).Frame(router, b.alias)), track.ReasonNoTranslation)
		aside := b.Send(track.WAN, report(tracktest.Quote(r.Out, 8)).Frame(router, b.lan[1]))
		want(t, aside, track.Forward, track.ReasonOther)
	}
	wantDrop(t, b.Send(track.WAN, tracktest.ICMPError{Type: 8}.Frame(router, b.alias)), track.ReasonNoTranslation)
	want(t, b.Send(track.LAN, report(tracktest.Quote(crossed["TCP"].Data, 8)).Frame(b.lan[1], b.wan[1])), track.Forward, track.ReasonOther)
}

func TestScenario083_FragmentedGRE(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}} {
		eachMode(t, func(t *testing.T, b *box) {
			b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
			c := b.Dial(b.lan[0], b.wan[0])
			k := c.OutCall(7, 9)
			wantUp(t, k)
			for _, from := range []*tracktest.Host{b.lan[0], b.wan[0]} {
				packet := k.Packet(from, 1900)
				for i := range packet.Payload {
					packet.Payload[i] = byte(i * 7)
				}
				frames := packet.IP().Cut(from, c.To(from), 640, 1280, 1904)
				b.Released = nil
				var out []tracktest.Result
				for _, at := range order {
					out = append(out, b.Send(from.Side, frames[at]))
				}
				packet.CallID = k.PNSID
				if from == b.lan[0] {
					packet.CallID = k.PACID
				}
				b.reassembled(t, append(out, b.Released...), packet.Bytes(), c.Peer(from).Host)
			}
		})
	}
}

// reassembled checks what the fragments that left make together, and where they
// go.
func (b *box) reassembled(t *testing.T, results []tracktest.Result, wanted []byte, to *tracktest.Host) {
	t.Helper()
	got := make([]byte, len(wanted))
	n := 0
	for _, r := range results {
		if r.Verdict == track.Hold {
			continue
		}
		if !r.Passed() {
			t.Fatal(r)
		}
		var p wire.Packet
		wire.Decode(r.Out, &p)
		wantEqual(t, "a fragment goes to", p.Dst.Netip(), to.Addr)
		wantEqual(t, "a fragment goes to MAC", [6]byte(r.Out[:6]), to.MAC)
		n += copy(got[p.FragmentOffset:], r.Out[p.FragmentData:p.End])
	}
	if n != len(wanted) || !bytes.Equal(got, wanted) {
		t.Errorf("%d octets arrived, want %d; equal: %v", n, len(wanted), bytes.Equal(got, wanted))
	}
}
