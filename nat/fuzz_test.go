package nat_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// fuzzLimits are so small that every one of them is reached.
func fuzzLimits(o *track.Options) {
	o.Limits = track.Limits{
		Connections: 6, Calls: 8, CallsPerConnection: 5, CallsPerHost: 6, Expectations: 8,
		Fragments: 4, HoldBytes: 12 << 10,
	}
}

// FuzzTranslate plays a script on a box that translates. The World sees after every
// frame that nothing changes but what may, that checksums stay right, and that
// limits hold; in the end there must be nothing left.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 7, 1, 0, 0, 0, 0, 1, 0, 4, 1, 0, 1, 1, 2, 0, 5, 4, 0, 0, 1, 1, 1, 4, 0, 1, 1, 1, 2})
	for seed := byte(1); seed < 16; seed++ {
		b := make([]byte, 512)
		for i := range b {
			b[i] = byte(i*int(seed)*31) ^ byte(i>>3)
		}
		f.Add(b)
	}
	f.Fuzz(runScript)
}

func runScript(t *testing.T, data []byte) {
	data = data[:min(len(data), 2048)]
	flags := byte(0)
	if len(data) > 0 {
		flags, data = data[0], data[1:]
	}
	mode := []func(*nat.Options){byCallID, masquerade, forwarding, both}[flags&3]
	b := newBox(t, func(o *nat.Options) {
		mode(o)
		if flags&4 != 0 {
			o.CallIDs, o.LastPort = 3, o.FirstPort+1
		}
	}, fuzzLimits, func(o *track.Options) { o.Policy.AnyGRE = flags&8 != 0 })
	s := tracktest.NewScript(b.World, data)
	s.Hosts = append(s.Hosts, b.lan[1], b.lan[2], b.wan[1])
	s.Pairs = append(s.Pairs, [2]int{5, 1}, [2]int{6, 7}, [2]int{5, 1}, [2]int{1, 6}, [2]int{7, 6})
	if flags&2 != 0 {
		s.Aliases = map[int]*tracktest.Host{6: b.forward}
	}
	s.Play()
	b.checkEmpty(t)
}

// TestRandomScripts plays scripts that nobody guided.
func TestRandomScripts(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		data := make([]byte, 1500)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if runScript(t, data); t.Failed() {
			t.Fatalf("seed %d, script %d", seed, i)
		}
	}
}

// FuzzApply puts Changes into frames of which the decoder says that they have what
// changes: no panic, no octet more or less, nothing else changed, and checksums as
// right as they were.
func FuzzApply(f *testing.F) {
	b := newBox(f, masquerade)
	tcp := tracktest.TCP{SrcPort: 5000, DstPort: 1723, Data: make([]byte, 21)}.Frame(b.lan[0], b.wan[0])
	gre := tracktest.GRE{CallID: 7}.Frame(b.wan[0], b.alias)
	for _, frame := range [][]byte{
		gre, tcp, tracktest.ICMPError{Type: 3, Quoted: tracktest.Quote(gre, 8)}.Frame(b.lan[0], b.wan[0]),
		tracktest.ICMPError{Type: 3, Quoted: tracktest.Quote(tcp, 30)}.Frame(b.wan[0], b.alias),
	} {
		for _, wan := range []bool{false, true} {
			f.Add(frame, wan, uint8(0xff), uint32(0x0a000001), uint16(0xffff), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, wan bool, what uint8, addr uint32, id uint16, at uint8) {
		frame := &track.Frame{Data: data, Verdict: track.Rewrite, Rewritten: true}
		side := track.LAN
		if wan {
			side = track.WAN
		}
		if !drawChange(frame, side, what, addr, id, uint32(at)) {
			return
		}
		before := bytes.Clone(data)
		b.names.Apply([]*track.Frame{frame}, side)
		if fault := tracktest.RewriteFault(side, frame, before); fault != "" {
			t.Errorf("%s\n%x\n%x", fault, before, frame.Data)
		}
	})
}

// drawChange gives a frame a Change that fits it, as the tracker would, and
// reports whether any does.
func drawChange(f *track.Frame, side track.Side, what uint8, addr uint32, id uint16, at uint32) bool {
	wire.Decode(f.Data, &f.Packet)
	p, c := &f.Packet, &f.Change
	*c = track.Change{What: what & (track.ChangeAddr | track.ChangeMAC), Addr: addr, Port: id, CallID: id, MAC: uint64(addr) << 8}
	switch {
	case p.Version != 4 || p.Zone.InSession():
		return false
	case p.Kind == wire.TCP:
		c.What |= what & track.ChangePort
		if n := p.End - p.Payload; n > 0 {
			c.What |= track.ChangeOctets
			from := at % n
			c.Octets = []track.Octets{{At: p.Payload + from, N: uint8(min(2, n-from)), New: [2]byte{byte(id >> 8), byte(id)}}}
		}
	case p.Kind == wire.EnhancedGRE && side == track.WAN:
		c.What |= track.ChangeCallID
	case p.Kind == wire.ICMP:
		q, ok := wire.QuotedIPv4(f.Data, p)
		if !ok || !q.Named {
			return false
		}
		c.What |= track.ChangeQuote
		c.QuoteL3, c.QuoteL4 = q.L3, q.L4
		if q.Proto == wire.ProtocolTCP {
			c.What |= track.ChangePort
		} else if side == track.LAN {
			c.What |= track.ChangeCallID
		}
	}
	return c.What != 0
}
