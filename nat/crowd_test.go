package nat_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// crowdCall is a call as both sides see it.
type crowdCall struct {
	host      *tracktest.Host
	own       uint16 // the ID that the host assigned
	alias     uint16 // what the WAN calls it
	peer      uint16 // the ID that the server assigned
	seenFrom  netip.Addr
	seenFrom4 [4]byte
}

// crowd is many hosts on the LAN with calls to one server, all with the same
// call IDs, through a box.
type crowd struct {
	tb         testing.TB
	tracker    *track.Tracker
	translator *nat.Translator // nil: nothing is translated
	lanes      [flow.Sides]*track.Lane
	server     *tracktest.Host
	now        track.Time
	calls      []crowdCall
}

const crowdAddr = "203.0.113.7"

// newCrowd sets hosts times each calls up.
func newCrowd(tb testing.TB, hosts, each int, o nat.Options) *crowd {
	options := track.DefaultOptions()
	options.Seed = 1
	options.Limits.CallsPerHost = options.Limits.Calls
	c := &crowd{tb: tb, server: tracktest.NewHost(track.WAN, "198.51.100.1"), now: tracktest.Epoch}
	o.CallIDs, o.FirstPort, o.LastPort, o.Seed = 2*options.Limits.Calls, 32768, 60999, 1
	if c.translator = nat.New(o); c.translator != nil {
		c.translator.SetNIC(track.WAN, [6]byte{2, 0xee})
		options.Translation = c.translator
	}
	c.tracker = track.New(options)
	for side := range c.lanes {
		c.lanes[side] = c.tracker.Lane(track.Side(side))
	}
	for i := range hosts {
		c.dial(tracktest.NewHost(track.LAN, fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)), each)
	}
	return c
}

// cross takes a frame through the box and returns it as it leaves.
func (c *crowd) cross(side track.Side, data []byte) *track.Frame {
	c.tb.Helper()
	out := c.lanes[side].Process([]track.Frame{{Data: data}}, c.now)
	c.lanes[side].Events()
	if len(out) != 1 || !out[0].Verdict.Passes() {
		c.tb.Fatalf("a frame from %s does not pass: %+v", side, out)
	}
	if c.translator != nil {
		c.translator.Apply(out, side)
	}
	wire.Decode(out[0].Data, &out[0].Packet)
	return out[0]
}

// dial opens a control connection and calls on it.
func (c *crowd) dial(host *tracktest.Host, calls int) {
	c.tb.Helper()
	const port, window = 40000, 65000
	lan, wan := uint32(1000), uint32(5000)
	alias := *c.server // how the server's frames are addressed
	say := func(flags uint8, data []byte) *wire.Packet {
		s := tracktest.TCP{SrcPort: port, DstPort: pptp.Port, Seq: lan, Ack: wan, Flags: flags, Window: window, Data: data}
		lan += uint32(len(data))
		return &c.cross(track.LAN, s.Frame(host, c.server)).Packet
	}
	seen := say(wire.SYN, nil)
	lan++
	alias.Addr, alias.MAC = seen.Src.Netip(), host.MAC
	answer := func(flags uint8, data []byte) {
		s := tracktest.TCP{SrcPort: pptp.Port, DstPort: seen.SrcPort, Seq: wan, Ack: lan, Flags: flags, Window: window, Data: data}
		wan += uint32(len(data))
		c.cross(track.WAN, s.Frame(c.server, &alias))
	}
	src, srcPort := seen.Src, seen.SrcPort
	seen = &wire.Packet{Src: src, SrcPort: srcPort}
	answer(wire.SYN|wire.ACK, nil)
	wan++
	say(wire.ACK, nil)
	say(wire.ACK, tracktest.Encode(tracktest.StartRequest()))
	answer(wire.ACK, tracktest.Encode(tracktest.StartReply(pptp.StartResultOK)))
	for i := range calls {
		k := crowdCall{host: host, own: uint16(i + 1), peer: uint16(len(c.calls)), seenFrom: src.Netip()}
		k.seenFrom4 = k.seenFrom.As4()
		s := tracktest.TCP{SrcPort: port, DstPort: pptp.Port, Seq: lan, Ack: wan, Flags: wire.ACK, Window: window, Data: tracktest.Encode(tracktest.OutRequest(k.own))}
		lan += uint32(len(s.Data))
		f := c.cross(track.LAN, s.Frame(host, c.server))
		k.alias = binary.BigEndian.Uint16(f.Data[f.Packet.Payload+12:])
		answer(wire.ACK, tracktest.Encode(tracktest.OutReply(k.peer, k.alias, pptp.OutCallResultConnected)))
		c.calls = append(c.calls, k)
	}
}

// gre returns a packet of a call as it comes in by a side.
func (c *crowd) gre(k *crowdCall, side track.Side, seq uint32) []byte {
	if side == track.LAN {
		return tracktest.GRE{CallID: k.peer, HasSeq: true, Seq: seq, Payload: []byte{1, 2, 3, 4}}.Frame(k.host, c.server)
	}
	alias := *k.host
	alias.Addr = k.seenFrom
	return tracktest.GRE{CallID: k.alias, HasSeq: true, Seq: seq, Payload: []byte{1, 2, 3, 4}}.Frame(c.server, &alias)
}

// TestSixtyThousand: 60,000 calls at once behind one address to one server, of
// 2,000 hosts that all use the same IDs.
func TestSixtyThousand(t *testing.T) {
	const hosts, each = 2000, 30
	c := newCrowd(t, hosts, each, nat.Options{Address: netip.MustParseAddr(crowdAddr)})
	aliases := make(map[uint16]bool)
	for i := range c.calls {
		k := &c.calls[i]
		if aliases[k.alias] {
			t.Fatalf("two calls have the alias %d", k.alias)
		}
		aliases[k.alias] = true
		up := c.cross(track.LAN, c.gre(k, track.LAN, 1))
		if up.Packet.Src.Netip().String() != crowdAddr || up.Packet.CallID != k.peer {
			t.Fatalf("call %d to the WAN: from %s, call ID %d", i, up.Packet.Src.Netip(), up.Packet.CallID)
		}
		down := c.cross(track.WAN, c.gre(k, track.WAN, 1))
		if down.Packet.Dst.Netip() != k.host.Addr || down.Packet.CallID != k.own || [6]byte(down.Data) != k.host.MAC {
			t.Fatalf("call %d to the LAN: for %s, call ID %d; want %s, %d", i, down.Packet.Dst.Netip(), down.Packet.CallID, k.host.Addr, k.own)
		}
	}
	if len(aliases) != hosts*each || len(c.tracker.Calls()) != hosts*each {
		t.Errorf("%d calls with %d aliases, want %d", len(c.tracker.Calls()), len(aliases), hosts*each)
	}
}
