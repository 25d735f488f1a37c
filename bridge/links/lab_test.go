package links

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// lab is a box on real NICs, between two hosts that send numbered frames to
// each other all the time.
type lab struct {
	t      *testing.T
	top    *bridgetest.Topology
	keeper *Keeper
	engine *bridge.Engine
	hosts  [2]*host // on the far side of each NIC
	log    logBuffer

	mu     sync.Mutex
	events []string
	opened []string
	more   chan struct{} // closed at the next event

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newLab(t *testing.T, change func(*Options)) *lab {
	l := &lab{t: t, more: make(chan struct{})}
	var err error
	if l.top, err = bridgetest.Inline(bridgetest.New(t)); err != nil {
		t.Fatal(err)
	}
	l.engine = bridge.NewEngine(track.DefaultOptions(), func(track.Event) {})
	o := l.options()
	if change != nil {
		change(&o)
	}
	err = l.top.Box.Do(func() (err error) { l.keeper, err = New(o); return err })
	if err != nil {
		t.Fatal(err)
	}
	l.start()
	for i, ns := range []*bridgetest.Namespace{l.top.Client, l.top.Server} {
		l.hosts[i] = newHost(t, ns, byte(i))
	}
	l.hosts[0].peer, l.hosts[1].peer = l.hosts[1], l.hosts[0]
	for _, h := range l.hosts {
		h.start(t)
	}
	return l
}

func (l *lab) options() Options {
	return Options{
		LAN: bridgetest.LANNIC, WAN: bridgetest.WANNIC, Log: slog.New(slog.NewTextHandler(&l.log, nil)),
		Open: func(name string) ([]Port, error) {
			port, err := afpacket.Open(name, afpacket.Options{})
			return []Port{port}, err
		},
		OnOpen: l.onOpen, OnEvent: l.onEvent,
	}
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	box := bridge.NewBox(bridge.Options{LAN: []bridge.Port{l.keeper.Ports(track.LAN)[0]}, WAN: []bridge.Port{l.keeper.Ports(track.WAN)[0]}, Engine: l.engine})
	for _, run := range []func(context.Context) error{box.Run, l.keeper.Run} {
		l.running.Go(func() {
			if err := run(ctx); err != nil {
				l.t.Errorf("it ended with %v", err)
			}
		})
	}
	l.t.Cleanup(l.stop)
}

// stop ends the box and checks that its counters add up: what came in by the
// ports was decided, what was forwarded left by them.
func (l *lab) stop() {
	if l.cancel == nil {
		return
	}
	l.cancel()
	l.cancel = nil
	l.running.Wait()
	if err := l.keeper.Close(); err != nil {
		l.t.Error(err)
	}
	s := l.engine.Stats()
	lan, wan := l.keeper.Ports(track.LAN)[0].Stats(), l.keeper.Ports(track.WAN)[0].Stats()
	if lan.Received+wan.Received != s.Frames || lan.Sent+wan.Sent != s.Forwarded || s.Forwarded+s.Dropped != s.Frames {
		l.t.Errorf("the counters do not add up: lan %+v, wan %+v, engine %+v", lan, wan, s.Totals)
	}
	// A veth whose other end went down has no room (egress-full) until the
	// kernel says that it has no link, up to a second later (linkwatch).
	for reason := range s.Reasons {
		if s.Reasons[reason] > 0 && !slices.Contains([]string{"other", "egress-down", "egress-mtu", "egress-full"}, reason) {
			l.t.Errorf("%d frames of reason %s", s.Reasons[reason], reason)
		}
	}
}

func (l *lab) onEvent(e track.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%v %s", e.Kind, e.Cause)
	if e.MTU != 0 {
		text += fmt.Sprintf(" %d", e.MTU)
	}
	l.events = append(l.events, text)
	close(l.more)
	l.more = make(chan struct{})
}

func (l *lab) onOpen(side track.Side, index int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = append(l.opened, fmt.Sprintf("%v %d", side, index))
	return nil
}

// expect waits for the events to come and checks that they are these.
func (l *lab) expect(want ...string) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		got, more := slices.Clone(l.events), l.more
		l.mu.Unlock()
		if len(got) >= len(want) {
			if !slices.Equal(got, want) {
				l.t.Fatalf("events %q, want %q\n%s", got, want, l.log.String())
			}
			return
		}
		select {
		case <-more:
		case <-deadline:
			l.t.Fatalf("events %q, want %q\n%s", got, want, l.log.String())
		}
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// far is the host's end of a side's cable.
func (l *lab) far(side track.Side) *bridgetest.Namespace { return l.hosts[side].ns }

func (l *lab) nic(side track.Side) string {
	return []string{bridgetest.LANNIC, bridgetest.WANNIC}[side]
}

// remove removes a side's NIC, and the other end of its cable with it.
func (l *lab) remove(side track.Side) { l.check(l.top.Box.Delete(l.nic(side))) }

// add makes a side's NIC anew.
func (l *lab) add(side track.Side) {
	l.check(l.top.Lab.Veth(l.far(side), bridgetest.HostNIC, l.top.Box, l.nic(side)))
	l.hosts[side].open(l.t)
}

func (l *lab) setMTU(side track.Side, mtu int) {
	l.t.Helper()
	if out, err := l.top.Box.Run(l.t.Context(), "ip", "link", "set", "dev", l.nic(side), "mtu", fmt.Sprint(mtu)); err != nil {
		l.t.Fatal(out, err)
	}
}

func (l *lab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%v\n%s", err, l.log.String())
	}
}

// flows checks that from now on every frame crosses, both ways.
func (l *lab) flows() {
	l.t.Helper()
	for _, h := range l.hosts {
		if err := h.flows(); err != nil {
			l.t.Fatalf("%v: %v; events %q\n%s", h.ns, err, l.events, l.log.String())
		}
	}
}

// host sends numbered frames and takes note of those of the other host.
type host struct {
	ns     *bridgetest.Namespace
	id     byte
	peer   *host
	fd     atomic.Int64 // -1: none
	length atomic.Int64 // of the frames it sends
	sent   atomic.Int64 // number of the last frame
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	seen []uint32 // numbers of the other's frames, as they came
	odd  []string // what else came
}

const (
	labEtherType = 0x88B5 // IEEE 802 local experimental
	pace         = 500 * time.Microsecond
)

func newHost(t *testing.T, ns *bridgetest.Namespace, id byte) *host {
	h := &host{ns: ns, id: id, stop: make(chan struct{})}
	h.fd.Store(-1)
	h.length.Store(60)
	h.open(t)
	return h
}

// open gives the host a socket on its NIC, which may be a new one.
func (h *host) open(t *testing.T) {
	t.Helper()
	err := h.ns.Do(func() error {
		ifi, err := net.InterfaceByName(bridgetest.HostNIC)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: labEtherType>>8 | labEtherType&0xff<<8, Ifindex: ifi.Index}))
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			return errors.New("the test is for little-endian machines")
		}
		h.fd.Store(int64(fd))
		t.Cleanup(func() { unix.Close(fd) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) start(t *testing.T) {
	h.done.Go(h.sendAll)
	h.done.Go(h.receiveAll)
	t.Cleanup(func() {
		close(h.stop)
		h.done.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.odd) > 0 {
			t.Errorf("%v got %d odd frames, first %s", h.ns, len(h.odd), h.odd[0])
		}
		for i := 1; i < len(h.seen); i++ {
			if h.seen[i] <= h.seen[i-1] {
				t.Errorf("%v got frame %d behind %d", h.ns, h.seen[i], h.seen[i-1])
				break
			}
		}
	})
}

// frame is the n-th frame of a host: who, which, and a pattern.
func frame(id byte, n uint32, length int) []byte {
	f := []byte{2, 0, 0, 0, 0, 1 - id, 2, 0, 0, 0, 0, id, labEtherType >> 8, labEtherType & 0xff}
	f = binary.BigEndian.AppendUint32(f, n)
	for len(f) < length {
		f = append(f, byte(n)+byte(len(f)))
	}
	return f
}

func (h *host) sendAll() {
	bridgetest.StayOnOneCPU()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := uint32(1); ; n++ {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		h.sent.Store(int64(n))
		_ = unix.Send(int(h.fd.Load()), frame(h.id, n, int(h.length.Load())), 0) // a cable may be out
	}
}

func (h *host) receiveAll() {
	data := make([]byte, 2048)
	for {
		select {
		case <-h.stop:
			return
		default:
		}
		n, _, err := unix.Recvfrom(int(h.fd.Load()), data, 0)
		if err != nil {
			pause() // the time is over, or the NIC is gone
			continue
		}
		h.take(data[:n])
	}
}

func (h *host) take(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(data) < 18 {
		h.odd = append(h.odd, fmt.Sprintf("% x", data))
		return
	}
	n := binary.BigEndian.Uint32(data[14:])
	if string(data) != string(frame(1-h.id, n, len(data))) {
		h.odd = append(h.odd, fmt.Sprintf("% x", data))
		return
	}
	h.seen = append(h.seen, n)
}

// latest returns the number of the last frame that came, and how many came
// since the given one.
func (h *host) latest(since int64) (last int64, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.seen) - 1; i >= 0 && int64(h.seen[i]) > since; i-- {
		last, n = max(last, int64(h.seen[i])), n+1
	}
	return last, n
}

// flows waits for the first frame that is sent from now on to arrive, and then
// for a hundred in a row.
func (h *host) flows() error {
	deadline := time.Now().Add(patience)
	from, first := h.peer.sent.Load(), int64(0)
	for first == 0 {
		if first, _ = h.latest(from); time.Now().After(deadline) {
			return fmt.Errorf("nothing arrives of what was sent since frame %d", from)
		}
		pause()
	}
	for {
		last, n := h.latest(first)
		if last-first >= 100 {
			if int64(n) != last-first {
				return fmt.Errorf("%d of the %d frames behind frame %d arrived", n, last-first, first)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing arrives behind frame %d", last)
		}
		pause()
	}
}

// reaches waits until a frame arrives that was sent after this call.
func (h *host) reaches() error {
	from := h.peer.sent.Load()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause() {
		if _, n := h.latest(from); n > 0 {
			return nil
		}
	}
	return fmt.Errorf("nothing arrives of what was sent since frame %d", from)
}

// pause passes the time until it is worth looking again at what tells nobody that
// it changes.
func pause() { <-time.After(time.Millisecond) }

// countFiles counts the descriptors of this process.
func countFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
