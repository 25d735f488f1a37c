package afpacket

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/fanout"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// openGroup opens a group of ports, and closes it with the test.
func (ns *namespace) openGroup(t testing.TB, name string, n int, o Options) (ports []*Port) {
	t.Helper()
	share := must(fanout.Load())(t)
	defer share.Close() // the group keeps the program
	ns.do(t, func() { ports = must(OpenGroup(name, n, share.FD(), o))(t) })
	t.Cleanup(func() { check(t, closeAll(ports)) })
	return ports
}

// pairFrames are n numbered frames of each of several pairs of hosts, in turn,
// plain, tagged once and twice, and in fragments.
func pairFrames(pairs, n int) (frames [][]byte) {
	server := tracktest.NewHost(track.LAN, "198.51.100.1")
	for i := range n {
		for pair := range pairs {
			client := tracktest.NewHost(track.WAN, fmt.Sprintf("192.0.2.%d", pair+1))
			switch i % 4 {
			case 1:
				client = client.Tagged(tracktest.Tag{TPID: 0x8100, TCI: 7})
			case 2:
				client = client.Tagged(tracktest.Tag{TPID: 0x88a8, TCI: 8}, tracktest.Tag{TPID: 0x8100, TCI: 9})
			case 3:
				frames = append(frames, tracktest.IP{ID: uint32(i + 1), Proto: wire.ProtocolGRE, Payload: make([]byte, 64)}.Piece(client, server, 32, 64, false))
				continue
			}
			frames = append(frames, tracktest.IP{ID: uint32(i + 1), Proto: wire.ProtocolGRE, Payload: make([]byte, 40)}.Frame(client, server))
		}
	}
	return frames
}

// numberedBy tells a frame of pairFrames.
func numberedBy(t testing.TB, f *track.Frame) (pair, n int) {
	t.Helper()
	var p wire.Packet
	wire.Decode(f.Data, &p)
	if p.Version != 4 {
		t.Fatalf("received % x", f.Data)
	}
	return int(p.Src.V4() & 0xff), int(binary.BigEndian.Uint16(f.Data[p.L3+4:])) - 1
}

// expectShared receives all frames of pairFrames and checks that each pair has
// one port, by number, and comes in order.
func expectShared(t testing.TB, ports []*Port, pairs, n int) (portOf map[int]int) {
	t.Helper()
	portOf, next := make(map[int]int), make(map[int]int)
	got := 0
	for deadline := time.Now().Add(patience); got < pairs*n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames", got, pairs*n)
		}
		for number, port := range ports {
			frames, err := port.Receive(time.Millisecond)
			check(t, err)
			for i := range frames {
				pair, n := numberedBy(t, &frames[i])
				if at, known := portOf[pair]; known && at != number {
					t.Fatalf("frame %d of pair %d comes by port %d, those before by %d", n, pair, number, at)
				}
				if n != next[pair] {
					t.Fatalf("frame %d of pair %d, want %d", n, pair, next[pair])
				}
				portOf[pair], next[pair] = number, n+1
				got++
			}
		}
	}
	used := make(map[int]bool)
	for _, number := range portOf {
		used[number] = true
	}
	if len(used) != len(ports) {
		t.Errorf("%d pairs use %d of %d ports", pairs, len(used), len(ports))
	}
	return portOf
}

func same(t testing.TB, what string, got, want map[int]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: pairs have the ports %v, were %v", what, got, want)
	}
}

func TestGroup(t *testing.T) { onBackends(t, testGroup) }

// testGroup: frames of a pair of hosts have one port, whatever is around them,
// also when the NIC was down, and in another group.
func testGroup(t *testing.T, on Backend) {
	t.Parallel()
	const pairs, n = 16, 40
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	ports := ns.openGroup(t, "nic", 3, Options{Backend: on})
	tap := peer.tap(t, "peer")
	send := func() {
		for _, f := range pairFrames(pairs, n) {
			tap.send(f)
		}
	}
	send()
	want := expectShared(t, ports, pairs, n)

	check(t, ns.nl.LinkSetDown(ns.link(t, "nic")))
	for _, p := range ports {
		expectDown(t, p)
	}
	check(t, ns.nl.LinkSetUp(ns.link(t, "nic")))
	ns.ready(t, "nic")
	peer.ready(t, "peer")
	send()
	same(t, "after it was down", expectShared(t, ports, pairs, n), want)

	other := ns.openGroup(t, "nic", 3, Options{Backend: on})
	send()
	same(t, "in another group", expectShared(t, other, pairs, n), want)
	same(t, "beside another group", expectShared(t, ports, pairs, n), want)

	sum := Stats{}
	for _, p := range ports {
		sum = sum.Plus(p.Stats())
	}
	if sum.Received != 3*pairs*n || sum.Drops != 0 || sum.Truncated != 0 {
		t.Errorf("all ports together: %+v, want %d received", sum, 3*pairs*n)
	}
}

func TestGroupSends(t *testing.T) { onBackends(t, testGroupSends) }

// testGroupSends: what the ports of a group send, and what others send by the
// NIC, comes back to none of them.
func testGroupSends(t *testing.T, on Backend) {
	t.Parallel()
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	ports := ns.openGroup(t, "nic", 2, Options{Backend: on})
	tap, host := peer.tap(t, "peer"), ns.tap(t, "nic")
	for i, p := range ports {
		want := pairFrames(1, i+1)[i]
		f := &track.Frame{Data: want}
		check(t, p.Send([]*track.Frame{f}))
		if got := tap.recv(patience); fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
			t.Errorf("the peer got % x, want % x", got, want)
		}
	}
	host.send(pairFrames(1, 1)[0])
	if tap.recv(patience) == nil {
		t.Error("the peer got nothing of the host")
	}
	for i, p := range ports {
		if frames, err := p.Receive(0); err != nil || len(frames) != 0 {
			t.Errorf("port %d received %d frames, %v", i, len(frames), err)
		}
	}
}

// TestGroupWhileDown opens a group on a NIC that is down, which kernels since
// Linux 6.13 allow; those before say what they want.
func TestGroupWhileDown(t *testing.T) { onBackends(t, testGroupWhileDown) }

func testGroupWhileDown(t *testing.T, on Backend) {
	t.Parallel()
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	check(t, ns.nl.LinkSetDown(ns.link(t, "nic")))
	ports := ns.openGroup(t, "nic", 2, Options{Backend: on})
	for _, p := range ports {
		expectDown(t, p)
	}
	check(t, ns.nl.LinkSetUp(ns.link(t, "nic")))
	ns.ready(t, "nic")
	peer.ready(t, "peer")
	tap := peer.tap(t, "peer")
	for _, f := range pairFrames(16, 4) {
		tap.send(f)
	}
	expectShared(t, ports, 16, 4)
}

// TestGroupFails: a program that is none leaves nothing open.
func TestGroupFails(t *testing.T) {
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	ns.do(t, func() {
		if ports, err := OpenGroup("nic", 2, -1, Options{}); err == nil || ports != nil {
			t.Errorf("opened %v, %v", ports, err)
		}
		if _, err := OpenGroup("none", 2, -1, Options{}); err == nil {
			t.Error("opened a NIC that does not exist")
		}
	})
}

// TestGroupFromTheStart opens a group under load: no frame is received before
// all ports are there, so that each pair comes in order from the first one on.
func TestGroupFromTheStart(t *testing.T) {
	const pairs = 16
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	tap := peer.tap(t, "peer")
	frames := pairFrames(pairs, 20000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, f := range frames {
			tap.send(f)
		}
	}()
	ports := ns.openGroup(t, "nic", 4, Options{})
	<-done
	portOf, last, got := make(map[int]int), make(map[int]int), 0
	for number, port := range ports {
		for {
			batch, err := port.Receive(0)
			check(t, err)
			if len(batch) == 0 {
				break
			}
			got += len(batch)
			for i := range batch {
				pair, n := numberedBy(t, &batch[i])
				if at, known := portOf[pair]; known && at != number || known && n <= last[pair] {
					t.Fatalf("frame %d of pair %d by port %d; before: %d by port %d", n, pair, number, last[pair], at)
				}
				portOf[pair], last[pair] = number, n
			}
		}
	}
	t.Logf("%d of %d frames came once the group was there", got, len(frames))
	if got == 0 {
		t.Error("nothing was received: the test does not test")
	}
}
