package nat_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// The scenarios of translation, numbered as those in package track are. Where a
// scenario has more than one defensible outcome, the decision is in the test's
// comment.

// modes are those in which hosts on the LAN share the names of the WAN.
var modes = map[string]func(*nat.Options){"call-id": byCallID, "masquerade": masquerade, "masquerade+forward": both}

func eachMode(t *testing.T, test func(t *testing.T, b *box)) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, mode)
			test(t, b)
			b.checkEmpty(t)
		})
	}
}

func TestScenario017_InCall(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		first, second := b.Dial(b.lan[0], b.wan[0]), b.Dial(b.lan[1], b.wan[0])
		calls := []*tracktest.Call{
			first.InCall(7, 9), second.InCall(7, 10), // the PNS on the LAN
			first.InCallBy(b.wan[0], 20, 21), second.InCallBy(b.wan[0], 22, 21), // and the PAC
		}
		wantUp(t, calls...)
		wantEqual(t, "IDs the same on both sides", calls[0].PNSAlias == calls[1].PNSAlias, false)
		wantEqual(t, "IDs the same on both sides", calls[2].PACAlias == calls[3].PACAlias, false)
		calls[0].Disconnect()
		calls[3].Disconnect()
		wantUp(t, calls[1], calls[2])
	})
}

func TestScenario035_EqualIDsOfTwoClients(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		one := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9)
		two := b.Dial(b.lan[1], b.wan[0]).OutCall(7, 10)
		wantUp(t, one, two, one)
		wantEqual(t, "the first one's alias", one.PNSAlias, 7)
		if two.PNSAlias == 7 {
			t.Error("both have call ID 7 on the WAN side")
		}
		wantEqual(t, "the alias listed", b.alias7(t, two).CallID, two.PNSAlias)
	})
}

// alias7 is the alias that the tracker lists of a call.
func (b *box) alias7(t *testing.T, k *tracktest.Call) track.Alias {
	t.Helper()
	listed, ok := b.Find(k.Number)
	if !ok || listed.Alias == nil {
		t.Fatalf("call %d is listed as %+v", k.Number, listed)
	}
	return *listed.Alias
}

func TestScenario036_EqualIDsOfTwoHundredClients(t *testing.T) {
	const clients = 200
	large := func(o *track.Options) {
		o.Limits.Connections, o.Limits.Calls, o.Limits.CallsPerHost, o.Limits.Expectations = 2*clients, clients, clients, 2*clients
	}
	for _, mode := range []func(*nat.Options){byCallID, masquerade} {
		b := newBox(t, mode, large)
		var calls []*tracktest.Call
		seen := map[uint16]bool{}
		for n := range clients {
			host := tracktest.NewHost(track.LAN, fmt.Sprintf("10.0.%d.%d", n/100, n%100+1))
			k := b.Dial(host, b.Server).OutCall(7, uint16(n))
			calls = append(calls, k)
			if seen[k.PNSAlias] {
				t.Fatalf("two calls have ID %d", k.PNSAlias)
			}
			seen[k.PNSAlias] = true
		}
		wantUp(t, calls...)
		b.checkEmpty(t)
	}
}

// A call for which there is no ID is asked for with NoCallID, which the server may
// answer as it likes: the client gets a refusal, Result Code 2 with Error Code 4
// (no resource). A reply that gets no ID leaves as the same refusal. Calls that
// live are not touched, and IDs that come back are given out.
func TestScenario037_NoIDLeft(t *testing.T) {
	few := func(o *nat.Options) { masquerade(o); o.CallIDs = 2 }
	b := newBox(t, few)
	c := b.Dial(b.lan[0], b.wan[0])
	one, two := c.OutCall(7, 9), c.OutCall(8, 10)
	b.Events()
	r := c.Say(b.lan[0], tracktest.OutRequest(11))
	want(t, r, track.Rewrite, track.ReasonControl)
	wantEqual(t, "the ID asked for", r.CallID(), track.NoCallID)
	wantEqual(t, "the limit reached", limitReached(b), "call_ids")

	r = c.Say(b.wan[0], tracktest.OutReply(12, track.NoCallID, pptp.OutCallResultConnected))
	want(t, r, track.Rewrite, track.ReasonControl)
	wantRefused(t, r, 11)
	wantDrop(t, b.GRE(b.wan[0], b.alias, track.NoCallID), track.ReasonNoTranslation)
	wantDrop(t, b.GRE(b.lan[0], b.wan[0], 12), track.ReasonNotNegotiated)

	c.Say(b.wan[0], tracktest.InRequest(13))
	r = c.Say(b.lan[0], tracktest.InReply(14, 13, pptp.InCallResultConnect)) // the LAN's answer
	wantRefused(t, r, 13)
	wantEqual(t, "the ID answered", r.CallID(), track.NoCallID)
	wantUp(t, one, two)

	one.Disconnect()
	b.Advance(nat.DefaultPause)
	b.names.Tick(b.Now)
	wantUp(t, c.OutCall(11, 12), two)
	b.checkEmpty(t)
}

// An end that has accepted a call which got no ID ends it by its own. That is not
// to be taken for the other end's ID of a call that lives.
func TestScenario037_EndOfARefusedCall(t *testing.T) {
	one := func(o *nat.Options) { masquerade(o); o.CallIDs = 1 }
	for name, refuse := range map[string]func(b *box, c *tracktest.Conn) tracktest.Result{
		"the LAN's PAC": func(b *box, c *tracktest.Conn) tracktest.Result {
			live := c.OutCallBy(b.wan[0], 2, 1)
			c.Say(b.wan[0], tracktest.OutRequest(4))
			wantRefused(t, c.Say(b.lan[0], tracktest.OutReply(2, 4, pptp.OutCallResultConnected)), 4)
			r := c.Say(b.lan[0], tracktest.Disconnect(2)) // which is the WAN's ID of the other call
			wantUp(t, live)
			return r
		},
		"the WAN's PAC": func(b *box, c *tracktest.Conn) tracktest.Result {
			live := c.OutCall(2, 1)
			c.Say(b.lan[0], tracktest.OutRequest(4))
			wantRefused(t, c.Say(b.wan[0], tracktest.OutReply(2, track.NoCallID, pptp.OutCallResultConnected)), 4)
			r := c.Say(b.wan[0], tracktest.Disconnect(2))
			wantUp(t, live)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, one)
			want(t, refuse(b, b.Dial(b.lan[0], b.wan[0])), track.Rewrite, track.ReasonControl)
			wantEqual(t, "calls", len(b.Tracker.Calls()), 1)
			b.checkEmpty(t)
		})
	}
}

// wantRefused fails the test unless a reply leaves as a refusal, for a call.
func wantRefused(t *testing.T, r tracktest.Result, id uint16) {
	t.Helper()
	m := r.Message()
	result, _ := m.Result()
	code, _ := m.ErrorCode()
	if got := r.PeerCallID(); got != id || result != 2 || code != pptp.ErrorCodeNoResource {
		t.Errorf("the reply is for call %d with result %d, error %d; want call %d, 2, %d", got, result, code, id, pptp.ErrorCodeNoResource)
	}
}

func limitReached(b *box) string {
	for _, e := range b.Events() {
		if e.Kind == track.EventLimitReached {
			return e.Cause
		}
	}
	return ""
}

func TestScenario038_ServerBehindForward(t *testing.T) {
	for _, mode := range []func(*nat.Options){forwarding, both} {
		b := newBox(t, mode)
		first, second := b.connectForward(b.wan[0]), b.connectForward(b.wan[0])
		other := b.connectForward(b.wan[1])
		out, in, from := first.OutCall(7, 9), second.InCall(8, 10), other.OutCall(7, 9)
		wantUp(t, out, in, from)
		wantEqual(t, "the alias", b.alias7(t, out), track.Alias{Addr: b.forward.Addr, CallID: 9})
		out.Disconnect()
		wantUp(t, in, from)
		b.checkEmpty(t)
	}
}

// A host on the LAN that dials an address which the box has on the WAN side is
// refused by name: what it says would have to come back by the side where it
// came in, which no cable does.
func TestScenario039_Hairpin(t *testing.T) {
	b := newBox(t, both)
	for _, address := range []*tracktest.Host{b.alias, b.forward} {
		wantDrop(t, b.NewConn(b.lan[0], address).Flags(b.lan[0], wire.SYN), track.ReasonHairpin)
		wantDrop(t, b.GRE(b.lan[0], address, 7), track.ReasonHairpin)
	}
	b.checkEmpty(t)
}

func TestScenario040_TwoCallsOfOneConnection(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		other := b.Dial(b.lan[1], b.wan[0])
		others := []*tracktest.Call{other.OutCall(7, 30), other.OutCall(8, 31)}
		c := b.Dial(b.lan[0], b.wan[0])
		one, two := c.OutCall(7, 9), c.OutCall(8, 10)
		wantUp(t, one, two, others[0], others[1])
		ids := map[uint16]bool{one.PNSAlias: true, two.PNSAlias: true, others[0].PNSAlias: true, others[1].PNSAlias: true}
		wantEqual(t, "the number of IDs on the WAN side", len(ids), 4)
		one.Disconnect()
		wantUp(t, two, others[0], others[1])
	})
}

// The ID of a Call-Disconnect-Notify is the PAC's by the RFC; some PACs send the
// PNS's. Only an ID that the LAN's end assigned changes.
func TestScenario041_MessagesAboutACall(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30) // so that the alias is another one
		c := b.Dial(b.lan[0], b.wan[0])
		for _, id := range []func(k *tracktest.Call) uint16{
			func(k *tracktest.Call) uint16 { return k.PACID }, func(k *tracktest.Call) uint16 { return k.PNSAlias },
		} {
			k := c.OutCall(7, 9)
			wantUp(t, k)
			said := func(from *tracktest.Host, m pptp.Message) tracktest.Result { t.Helper(); return c.Say(from, m) }
			wantEqual(t, "Set-Link-Info's ID in the LAN", said(b.wan[0], tracktest.LinkInfo(k.PNSAlias)).PeerCallID(), 7)
			wantEqual(t, "Set-Link-Info's ID on the WAN", said(b.lan[0], tracktest.LinkInfo(9)).PeerCallID(), 9)
			wantEqual(t, "WAN-Error-Notify's ID", said(b.wan[0], tracktest.WANError(k.PNSAlias)).PeerCallID(), 7)
			wantEqual(t, "Call-Clear-Request's ID", said(b.lan[0], tracktest.ClearRequest(7)).CallID(), k.PNSAlias)
			wanted := id(k)
			if wanted == k.PNSAlias {
				wanted = 7
			}
			wantEqual(t, "Call-Disconnect-Notify's ID", said(b.wan[0], tracktest.Disconnect(id(k))).CallID(), wanted)
			wantEqual(t, "the call's state", k.State(), track.CallEnded)
		}
	})
}

// The same the other way round: the LAN's end is the PAC.
func TestScenario041_MessagesAboutACallOfALANPAC(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		b.Dial(b.lan[1], b.wan[0]).OutCallBy(b.wan[0], 30, 9)
		c := b.Dial(b.lan[0], b.wan[0])
		k := c.OutCallBy(b.wan[0], 7, 9)
		wantUp(t, k)
		if k.PACAlias == 9 {
			t.Fatal("both have ID 9 on the WAN side")
		}
		wantEqual(t, "Set-Link-Info's ID", c.Say(b.wan[0], tracktest.LinkInfo(k.PACAlias)).PeerCallID(), 9)
		wantEqual(t, "WAN-Error-Notify's ID", c.Say(b.lan[0], tracktest.WANError(7)).PeerCallID(), 7)
		wantEqual(t, "Call-Clear-Request's ID", c.Say(b.wan[0], tracktest.ClearRequest(7)).CallID(), 7)
		wantEqual(t, "Call-Disconnect-Notify's ID", c.Say(b.lan[0], tracktest.Disconnect(9)).CallID(), k.PACAlias)
		wantEqual(t, "the call's state", k.State(), track.CallEnded)

		k = c.OutCallBy(b.wan[0], 7, 9)
		wantEqual(t, "Call-Disconnect-Notify's ID, which is the PNS's", c.Say(b.lan[0], tracktest.Disconnect(7)).CallID(), 7)
		wantEqual(t, "the call's state", k.State(), track.CallEnded)
	})
}

// An ID rests when its call has ended: that of a call which lives is never
// given to another, and neither is one that stragglers may still have.
func TestScenario042_AliasIsNobodyElses(t *testing.T) {
	eachMode(t, func(t *testing.T, b *box) {
		conns := []*tracktest.Conn{b.Dial(b.lan[0], b.wan[0]), b.Dial(b.lan[1], b.wan[0])}
		live := map[uint16]*tracktest.Call{}
		resting := map[uint16]bool{}
		for round := range 60 {
			k := conns[round%2].OutCall(uint16(7+round/2%3), uint16(100+round))
			if old := live[k.PNSAlias]; old != nil && old.State() != track.CallEnded && old.PNS != k.PNS {
				t.Fatalf("%s and %s both have ID %d", old.PNS.Addr, k.PNS.Addr, k.PNSAlias)
			}
			if resting[k.PNSAlias] {
				t.Fatalf("ID %d is given out that rests", k.PNSAlias)
			}
			live[k.PNSAlias] = k
			wantUp(t, k)
			if round%4 >= 2 {
				k.Disconnect()
				resting[k.PNSAlias] = true
			}
		}
	})
}

// The checksum of a segment is right whatever changes, wherever the field
// stands, and whatever comes out: 0x0000 is as good as any sum. The World
// computes it from scratch for each of these.
func TestScenario043_Checksums(t *testing.T) {
	for _, mode := range []func(*nat.Options){byCallID, masquerade} {
		b := newBox(t, mode)
		b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
		c := b.Dial(b.lan[0], b.wan[0])
		k := c.OutCall(7, 9)
		zeros := 0
		message := tracktest.Encode(tracktest.LinkInfo(k.PNSAlias))
		for pad := range 3 { // at even and odd offsets
			step := []int{1, 61, 67}[pad]
			for low := 0; low < 1<<16; low += step {
				binary.BigEndian.PutUint32(message[16:], uint32(low))
				start := c.End(b.wan[0]).Next
				r := c.At(b.wan[0], start-uint32(pad), append(make([]byte, pad), message...))
				c.Ack(b.lan[0])
				if !r.Passed() || r.Verdict != track.Rewrite {
					t.Fatal(r)
				}
				if sum := r.Out[50:52]; sum[0] == 0 && sum[1] == 0 {
					zeros++
				}
			}
		}
		if zeros == 0 {
			t.Error("no checksum came out as 0x0000")
		}
	}
}

func TestScenario044_OtherMessagesStayAsTheyAre(t *testing.T) {
	b := newBox(t, byCallID)
	c := b.Connect(b.lan[0], b.wan[0])
	k := (*tracktest.Call)(nil)
	for _, say := range []func() tracktest.Result{
		func() tracktest.Result { return c.Say(b.lan[0], tracktest.StartRequest()) },
		func() tracktest.Result { return c.Say(b.wan[0], tracktest.StartReply(pptp.StartResultOK)) },
		func() tracktest.Result { return c.Say(b.lan[0], tracktest.EchoRequest(7)) },
		func() tracktest.Result { return c.Say(b.wan[0], tracktest.EchoReply(7)) },
		func() tracktest.Result { k = c.OutCall(7, 9); return c.Say(b.lan[0], tracktest.LinkInfo(9)) },
		func() tracktest.Result { return c.Say(b.wan[0], tracktest.LinkInfo(7)) },
		func() tracktest.Result { return k.GRE(b.lan[0]) },
		func() tracktest.Result { return k.GRE(b.wan[0]) },
		func() tracktest.Result { return c.Say(b.wan[0], tracktest.StopRequest()) },
		func() tracktest.Result { return c.Say(b.lan[0], tracktest.StopReply()) },
	} {
		if r := say(); r.Verdict != track.Forward || !bytes.Equal(r.Out, r.Data) {
			t.Errorf("%s\n%x\n%x", r, r.Data, r.Out)
		}
	}
	m := newBox(t, masquerade)
	for name, frame := range map[string][]byte{
		"UDP":       tracktest.IP{Proto: 17, Payload: make([]byte, 20)}.Frame(m.lan[0], m.wan[0]),
		"other TCP": tracktest.TCP{SrcPort: 1000, DstPort: 80, Flags: wire.SYN}.Frame(m.lan[0], m.wan[0]),
		"ARP":       m.lan[0].Ethernet([6]byte{255, 255, 255, 255, 255, 255}, tracktest.TypeARP, make([]byte, 28)),
	} {
		if r := m.Send(track.LAN, frame); r.Verdict != track.Forward || !bytes.Equal(r.Out, frame) {
			t.Errorf("%s: %s\n%x\n%x", name, r, frame, r.Out)
		}
	}
}
