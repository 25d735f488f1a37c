package fanout

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// program loads the program; queue runs it on a frame.
func program(t *testing.T) (queue func(frame []byte) uint32) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: CAP_BPF to load a program")
	}
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return func(frame []byte) uint32 {
		t.Helper()
		n, _, err := p.objects.GrewireQueue.Test(frame)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// shape is a way of two hosts to put IP into frames.
type shape struct {
	name string
	wrap func(*tracktest.Host) *tracktest.Host
	edit func(frame []byte) []byte
}

func shapes() []shape {
	same := func(h *tracktest.Host) *tracktest.Host { return h }
	tagged := func(tags ...tracktest.Tag) func(*tracktest.Host) *tracktest.Host {
		return func(h *tracktest.Host) *tracktest.Host { return h.Tagged(tags...) }
	}
	q, ad, old := tracktest.Tag{TPID: 0x8100, TCI: 100}, tracktest.Tag{TPID: 0x88a8, TCI: 200}, tracktest.Tag{TPID: 0x9100, TCI: 300}
	session := func(h *tracktest.Host) *tracktest.Host { return h.InSession(7) }
	return []shape{
		{"untagged", same, nil},
		{"a tag", tagged(q), nil},
		{"a tag of 802.1ad", tagged(ad), nil},
		{"a tag of before 802.1ad", tagged(old), nil},
		{"two tags", tagged(ad, q), nil},
		{"two tags of 802.1Q", tagged(q, q), nil},
		{"a priority tag and two others", tagged(tracktest.Tag{TPID: 0x8100}, ad, q), nil},
		{"SNAP", same, func(f []byte) []byte { return snap(f, 12, "000000") }},
		{"SNAP of 802.1H", same, func(f []byte) []byte { return snap(f, 12, "0000f8") }},
		{"SNAP in a tag", tagged(q), func(f []byte) []byte { return snap(f, 16, "000000") }},
		{"PPPoE", session, nil},
		{"PPPoE in two tags", func(h *tracktest.Host) *tracktest.Host { return h.InSession(7).Tagged(ad, q) }, nil},
		{"PPPoE, protocol compressed", session, func(f []byte) []byte { return longer(slices.Delete(slices.Clone(f), 20, 21), -1) }},
		{"PPPoE with Address and Control", session, func(f []byte) []byte { return longer(slices.Insert(slices.Clone(f), 20, 0xff, 0x03), 2) }},
	}
}

// snap puts LLC and SNAP before the ethertype at an offset.
func snap(frame []byte, at int, organisation string) []byte {
	head, _ := hex.DecodeString("0040aaaa03" + organisation)
	return slices.Insert(slices.Clone(frame), at, head...)
}

// longer makes the payload of a PPPoE frame longer by n octets.
func longer(frame []byte, n int) []byte {
	length := binary.BigEndian.Uint16(frame[18:])
	binary.BigEndian.PutUint16(frame[18:], length+uint16(n))
	return frame
}

// traffic is what two hosts send: both ways, control, GRE, fragments of it,
// and what else there is.
func traffic(a, b *tracktest.Host) (frames [][]byte) {
	for _, ends := range [][2]*tracktest.Host{{a, b}, {b, a}} {
		from, to := ends[0], ends[1]
		gre := tracktest.GRE{CallID: 7, Payload: []byte("\xff\x03\x00\x21" + strings.Repeat("\x45\x00 inside", 200))}
		frames = append(frames,
			tracktest.TCP{SrcPort: 1723, DstPort: 5000}.Frame(from, to),
			tracktest.TCP{SrcPort: 5000, DstPort: 1723, Data: make([]byte, 156)}.Frame(from, to),
			gre.Frame(from, to), tracktest.GRE{CallID: 8}.Frame(from, to),
			tracktest.IP{Proto: wire.ProtocolICMP, Payload: make([]byte, 8)}.Frame(from, to),
			tracktest.IP{Proto: 17, Payload: make([]byte, 8)}.Frame(from, to),
		)
		frames = append(frames, gre.IP().Fragment(from, to, 800)...)
		frames = append(frames, tracktest.IP{Proto: 17, Payload: make([]byte, 3000)}.Fragment(from, to, 1400)...)
	}
	return frames
}

// TestPair: all that two hosts say to each other has one queue, in whatever
// frames, and it is not that of everybody.
func TestPair(t *testing.T) {
	queue := program(t)
	pairs := [][2]string{
		{"192.0.2.1", "198.51.100.1"}, {"198.51.100.1", "192.0.2.2"}, {"10.0.0.1", "10.0.0.1"}, {"255.255.255.255", "255.255.255.254"},
		{"2001:db8::1", "2001:db8:1::1"}, {"2001:db8:1::1", "2001:db8::2"}, {"fe80::1", "ff02::1"},
	}
	seen := make(map[uint32]bool)
	for _, pair := range pairs {
		a, b := tracktest.NewHost(track.LAN, pair[0]), tracktest.NewHost(track.WAN, pair[1])
		want := queue(tracktest.GRE{CallID: 7}.Frame(a, b))
		seen[want] = true
		for _, s := range shapes() {
			for i, frame := range traffic(s.wrap(a), s.wrap(b)) {
				if s.edit != nil {
					frame = s.edit(frame)
				}
				var p wire.Packet
				if wire.Decode(frame, &p); p.Src != wire.AddrFrom(a.Addr) && p.Src != wire.AddrFrom(b.Addr) {
					t.Fatalf("%s: the test's frame %d has the source %v: %x", s.name, i, p.Src.Netip(), frame)
				}
				if got := queue(frame); got != want {
					t.Errorf("%v, %s, frame %d: queue %d, want %d\n%x", pair, s.name, i, got, want, frame)
				}
			}
		}
	}
	if len(seen) != len(pairs) {
		t.Errorf("%d pairs have %d different numbers", len(pairs), len(seen))
	}
}

// TestRest: what has no pair of addresses has queue 0.
func TestRest(t *testing.T) {
	queue := program(t)
	a, b := tracktest.NewHost(track.LAN, "192.0.2.1"), tracktest.NewHost(track.WAN, "198.51.100.1")
	whole := tracktest.GRE{CallID: 7}.Frame(a, b)
	tagged := func(side track.Side, addr string) *tracktest.Host {
		return tracktest.NewHost(side, addr).Tagged(tracktest.Tag{TPID: 0x8100, TCI: 5})
	}
	for name, frame := range map[string][]byte{
		"ARP":               a.Ethernet(b.MAC, tracktest.TypeARP, make([]byte, 28)),
		"unknown ethertype": a.Ethernet(b.MAC, 0x88b5, whole[14:]),
		// The kernel lets no program be tested with IP that is cut, but in a tag.
		"IPv4 cut":              tracktest.GRE{}.Frame(tagged(track.LAN, "192.0.2.1"), b)[:18+19],
		"IPv6 cut":              tracktest.GRE{}.Frame(tagged(track.LAN, "2001:db8::1"), tagged(track.WAN, "2001:db8::2"))[:18+39],
		"a tag cut":             tagged(track.LAN, "192.0.2.1").Ethernet(b.MAC, 0x0800, nil)[:17],
		"a tag alone":           tagged(track.LAN, "192.0.2.1").Ethernet(b.MAC, 0x0800, nil)[:18],
		"spanning tree":         a.Ethernet(b.MAC, 38, []byte("\x42\x42\x03")),
		"IPX":                   a.Ethernet(b.MAC, 40, []byte("\xff\xff\x00\x28")),
		"SNAP of somebody else": snap(whole, 12, "00000c"),
		"PPPoE LCP":             a.Ethernet(b.MAC, tracktest.TypePPPoE, append([]byte{0x11, 0, 0, 7, 0, 40, 0xc0, 0x21}, whole[14:]...)),
		"PPPoE cut":             a.Ethernet(b.MAC, tracktest.TypePPPoE, nil)[:14+7],
		"PPPoE discovery":       a.Ethernet(b.MAC, 0x8863, whole[14:]),
	} {
		if got := queue(frame); got != 0 {
			t.Errorf("%s: queue %d, want 0", name, got)
		}
	}
}

// TestAsDecoded: the program finds addresses where track/wire does, in frames
// cut anywhere, too: IP of which both addresses are there.
func TestAsDecoded(t *testing.T) {
	queue := program(t)
	a, b := tracktest.NewHost(track.LAN, "192.0.2.1"), tracktest.NewHost(track.WAN, "198.51.100.1")
	want := queue(tracktest.GRE{CallID: 7}.Frame(a, b))
	for _, s := range shapes() {
		frame := tracktest.GRE{CallID: 7, Payload: make([]byte, 40)}.Frame(s.wrap(a), s.wrap(b))
		if s.edit != nil {
			frame = s.edit(frame)
		}
		shortest := 15
		if s.name == "untagged" {
			shortest = 34 // see TestRest
		}
		for n := shortest; n <= len(frame); n++ {
			var p wire.Packet
			wire.Decode(frame[:n], &p)
			if got := queue(frame[:n]); got != 0 && got != want || p.Version == 4 && got != want {
				t.Errorf("%s, cut to %d octets: queue %d, want %d of %+v", s.name, n, got, want, p)
			}
		}
	}
}

// TestSpread: many hosts that talk to one server, and many pairs, are spread
// evenly, as the kernel takes what the program says.
func TestSpread(t *testing.T) {
	queue := program(t)
	const hosts = 2000
	for _, n := range []uint32{2, 3, 4, 8} {
		for _, c := range []struct{ name, from, to string }{
			{"one server", "10.0.%d.%d", "198.51.100.1"},
			{"even addresses", "10.%d.%d.2", "198.51.100.2"},
			{"IPv6", "2001:db8:0:%d::%d", "2001:db8:ffff::1"},
		} {
			share := make([]int, n)
			to := tracktest.NewHost(track.WAN, c.to)
			for i := range hosts {
				from := tracktest.NewHost(track.LAN, fmt.Sprintf(c.from, i/250, i%250))
				share[queue(tracktest.GRE{}.Frame(from, to))%n]++
			}
			for _, got := range share {
				if fair := hosts / int(n); got < fair*3/4 || got > fair*5/4 {
					t.Errorf("%s over %d queues: %v", c.name, n, share)
					break
				}
			}
		}
	}
}
