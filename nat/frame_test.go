package nat_test

import (
	"bytes"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// Whatever stands around a packet stays, and the World computes every checksum.
func TestTags(t *testing.T) {
	for name, tags := range map[string][]tracktest.Tag{
		"VLAN":     {{TPID: tracktest.TypeVLAN, TCI: 100}},
		"QinQ":     {{TPID: tracktest.TypeQinQ, TCI: 100}, {TPID: tracktest.TypeVLAN, TCI: 0x2007}},
		"priority": {{TPID: tracktest.TypeVLAN, TCI: 0xe000}},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, b *box) {
				first, second, server := b.lan[0].Tagged(tags...), b.lan[1].Tagged(tags...), b.wan[0].Tagged(tags...)
				one, two := b.Dial(first, server).OutCall(7, 9), b.Dial(second, server).OutCall(7, 10)
				wantUp(t, one, two)
				if one.PNSAlias == two.PNSAlias {
					t.Error("both have the same ID on the WAN side")
				}
				// The same ID in another zone is another one.
				other := tracktest.Tag{TPID: tracktest.TypeVLAN, TCI: 9}
				elsewhere := b.Dial(b.lan[1].Tagged(other), b.wan[0].Tagged(other)).OutCall(7, 11)
				wantUp(t, one, two, elsewhere)
				wantEqual(t, "the alias in another zone", elsewhere.PNSAlias, 7)
			})
		})
	}
}

// What cannot be translated crosses as it is: PPPoE sessions are links of their
// own, and IPv6 needs none.
func TestUntranslatable(t *testing.T) {
	b := newBox(t, masquerade)
	v6 := [2]*tracktest.Host{tracktest.NewHost(track.LAN, "2001:db8::10"), tracktest.NewHost(track.WAN, "2001:db8:1::1")}
	ppp := [2]*tracktest.Host{b.lan[0].InSession(7), b.wan[0].InSession(7)}
	b.Tap = func(r tracktest.Result) {
		if !r.Passed() || !bytes.Equal(r.Data, r.Out) {
			t.Errorf("%s\n%x\n%x", r, r.Data, r.Out)
		}
	}
	for _, hosts := range [][2]*tracktest.Host{v6, ppp} {
		c := b.Dial(hosts[0], hosts[1])
		k := c.OutCall(7, 9)
		wantUp(t, k)
		c.Say(hosts[1], tracktest.LinkInfo(7))
		k.Disconnect()
	}
	b.checkEmpty(t)
}

func TestOptionsAndTrailers(t *testing.T) {
	b, c := named(t)
	lan, wan := b.lan[0], b.wan[0]
	k := c.OutCall(7, 9)
	wantUp(t, k)
	options := []byte{1, 1, 1, 0, 7, 4, 4, 0}
	for _, from := range []*tracktest.Host{lan, wan} {
		s := c.Segment(from, c.End(from).Next, wire.ACK, tracktest.Encode(tracktest.LinkInfo(k.To(from))))
		packet := s.IP(from, c.To(from))
		packet.Options = options
		want(t, b.Send(from.Side, packet.Frame(from, c.To(from))), track.Rewrite, track.ReasonControl)
		s = c.Segment(from, c.End(from).Next, wire.ACK, nil)
		want(t, b.Send(from.Side, append(s.Frame(from, c.To(from)), 1, 2, 3)), track.Rewrite, track.ReasonControl)

		gre := k.Packet(from, 30).IP()
		gre.Options = options
		want(t, b.Send(from.Side, append(gre.Frame(from, c.To(from)), 1, 2, 3)), track.Rewrite, track.ReasonCall)
	}
}

// A checksum that an offload has yet to finish has the addresses in it, and
// nothing else.
func TestOffloads(t *testing.T) {
	for _, segmentSize := range []uint16{0, 60} {
		eachMode(t, func(t *testing.T, b *box) {
			b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
			c := b.Dial(b.lan[0], b.wan[0])
			k := c.OutCall(7, 9)
			for _, from := range []*tracktest.Host{b.lan[0], b.wan[0]} {
				messages := []pptp.Message{tracktest.LinkInfo(k.To(from)), tracktest.EchoRequest(1), tracktest.LinkInfo(k.To(from))}
				s := c.Segment(from, c.End(from).Next, wire.ACK, tracktest.Encode(messages...))
				r := b.Batch(from.Side, []track.Frame{tracktest.Unfinished(s.Frame(from, c.To(from)), segmentSize)})[0]
				c.Sent(from, s, r)
				if !r.Passed() {
					t.Fatal(r)
				}
				if from == b.wan[0] {
					wantEqual(t, "the ID in the LAN", r.PeerCallID(), 7)
				}
			}
			wantUp(t, k)
		})
	}
}

// A router behind the box may remember only one host that has a call with a
// server: GRE goes to the host that owns its ID, IP and MAC.
func TestReaddressingByCallID(t *testing.T) {
	b := newBox(t, byCallID)
	one, two := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9), b.Dial(b.lan[1], b.wan[0]).OutCall(7, 10)
	for _, c := range []struct {
		call *tracktest.Call
		to   *tracktest.Host
	}{{one, b.lan[1]}, {two, b.lan[0]}, {two, b.lan[2]}, {one, b.lan[0]}} {
		packet := c.call.Packet(b.wan[0], 40)
		r := b.Send(track.WAN, packet.Frame(b.wan[0], c.to))
		var p wire.Packet
		wire.Decode(r.Out, &p)
		wantEqual(t, "the packet goes to", p.Dst.Netip(), c.call.PNS.Addr)
		wantEqual(t, "its call ID", p.CallID, 7)
		wantEqual(t, "it goes to MAC", [6]byte(r.Out[:6]), c.call.PNS.MAC)
	}
	wantDrop(t, b.GRE(b.wan[1], b.lan[0], one.PNSAlias), track.ReasonNotNegotiated) // another peer
}

// What the WAN sends to the box itself goes nowhere: it would have to be the box
// that answers.
func TestForTheBoxItself(t *testing.T) {
	b := newBox(t, both)
	for name, frame := range map[string][]byte{
		"ARP":              arpRequest(b.wan[0], natAddr),
		"UDP":              tracktest.IP{Proto: 17, Payload: make([]byte, 20)}.Frame(b.wan[0], b.alias),
		"TCP":              tracktest.TCP{SrcPort: 9, DstPort: 80, Flags: wire.SYN}.Frame(b.wan[0], b.alias),
		"control":          tracktest.TCP{SrcPort: 9, DstPort: pptp.Port, Flags: wire.SYN}.Frame(b.wan[0], b.alias),
		"control's answer": tracktest.TCP{SrcPort: pptp.Port, DstPort: 9, Flags: wire.SYN | wire.ACK}.Frame(b.wan[0], b.alias),
		"a reset":          tracktest.TCP{SrcPort: pptp.Port, DstPort: 9, Flags: wire.RST}.Frame(b.wan[0], b.alias),
		"GRE":              tracktest.GRE{CallID: 7}.Frame(b.wan[0], b.alias),
		"GRE version 0":    tracktest.GREFrame(b.wan[0], b.forward, []byte{0, 0, 8, 0, 1, 2, 3, 4}),
	} {
		t.Run(name, func(t *testing.T) { wantDrop(t, b.Send(track.WAN, frame), track.ReasonNoTranslation) })
	}
	want(t, b.Send(track.LAN, arpRequest(b.lan[0], natAddr)), track.Forward, track.ReasonOther)
	b.checkEmpty(t)
}

func arpRequest(from *tracktest.Host, target string) []byte {
	to := boxHost(target)
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(append(b, from.MAC[:]...), from.Addr.AsSlice()...), make([]byte, 6)...)
	return from.Ethernet([6]byte{255, 255, 255, 255, 255, 255}, tracktest.TypeARP, append(b, to.Addr.AsSlice()...))
}

// Of several hosts that come from the same port, each gets one of its own; when
// there is none left, the next is not let through, and the others go on.
func TestPorts(t *testing.T) {
	few := func(o *nat.Options) { masquerade(o); o.FirstPort, o.LastPort = 50000, 50001 }
	b := newBox(t, few)
	seen := map[uint16]bool{}
	var calls []*tracktest.Call
	for n, host := range b.lan {
		c := b.NewConn(host, b.wan[0])
		c.Ends[0].Port = 5000
		c.Handshake()
		c.Start(host)
		calls = append(calls, c.OutCall(7, uint16(n)))
		port := c.Ends[0].AliasPort
		if seen[port] || n == 0 && port != 5000 || n > 0 && (port < 50000 || port > 50001) {
			t.Errorf("host %d has port %d", n, port)
		}
		seen[port] = true
	}
	last := b.NewConn(tracktest.NewHost(track.LAN, "192.0.2.77"), b.wan[0])
	last.Ends[0].Port = 5000
	b.Events()
	wantDrop(t, last.Flags(last.Ends[0].Host, wire.SYN), track.ReasonNoTranslation)
	wantEqual(t, "the limit reached", limitReached(b), "nat.ports")
	wantUp(t, calls...)
	other := b.NewConn(last.Ends[0].Host, b.wan[1]) // another server is another matter
	other.Ends[0].Port = 5000
	other.Handshake()
	b.checkEmpty(t)
}

// An ID comes back when its call has ended and the pause is over, not before.
func TestIDsRest(t *testing.T) {
	b := newBox(t, masquerade)
	c := b.Dial(b.lan[0], b.wan[0])
	c.OutCall(7, 9).Disconnect()
	resting := c.OutCall(7, 10)
	if resting.PNSAlias == 7 {
		t.Error("an ID is given out again at once")
	}
	resting.Disconnect()
	b.Advance(nat.DefaultPause)
	b.names.Tick(b.Now)
	wantEqual(t, "the ID", c.OutCall(7, 11).PNSAlias, 7)
	// As long as one call has it, another of the same host may, and none else.
	second := b.Dial(b.lan[0], b.wan[0])
	r := second.Say(b.lan[0], tracktest.OutRequest(7))
	wantEqual(t, "the ID asked for by another connection", r.CallID(), 7)
}

// Calls of before a restart have the names that they had; with another
// translation, or none, they are left out.
func TestRestart(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
		c := b.Dial(b.lan[0], b.wan[0])
		k := c.OutCall(7, 9)
		wantUp(t, k)
		at := c.End(b.lan[0]).Next
		asked := c.Say(b.lan[0], tracktest.OutRequest(8))
		restored := b.restart(nil)
		wantEqual(t, "what was restored", restored, track.Restored{Connections: 2, Calls: 3})
		again := c.At(b.lan[0], at, tracktest.Encode(tracktest.OutRequest(8)))
		if !bytes.Equal(again.Out[34:], asked.Out[34:]) {
			t.Errorf("sent again, it leaves as\n%x, before\n%x", again.Out, asked.Out)
		}
		wantUp(t, k)
		want(t, c.Say(b.wan[0], tracktest.OutReply(10, asked.CallID(), pptp.OutCallResultConnected)), track.Expect, track.ReasonControl)
		if id := c.OutCall(9, 11).PNSAlias; id == k.PNSAlias || id == asked.CallID() {
			t.Errorf("ID %d has two calls", id)
		}
	})
}

func TestRestartWithOtherNames(t *testing.T) {
	elsewhere := func(o *nat.Options) { o.Address = wanAddr(9) }
	for name, c := range map[string]struct{ from, to func(*nat.Options) }{
		"another address": {masquerade, elsewhere},
		"by call ID":      {masquerade, byCallID},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, c.from)
			k := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9)
			wantEqual(t, "what was restored", b.restart(c.to), track.Restored{LeftOut: 1})
			if k.GRE(b.lan[0]).Passed() || k.GRE(b.wan[0]).Passed() {
				t.Error("GRE of the call passes")
			}
			b.checkEmpty(t)
		})
	}
}

// A message with an ID of no call is for no call on the other side either.
func TestUnknownIDs(t *testing.T) {
	b, c := named(t)
	k := c.OutCall(7, 9) // the WAN has another ID for it, and 7 for another host's
	for name, r := range map[string]tracktest.Result{
		"Set-Link-Info":    c.Say(b.wan[0], tracktest.LinkInfo(7)),
		"WAN-Error-Notify": c.Say(b.wan[0], tracktest.WANError(7)),
	} {
		wantEqual(t, name+" for the other host's", r.PeerCallID(), track.NoCallID)
	}
	wantEqual(t, "Set-Link-Info for nobody's", c.Say(b.wan[0], tracktest.LinkInfo(77)).PeerCallID(), 77)
	wantEqual(t, "Call-Clear-Request for none", c.Say(b.lan[0], tracktest.ClearRequest(30)).CallID(), track.NoCallID)
	wantEqual(t, "Call-Disconnect-Notify for none", c.Say(b.wan[0], tracktest.Disconnect(77)).CallID(), 77)
	wantUp(t, k)
}

// A request that makes no call keeps no name, and neither does a reply that
// refuses.
func TestNoNameWithoutACall(t *testing.T) {
	b, c := named(t, func(o *track.Options) { o.Limits.CallsPerConnection = 1 })
	k := c.OutCall(7, 9)
	used, _ := b.names.CallIDs()
	wantEqual(t, "the ID asked for beyond a limit", c.Say(b.lan[0], tracktest.OutRequest(8)).CallID(), track.NoCallID)
	after, _ := b.names.CallIDs()
	wantEqual(t, "IDs in use or at rest", after, used)

	c.Say(b.wan[0], tracktest.OutRequest(50))
	for _, result := range []pptp.OutCallResult{pptp.OutCallResultBusy, 0} {
		wantEqual(t, "the ID of a refusal", c.Say(b.lan[0], tracktest.OutReply(5, 50, result)).CallID(), track.NoCallID)
	}
	refused, _ := b.names.CallIDs()
	wantEqual(t, "IDs in use or at rest", refused, after)
	wantUp(t, k)
}
