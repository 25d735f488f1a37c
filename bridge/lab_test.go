package bridge_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// patience bounds every wait of the tests.
const patience = 20 * time.Second

var (
	client = tracktest.NewHost(track.LAN, "192.0.2.10")
	server = tracktest.NewHost(track.WAN, "198.51.100.1")
)

// choosyPort is a memory port that the test makes refuse frames by what they
// are, or fail.
type choosyPort struct {
	*bridgetest.Port
	refuse func(*track.Frame) track.Reason // 0: it goes
	broken atomic.Pointer[error]           // what Send returns, having sent nothing
}

func (p *choosyPort) Send(frames []*track.Frame) error {
	broken := p.broken.Load()
	for _, f := range frames {
		if broken != nil {
			f.Verdict, f.Reason = track.Drop, track.ReasonEgressDown
		} else if p.refuse != nil && p.refuse(f) != 0 {
			f.Verdict, f.Reason = track.Drop, p.refuse(f)
		}
	}
	if broken != nil {
		return *broken
	}
	return p.Port.Send(frames)
}

// boxLab is a box between two memory ports, with a clock that the test moves.
type boxLab struct {
	t       *testing.T
	ports   [2]*choosyPort
	engine  *bridge.Engine
	box     *bridge.Box
	clock   atomic.Int64
	events  func(context.Context) (track.Event, error)
	noMore  func() // ends events
	links   chan linkChange
	running chan error
	cancel  context.CancelFunc
}

type linkChange struct {
	side track.Side
	up   bool
}

// newLab returns a box that does not run yet. Its policy names clients, so that
// fragments of TCP wait for the first, which says between which ports they are.
func newLab(t *testing.T) *boxLab {
	o := track.DefaultOptions()
	o.Policy.AnyGRE = true
	o.Policy.Clients = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	o.Limits = track.Limits{Connections: 8, Calls: 16, CallsPerConnection: 8, CallsPerHost: 16, Expectations: 32, Fragments: 64, HoldBytes: 1 << 20}
	hub := new(bridge.Hub)
	l := &boxLab{t: t, links: make(chan linkChange, 16), running: make(chan error, 1)}
	l.clock.Store(int64(tracktest.Epoch))
	l.events, l.noMore = hub.Subscribe()
	l.engine = bridge.NewEngine(o, hub.Publish)
	for side := range l.ports {
		l.ports[side] = &choosyPort{Port: bridgetest.NewPort()}
	}
	l.box = bridge.NewBox(bridge.Options{
		LAN: []bridge.Port{l.ports[track.LAN]}, WAN: []bridge.Port{l.ports[track.WAN]}, Engine: l.engine,
		Clock: func() track.Time { return track.Time(l.clock.Load()) },
		OnLink: func(side track.Side, up bool) {
			select {
			case l.links <- linkChange{side, up}:
			default:
				t.Error("too many link changes")
			}
		},
	})
	return l
}

// start runs the box until the test stops it or ends.
func (l *boxLab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.running <- l.box.Run(ctx); close(l.running) }()
	l.t.Cleanup(func() { l.cancel(); <-l.running })
}

// stop ends the box and checks that it was content.
func (l *boxLab) stop() {
	l.t.Helper()
	l.cancel()
	if err := l.ended(); err != nil {
		l.t.Errorf("Run: %v", err)
	}
}

// ended waits for the box's own end.
func (l *boxLab) ended() error {
	l.t.Helper()
	select {
	case err := <-l.running:
		return err
	case <-time.After(patience):
		l.t.Fatal("the box does not end")
	}
	return nil
}

func (l *boxLab) advance(d time.Duration) { l.clock.Add(int64(d)) }

// sent waits until the port of a side has sent so many frames, and returns
// their bytes.
func (l *boxLab) sent(side track.Side, n int) [][]byte {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	frames, err := l.ports[side].WaitSent(ctx, n)
	if err != nil {
		l.t.Fatalf("%s: %v", side, err)
	}
	var data [][]byte
	for i := range frames {
		data = append(data, frames[i].Data)
	}
	return data
}

// wanted is an event that a test waits for.
type wanted struct {
	what string
	is   func(*track.Event) bool
}

// expect waits for events, which come in any order, others among them.
func (l *boxLab) expect(all ...wanted) {
	l.t.Helper()
	ctx, stop := context.WithTimeout(l.t.Context(), patience)
	defer stop()
	for len(all) > 0 {
		e, err := l.events(ctx)
		if err != nil {
			l.t.Fatalf("no event %q: %v", all[0].what, err)
		}
		all = slices.DeleteFunc(all, func(w wanted) bool { return w.is(&e) })
	}
}

// dropped is the report of a frame that came in by side and was dropped.
func dropped(side track.Side, reason track.Reason) wanted {
	return wanted{reason.String() + " from " + side.String(), func(e *track.Event) bool {
		return e.Kind == track.EventFrameDropped && e.Frame.Side == side && e.Frame.Reason == reason
	}}
}

// happened is an event of a kind, with its cause.
func happened(kind track.EventKind, cause string) wanted {
	return wanted{kind.String(), func(e *track.Event) bool { return e.Kind == kind && e.Cause == cause }}
}

// orphans are the reports of frames that both sides held to the end.
func orphans() []wanted {
	return []wanted{dropped(track.LAN, track.ReasonFragmentOrphan), dropped(track.WAN, track.ReasonFragmentOrphan)}
}

func (l *boxLab) link(want linkChange) {
	l.t.Helper()
	select {
	case got := <-l.links:
		if got != want {
			l.t.Errorf("link change %+v, want %+v", got, want)
		}
	case <-time.After(patience):
		l.t.Fatalf("no link change, want %+v", want)
	}
}

// stats returns the counters of a box that has ended, and checks that they add
// up to what its ports received and sent.
func (l *boxLab) stats() bridge.Stats {
	l.t.Helper()
	s := l.engine.Stats()
	checkTotals(l.t, "both", s.Totals)
	var sides bridge.Totals
	for _, side := range []track.Side{track.LAN, track.WAN} {
		of := s.Sides[side.String()]
		checkTotals(l.t, side.String(), of)
		if of.Frames != l.ports[side].Received() {
			l.t.Errorf("%s: %d frames counted, the port received %d", side, of.Frames, l.ports[side].Received())
		}
		if sent := len(l.ports[side.Other()].Sent()); of.Forwarded+of.Rewritten != uint64(sent) {
			l.t.Errorf("%s: %d frames forwarded, the other port sent %d", side, of.Forwarded, sent)
		}
		sides.Frames, sides.Octets = sides.Frames+of.Frames, sides.Octets+of.Octets
	}
	if sides.Frames != s.Frames || sides.Octets != s.Octets {
		l.t.Errorf("the sides have %d frames, %d octets; both together %d, %d", sides.Frames, sides.Octets, s.Frames, s.Octets)
	}
	return s
}

func checkTotals(t *testing.T, name string, s bridge.Totals) {
	t.Helper()
	reasons := uint64(0)
	for _, n := range s.Reasons {
		reasons += n
	}
	if s.Forwarded+s.Rewritten+s.Dropped != s.Frames || reasons != s.Frames {
		t.Errorf("%s does not add up: %+v", name, s)
	}
}

// numbered is a frame of other traffic that can be told from the next.
func numbered(from, to *tracktest.Host, n int) []byte {
	return from.Ethernet(to.MAC, 0x88b5, binary.BigEndian.AppendUint32(nil, uint32(n))) // IEEE 802 local experimental
}

func numberOf(frame []byte) int { return int(binary.BigEndian.Uint32(frame[14:])) }

// pause is a frame that no box lets pass (IEEE 802.3, annex 31B).
func pause(from *tracktest.Host) []byte {
	return from.Ethernet([6]byte{0x01, 0x80, 0xc2, 0, 0, 1}, 0x8808, []byte{0, 1})
}

// fragments are those of a TCP segment, the first one last: the others are held
// for it. id tells datagrams apart.
func fragments(from, to *tracktest.Host, id uint32) [][]byte {
	packet := tracktest.TCP{SrcPort: 5000, DstPort: 6000, Data: make([]byte, 2000)}.IP(from, to)
	packet.ID = id
	frames := packet.Fragment(from, to, 800)
	slices.Reverse(frames)
	return frames
}

func isA(reason track.Reason, match func(*track.Frame) bool) func(*track.Frame) track.Reason {
	return func(f *track.Frame) track.Reason {
		if match(f) {
			return reason
		}
		return 0
	}
}

var errBroken = errors.New("the NIC is on fire")
