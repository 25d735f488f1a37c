package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// A host that the WAN calls at its own address, and that calls by the box's, has
// names of both, each out of its own pool.
func TestNamesOfTwoAliases(t *testing.T) {
	b := newBox(t, masquerade)
	host, other, peer := b.lan[1], b.lan[0], b.wan[0]
	live := b.Dial(other, peer).OutCall(7, 9)
	wantUp(t, live)
	in := b.Dial(peer, host).OutCall(50, 7) // host is the PAC, its ID is 7
	out := b.Dial(host, peer).OutCall(7, 10)
	wantEqual(t, "the ID at its own address", in.PACAlias, 7)
	if out.PNSAlias == live.PNSAlias {
		t.Errorf("both %s and %s are known as %s, call ID %d", other.Addr, host.Addr, natAddr, out.PNSAlias)
	}
	wantUp(t, live, out, in)
	b.quotes(t, out.Conn, peer, out.GRE(peer), 8)
	in.Disconnect()
	wantUp(t, live, out)
	out.Disconnect()
	wantUp(t, live)
	b.checkEmpty(t)
}

// Who opens a connection between two ports 1723 may change on its way; a name
// that was taken before goes back all the same.
func TestNameOfTwoOpeners(t *testing.T) {
	b := newBox(t, masquerade)
	host, peer := b.lan[0], b.wan[0]
	request := tracktest.Encode(tracktest.OutRequest(7))
	for round := range uint32(20) {
		at := 1000 * (round + 1)
		send := func(from, to *tracktest.Host, s tracktest.TCP) {
			s.SrcPort, s.DstPort, s.Window = 1723, 1723, 60000
			b.Send(from.Side, s.Frame(from, to))
		}
		send(host, peer, tracktest.TCP{Seq: at, Flags: wire.SYN, Data: request[:20]})
		send(peer, b.alias, tracktest.TCP{Seq: at, Flags: wire.SYN})
		send(host, peer, tracktest.TCP{Seq: at + 100, Ack: at + 1, Flags: wire.SYN | wire.ACK})
		b.Advance(10 * time.Minute)
	}
	b.checkEmpty(t)
}

// A server behind a forward is the same host to a peer, by whichever side it
// calls.
func TestServerThatCalls(t *testing.T) {
	for _, mode := range []func(*nat.Options){forwarding, both} {
		b := newBox(t, mode)
		server, peer := b.lan[2], b.wan[0]
		in := b.connectForward(peer).OutCall(9, 5)
		c := b.Dial(server, peer)
		out := c.OutCall(6, 10)
		wantEqual(t, "it calls from", b.alias7(t, out).Addr, b.forward.Addr)
		wantUp(t, in, out)
		again := b.Dial(server, peer).Say(server, tracktest.OutRequest(5)) // the ID that it has with the peer already
		wantEqual(t, "the ID", again.CallID(), 5)
		b.quotes(t, c, server, c.Ack(server), 8)
		b.quotes(t, c, peer, out.GRE(peer), 8)
		in.Disconnect()
		wantUp(t, out)
		b.checkEmpty(t)
	}
}

// Two hosts that send GRE to the same ID of a peer's look alike in an ICMP error:
// it goes to the one whose call was agreed last, whichever ends.
func TestQuotesOfTwoCalls(t *testing.T) {
	b := newBox(t, masquerade)
	one := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9)
	c := b.Dial(b.lan[1], b.wan[0])
	two := c.OutCall(8, 9)
	wantUp(t, one, two)
	b.quotes(t, c, b.lan[1], two.GRE(b.lan[1]), 8)
	one.Disconnect()
	b.quotes(t, c, b.lan[1], two.GRE(b.lan[1]), 8)
	wantEqual(t, "the call's state", two.State(), track.CallActive)
	two.Disconnect()
	b.checkEmpty(t)
}
