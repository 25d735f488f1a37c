package nat_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// forwardAtSource masquerades behind the address by which the WAN also reaches
// lan[2].
func forwardAtSource(o *nat.Options) {
	masquerade(o)
	o.Forwards = append(o.Forwards, nat.Forward{Address: netip.MustParseAddr(natAddr), To: lanAddr(2)})
}

// wantTo fails the test unless a frame leaves for a host.
func wantTo(t *testing.T, r tracktest.Result, h *tracktest.Host) {
	t.Helper()
	var p wire.Packet
	wire.Decode(r.Out, &p)
	if !r.Passed() || p.Dst.Netip() != h.Addr {
		t.Errorf("%s, for %s; want it to leave for %s", r, p.Dst.Netip(), h.Addr)
	}
}

// A host on the LAN that sends from a server's port does not get what a client
// dials at the forwarded address, whether that client has answered it or not.
func TestForwardIsNotStolen(t *testing.T) {
	for name, answered := range map[string]bool{"silent": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, forwardAtSource)
			host, client := b.lan[1], b.wan[0]
			s := tracktest.TCP{SrcPort: pptp.Port, DstPort: 40000, Seq: 1, Flags: wire.SYN, Window: 1000}
			b.Send(track.LAN, s.Frame(host, client))
			if answered {
				s = tracktest.TCP{SrcPort: 40000, DstPort: pptp.Port, Ack: 2, Flags: wire.RST | wire.ACK}
				b.Send(track.WAN, s.Frame(client, b.alias))
				b.Advance(100 * time.Second)
			}
			s = tracktest.TCP{SrcPort: 40000, DstPort: pptp.Port, Seq: 9, Flags: wire.SYN, Window: 1000}
			wantTo(t, b.Send(track.WAN, s.Frame(client, b.alias)), b.lan[2])
		})
	}
}

// Hosts on the LAN that dial from a server's port each get a port of the box's.
func TestTwoFromServerPort(t *testing.T) {
	b := newBox(t, masquerade)
	for _, h := range b.lan[:2] {
		c := b.NewConn(h, b.wan[0])
		c.Ends[0].Port = pptp.Port
		r := c.Flags(h, wire.SYN)
		var p wire.Packet
		wire.Decode(r.Out, &p)
		if !r.Passed() || p.Src.Netip() != b.alias.Addr || p.SrcPort < firstPort || p.SrcPort > lastPort {
			t.Errorf("%s from port %d: %s, from %s port %d", h.Addr, pptp.Port, r, p.Src.Netip(), p.SrcPort)
		}
	}
}

// What a connection had that has closed does not keep a client from the server
// to which the forward leads by now.
func TestForwardElsewhereAfterClose(t *testing.T) {
	b := newBox(t, forwarding)
	client := b.wan[0]
	c := b.connectForward(client)
	b.restartFrom(func(o *nat.Options) {
		o.Forwards = []nat.Forward{{Address: netip.MustParseAddr(forwardAddr), To: lanAddr(1)}}
	}, b.Save())
	wantTo(t, c.Say(client, tracktest.EchoRequest(1)), b.lan[2])
	c.Reset(client)
	s := tracktest.TCP{SrcPort: c.Ends[0].Port, DstPort: pptp.Port, Seq: 9, Flags: wire.SYN, Window: 1000}
	wantTo(t, b.Send(track.WAN, s.Frame(client, b.forward)), b.lan[1])
}
