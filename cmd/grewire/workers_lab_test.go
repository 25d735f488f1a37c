package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rawpacket "github.com/mdlayher/packet"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

const twoWorkers = "workers = 2\n"

// TestLabWorkersCalls, -Masquerade, -FailOpen and -BypassCommand are those
// without Workers, in a box with several.
func TestLabWorkersCalls(t *testing.T) {
	t.Parallel()
	testLabCalls(t, twoWorkers)
}

func TestLabWorkersMasquerade(t *testing.T) {
	t.Parallel()
	testLabMasquerade(t, twoWorkers)
}

func TestLabWorkersFailOpen(t *testing.T)      { testLabFailOpen(t, twoWorkers) }
func TestLabWorkersBypassCommand(t *testing.T) { testLabBypassCommand(t, "workers = 3\n") }

// crowdLab is a box with two workers between hosts that are played: many calls
// between as many clients and one server.
type crowdLab struct {
	*labBox
	world *tracktest.World
	calls []*tracktest.Call
	ends  [2]*crowdEnd
	made  [2][][]byte // by the world, since it was last looked at
}

// crowdEnd is where the hosts of a side are.
type crowdEnd struct {
	t        *testing.T
	injector *bridgetest.Injector
	conn     *rawpacket.Conn

	mu       sync.Mutex
	expected map[netip.Addr][][]byte // by the client they are from or to, in order
	left     int
	wrong    error
	changed  chan struct{}
	running  sync.WaitGroup
	closing  atomic.Bool
}

// crowd is how many calls there are.
const crowd = 24

func newCrowdLab(t *testing.T, keys string) *crowdLab {
	l := &crowdLab{labBox: newLabBox(t, bridgetest.InlineOption{}, keys)}
	l.start()
	l.world = tracktest.New(t)
	l.world.Tap = func(r tracktest.Result) {
		if !r.Passed() {
			t.Fatalf("the test's own tracker drops %v", r)
		}
		l.made[r.Side] = append(l.made[r.Side], bytes.Clone(r.Data))
	}
	return l
}

// open goes to both ends of the wire.
func (l *crowdLab) open() {
	l.t.Helper()
	for side := range l.ends {
		ns := l.host(track.Side(side))
		end := &crowdEnd{t: l.t, expected: make(map[netip.Addr][][]byte), changed: make(chan struct{}, 1)}
		var err error
		if end.injector, err = ns.Injector(bridgetest.HostNIC); err != nil {
			l.t.Fatal(err)
		}
		if err = ns.Do(func() error { return end.listen() }); err != nil {
			l.t.Fatal(err)
		}
		end.running.Go(end.receive)
		l.ends[side] = end
		l.t.Cleanup(end.close)
	}
}

// leave goes from the ends of the wire.
func (l *crowdLab) leave() {
	for _, end := range l.ends {
		end.close()
	}
}

func (e *crowdEnd) listen() error {
	nic, err := net.InterfaceByName(bridgetest.HostNIC)
	if err != nil {
		return err
	}
	if e.conn, err = rawpacket.Listen(nic, rawpacket.Raw, 0x0003, nil); err != nil { // ETH_P_ALL
		return err
	}
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) })
	return errors.Join(e.conn.SetPromiscuous(true), err, refused)
}

func (e *crowdEnd) close() {
	if !e.closing.Swap(true) {
		e.conn.Close()
		e.running.Wait()
		e.injector.Close()
	}
}

// receive checks every frame of the played hosts that arrives until close: it is
// the next one of its client's.
func (e *crowdEnd) receive() {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := e.conn.ReadFrom(buffer)
		if err != nil {
			if !e.closing.Load() {
				e.report(err)
			}
			return
		}
		e.arrived(buffer[:n])
	}
}

func (e *crowdEnd) arrived(frame []byte) {
	client, ok := clientOf(frame)
	e.mu.Lock()
	defer e.mu.Unlock()
	next := e.expected[client]
	switch {
	case !ok || e.wrong != nil: // what the kernels say, or it is over
	case len(next) > 0 && bytes.Equal(frame, next[0]):
		e.expected[client] = next[1:]
		e.left--
	case len(next) > 0 && bytes.Equal(frame[6:12], next[0][6:12]): // not what this end has sent
		e.wrong = fmt.Errorf("of %v came\n%x\nwant\n%x", client, frame, next[0])
	}
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *crowdEnd) report(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wrong = err
}

var playedClients = netip.MustParsePrefix("192.0.2.0/24")

// clientOf returns the client that a frame is from or to.
func clientOf(frame []byte) (netip.Addr, bool) {
	var p wire.Packet
	wire.Decode(frame, &p)
	for _, addr := range []netip.Addr{p.Src.Netip(), p.Dst.Netip()} {
		if p.Version == 4 && playedClients.Contains(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// expect adds frames to those that must arrive.
func (e *crowdEnd) expect(frames [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range frames {
		client, _ := clientOf(f)
		e.expected[client] = append(e.expected[client], f)
	}
	e.left += len(frames)
}

// wait waits until no more than most are missing.
func (e *crowdEnd) wait(most int) error {
	late := time.After(20 * time.Second)
	for {
		e.mu.Lock()
		left, wrong := e.left, e.wrong
		e.mu.Unlock()
		if wrong != nil || left <= most {
			return wrong
		}
		select {
		case <-e.changed:
		case <-late:
			return fmt.Errorf("%d frames have not arrived", left)
		}
	}
}

// take returns what the hosts have made by side.
func (l *crowdLab) take() (made [2][][]byte) {
	made, l.made = l.made, [2][][]byte{}
	return made
}

// setUp agrees all calls, frame by frame.
func (l *crowdLab) setUp() {
	l.t.Helper()
	tap := l.world.Tap
	l.world.Tap = func(r tracktest.Result) {
		tap(r)
		l.play(1)
	}
	for i := range crowd {
		client := tracktest.NewHost(track.LAN, fmt.Sprintf("192.0.2.%d", i+1))
		call := l.world.Dial(client, l.world.Server).OutCall(uint16(i), uint16(100+i))
		call.Both()
		l.calls = append(l.calls, call)
	}
	l.world.Tap = tap
}

// talk makes rounds of GRE, control messages and fragments, of all calls in turn.
func (l *crowdLab) talk(rounds int) {
	l.t.Helper()
	for round := range rounds {
		for _, call := range l.calls {
			client, server := call.Conn.Ends[0].Host, call.Conn.Ends[1].Host
			call.GRE(client)
			call.GRE(server)
			switch round % 8 {
			case 3:
				call.Conn.Say(client, tracktest.EchoRequest(uint32(round)))
				call.Conn.Say(server, tracktest.EchoReply(uint32(round)))
			case 6:
				l.world.SendAll(track.LAN, call.Packet(client, 2000).IP().Fragment(client, server, 1000))
				l.world.SendAll(track.WAN, call.Packet(server, 2000).IP().Fragment(server, client, 1000))
			}
		}
		l.world.Events()
	}
}

// play has both sides send what was made at once, with no more than window frames
// on their way in either direction, and waits until all has arrived.
func (l *crowdLab) play(window int) {
	l.t.Helper()
	made := l.take()
	var both errgroup.Group
	for side, frames := range made {
		from, to := l.ends[side], l.ends[1-side]
		both.Go(func() error {
			for len(frames) > 0 {
				n := min(len(frames), max(window/2, 1))
				to.expect(frames[:n])
				for _, f := range frames[:n] {
					if err := from.injector.Send(f); err != nil {
						return err
					}
				}
				if err := to.wait(window / 2); err != nil {
					return fmt.Errorf("to the %s: %w", track.Side(1-side), err)
				}
				frames = frames[n:]
			}
			return to.wait(0)
		})
	}
	if err := both.Wait(); err != nil {
		l.t.Fatalf("%v\nthe box said: %s", err, l.said())
	}
}

// TestLabWorkersOrder: two workers in each direction keep the frames of every
// call in order, with its control connection and fragments, and lose none; also
// when a NIC was removed and is back.
func TestLabWorkersOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	l := newCrowdLab(t, twoWorkers)
	l.open()
	l.setUp()
	var listed []track.Call
	if l.ask(&listed, "calls"); len(listed) != crowd {
		t.Fatalf("the box lists %d calls, want %d", len(listed), crowd)
	}
	l.talk(400)
	l.play(2048)

	l.leave()
	if err := l.top.Box.Delete(bridgetest.WANNIC); err != nil {
		t.Fatal(err)
	}
	l.waitFor("nic-gone (wan)")
	if err := l.top.Lab.Veth(l.top.Box, bridgetest.WANNIC, l.top.Server, bridgetest.HostNIC); err != nil {
		t.Fatal(err)
	}
	l.waitFor("opened again")
	l.open()
	l.talk(100)
	l.play(2048)

	var stats boxStats
	l.ask(&stats, "stats")
	if stats.Dropped != 0 || stats.Reasons["call"] < 2*500*crowd || stats.Ports["lan"].Received < 500*crowd || stats.Ports["lan"].Sent < 500*crowd {
		t.Errorf("reasons %v, ports %+v", stats.Reasons, stats.Ports)
	}
	l.ask(&listed, "calls")
	for _, call := range listed {
		if call.Lost != 0 || call.Reordered != 0 {
			t.Errorf("call %d: %d packets lost, %d reordered", call.ID, call.Lost, call.Reordered)
		}
	}
	l.stop()
}

// TestCrowdedWorkers: what is said of more workers than CPUs.
func TestCrowdedWorkers(t *testing.T) {
	for _, c := range []struct {
		workers, cpus int
		crowded       bool
	}{{1, 1, false}, {1, 2, false}, {2, 2, true}, {2, 3, true}, {2, 4, false}, {4, 4, true}} {
		message, advice := crowdedWorkers(&config.Bridge{Workers: c.workers}, c.cpus)
		if (message != "") != c.crowded || (advice != "") != c.crowded {
			t.Errorf("%d workers, %d CPUs: %q; %q", c.workers, c.cpus, message, advice)
		}
	}
}

// TestLabWorkersMemory: check prints what all ports of a NIC take together.
func TestLabWorkersMemory(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{}, twoWorkers)
	var r report
	if err := json.Unmarshal([]byte(b.command(b.top.Box, 20*time.Second, b.binary, "check", "-json", "-config", b.config)), &r); err != nil {
		t.Fatal(err)
	}
	one := config.Default().Bridge
	lan := r.NICs["lan"]
	if want := 2 * portOptions(&one).Memory(lan.MTU).Ring; lan.Memory.Ports != 2 || lan.Memory.Ring != want {
		t.Errorf("memory %+v, want the rings of two ports, %d octets", lan.Memory, want)
	}
}

// TestLabWorkersWithout: several workers need CAP_BPF, and the box says so.
func TestLabWorkersWithout(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "closed", twoWorkers)
	out, err := b.top.Box.Run(t.Context(), "setpriv", "--bounding-set", "-bpf,-sys_admin", b.binary, "run", "-config", b.config)
	if want := "bridge.workers = 2 cannot be had here: share frames out: missing CAP_BPF"; err == nil || !bytes.Contains([]byte(out+err.Error()), []byte(want)) {
		t.Errorf("run without CAP_BPF: %v, %s", err, out)
	}
}
