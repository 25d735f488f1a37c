package load

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// cable joins two namespaces by a veth pair, with a path from one to the other.
type cable struct {
	t        *testing.T
	path     *Path
	injector *bridgetest.Injector
	flows    []Flow
}

func newCable(t *testing.T) *cable {
	t.Helper()
	lab := bridgetest.New(t)
	var ends [2]*bridgetest.Namespace
	for i, name := range []string{"from", "to"} {
		ns, err := lab.Namespace(name)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = ns
	}
	if err := lab.Veth(ends[0], "eth0", ends[1], "eth0", bridgetest.VethOption{MTU: 9000, OffloadsOff: true}); err != nil {
		t.Fatal(err)
	}
	// By this a veth takes frames from XDP.
	if _, err := ends[1].Run(t.Context(), "ethtool", "-K", "eth0", "gro", "on"); err != nil {
		t.Fatal(err)
	}
	path, err := Open(End{"eth0", ends[0].Do}, End{"eth0", ends[1].Do})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := path.Close(); err != nil {
			t.Error(err)
		}
	})
	injector, err := ends[0].Injector("eth0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { injector.Close() })
	c := &cable{t: t, path: path, injector: injector}
	for i := range 3 {
		c.flows = append(c.flows, Flow{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.MustParseAddr("10.0.1.1"), uint16(100 + i)})
	}
	if err := path.SetFlows(c.flows, c.flows); err != nil {
		t.Fatal(err)
	}
	return c
}

// counts waits until so many frames have come, of the sender's or stray.
func (c *cable) counts(n uint64) Counts {
	c.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		counts, err := c.path.Counts()
		if err != nil {
			c.t.Fatal(err)
		}
		if counts.Received+counts.Stray >= n {
			return counts
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d frames did not come: %+v", n, counts)
		}
	}
}

// TestPathsCarry sends with both senders, in all kinds of sizes; nothing may be
// lost or found wrong.
func TestPathsCarry(t *testing.T) {
	c := newCable(t)
	for _, row := range []struct {
		name   string
		sender Sender
		sizes  []int
		load   Load
	}{
		{"one size", Packet, []int{64}, Load{Rate: 20_000}},
		{"odd size", Packet, []int{577}, Load{Rate: 20_000}},
		{"chunks without a rest", Packet, []int{64 + 1024}, Load{Rate: 20_000}},
		{"jumbo", Packet, []int{9000}, Load{Rate: 5_000}},
		{"mix", Packet, PPTPMix(), Load{Rate: 20_000, Timed: true}},
		{"XDP", XDP, []int{64}, Load{Rate: 20_000, Timed: true}},
		{"XDP, mix", XDP, PPTPMix(), Load{Rate: 20_000}},
		{"XDP, longest", XDP, []int{MaxXDPSize}, Load{Rate: 5_000}},
		{"so many", Packet, []int{64}, Load{Rate: 50_000, Limit: 777}},
		{"XDP, so many", XDP, []int{64}, Load{Rate: 50_000, Limit: 777}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c.t = t
			if err := c.path.SetSizes(row.sizes); err != nil {
				t.Fatal(err)
			}
			if err := c.path.Begin(); err != nil {
				t.Fatal(err)
			}
			row.load.Sender, row.load.Lasting, row.load.Count = row.sender, 100*time.Millisecond, len(c.flows)
			if row.load.Limit > 0 { // which ends it, however slow the machine is
				row.load.Lasting = time.Minute
			}
			sent, err := c.path.Send(t.Context(), row.load)
			if err != nil {
				t.Fatal(err)
			}
			counts := c.counts(sent.Frames)
			if sent.Frames == 0 || counts.Received != sent.Frames || counts.Octets != sent.Octets || counts.Wrong() != 0 {
				t.Errorf("sent %+v, received %+v", sent, counts)
			}
			if row.load.Limit > 0 && sent.Frames != row.load.Limit {
				t.Errorf("%d frames sent, want %d", sent.Frames, row.load.Limit)
			}
			delays, err := c.path.Delays()
			if err != nil {
				t.Fatal(err)
			}
			if want := sent.Frames * uint64(b2i(row.load.Timed)); delays.Count() != want || want > 0 && delays.At(1) == 0 {
				t.Errorf("%d delays, the longest %v; want %d", delays.Count(), delays.At(1), want)
			}
		})
	}
}

// TestLateSender asks for more than anybody can send: what is reported is what was
// sent in the time that it took.
func TestLateSender(t *testing.T) {
	c := newCable(t)
	for _, sender := range []Sender{Packet, XDP} {
		const lasting = 100 * time.Millisecond
		if err := c.path.Begin(); err != nil {
			t.Fatal(err)
		}
		sent, err := c.path.Send(t.Context(), Load{Sender: sender, Rate: 1e9, Lasting: lasting, Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		if sent.Lasting != lasting || sent.Slipped < lasting/2 || sent.Frames == 0 || sent.Rate() != float64(sent.Frames)/lasting.Seconds() {
			t.Errorf("%s: %+v, %.0f frames/s", sender, sent, sent.Rate())
		}
	}
}

// TestReceiverJudges gives the receiver frames as a faulty device might send them.
func TestReceiverJudges(t *testing.T) {
	const size = 200
	for _, row := range []struct {
		name  string
		spoil func(frames [][]byte) [][]byte
		want  Counts
	}{
		{"nothing wrong", func(f [][]byte) [][]byte { return f }, Counts{Received: 9}},
		{"one of a call lost", func(f [][]byte) [][]byte { return append(f[:3], f[4:]...) }, Counts{Received: 8, Gaps: 1}},
		{"two turned around", func(f [][]byte) [][]byte { f[0], f[3] = f[3], f[0]; return f }, Counts{Received: 9, Late: 1}},
		{"one twice", func(f [][]byte) [][]byte { return append(f, f[8]) }, Counts{Received: 10, Late: 1}},
		{"payload changed", func(f [][]byte) [][]byte { f[2][150] ^= 4; return f }, Counts{Received: 9, BadPayload: 1}},
		{"last octet changed", func(f [][]byte) [][]byte { f[2][size-FCS-1]++; return f }, Counts{Received: 9, BadPayload: 1}},
		{"TTL and checksum changed", func(f [][]byte) [][]byte { f[1][atIP+8]--; fixChecksum(f[1]); return f }, Counts{Received: 9, BadHeader: 1}},
		{"IP checksum changed", func(f [][]byte) [][]byte { f[1][atChecksum]++; return f }, Counts{Received: 9, BadHeader: 1}},
		{"GRE flags changed", func(f [][]byte) [][]byte { f[1][atGRE+1] |= 0x80; return f }, Counts{Received: 9, BadHeader: 1}},
		{"call ID changed", func(f [][]byte) [][]byte { f[4][atCallID+1]++; return f }, Counts{Received: 9, BadAddress: 1}},
		{"address changed", func(f [][]byte) [][]byte { f[4][atAddresses+3]++; fixChecksum(f[4]); return f }, Counts{Received: 9, BadAddress: 1}},
		{"cut", func(f [][]byte) [][]byte { f[0] = f[0][:100]; return f }, Counts{Received: 9, BadSize: 1}},
		{"octets behind", func(f [][]byte) [][]byte { f[0] = append(f[0], 0, 0); return f }, Counts{Received: 9, BadSize: 1}},
		{"GRE of others", func(f [][]byte) [][]byte { f[0][atPPP]++; return f }, Counts{Received: 8, Stray: 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCable(t)
			c.judge(row.spoil(c.frames(size)), row.want)
		})
	}
}

// TestReceiverTranslates has it expect other addresses and IDs than were sent, and
// hold each call to its own.
func TestReceiverTranslates(t *testing.T) {
	c := newCable(t)
	expected := slices.Clone(c.flows)
	for i := range expected {
		expected[i].Source, expected[i].CallID = netip.MustParseAddr("10.0.0.99"), uint16(500+i)
	}
	if err := c.path.SetFlows(c.flows, expected); err != nil {
		t.Fatal(err)
	}
	frames := c.frames(100)
	for i, f := range frames {
		f[atAddresses+3] = 99
		binary.BigEndian.PutUint16(f[atCallID:], uint16(500+i%len(c.flows)))
		fixChecksum(f)
	}
	copy(frames[4][atCallID:], frames[3][atCallID:][:2]) // the ID of another call
	c.judge(frames, Counts{Received: 9, BadAddress: 1})
	if err := c.path.SetFlows(c.flows, expected[1:]); err == nil {
		t.Error("a flow that nobody expects was taken")
	}
}

// frames are three of each flow, in turn.
func (c *cable) frames(size int) (frames [][]byte) {
	c.t.Helper()
	if err := c.path.SetSizes([]int{size}); err != nil {
		c.t.Fatal(err)
	}
	for i := range 3 * len(c.flows) {
		frame := append([]byte(nil), c.path.template...)
		c.path.flows[i%len(c.flows)].patch(frame, 0)
		frames = append(frames, frame)
	}
	return frames
}

func fixChecksum(frame []byte) {
	binary.BigEndian.PutUint16(frame[atChecksum:], 0)
	binary.NativeEndian.PutUint16(frame[atChecksum:], ^fold(sum(frame[atIP:atGRE])))
}

func (c *cable) judge(frames [][]byte, want Counts) {
	c.t.Helper()
	if err := c.path.Begin(); err != nil {
		c.t.Fatal(err)
	}
	for _, f := range frames {
		if err := c.injector.Send(f); err != nil {
			c.t.Fatal(err)
		}
	}
	got := c.counts(uint64(len(frames)))
	for _, f := range frames {
		if f[atPPP] == 0xff {
			want.Octets += uint64(len(f))
		}
	}
	got.First, got.Last = 0, 0
	if got != want {
		c.t.Errorf("counted %+v, want %+v", got, want)
	}
}
