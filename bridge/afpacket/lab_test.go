package afpacket

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
)

// patience is how long a test waits for something that must happen.
const patience = 10 * time.Second

// backends are what a Port must be the same over.
var backends = []Backend{MMsg, Ring}

// onBackends runs a test over each of them.
func onBackends(t *testing.T, test func(*testing.T, Backend)) {
	for _, on := range backends {
		t.Run(string(on), func(t *testing.T) { test(t, on) })
	}
}

// needRoot skips a test that cannot work without privileges.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: CAP_SYS_ADMIN for a network namespace, CAP_NET_ADMIN for veth pairs, CAP_NET_RAW for packet sockets")
	}
}

// namespace is a network namespace of the test's own. It has no name and ends
// with the last descriptor and socket in it, at the latest with the process.
type namespace struct {
	handle netns.NsHandle
	nl     *netlink.Handle
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	home := must(netns.Get())(t)
	ns := &namespace{handle: must(netns.New())(t)} // enters it
	for _, which := range []string{"all", "default"} {
		// No router solicitations between the frames of the test. The file is
		// missing on a kernel without IPv6.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
	}
	check(t, netns.Set(home))
	home.Close()
	runtime.UnlockOSThread()
	ns.nl = must(netlink.NewHandleAt(ns.handle))(t)
	t.Cleanup(func() {
		ns.nl.Close()
		ns.handle.Close()
	})
	return ns
}

// do runs f on a thread that is in the namespace: sockets that f opens stay
// there.
func (ns *namespace) do(t testing.TB, f func()) {
	t.Helper()
	runtime.LockOSThread()
	home := must(netns.Get())(t)
	check(t, netns.Set(ns.handle))
	defer func() {
		check(t, netns.Set(home))
		home.Close()
		runtime.UnlockOSThread()
	}()
	f()
}

func (ns *namespace) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	return must(ns.nl.LinkByName(name))(t)
}

// veth joins two namespaces, with all offloads as they are by default.
func veth(t testing.TB, a *namespace, aName string, b *namespace, bName string, mtu int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = aName, mtu
	check(t, a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerMTU: uint32(mtu),
		PeerNamespace: netlink.NsFd(b.handle)}))
	check(t, a.nl.LinkSetUp(a.link(t, aName)))
	check(t, b.nl.LinkSetUp(b.link(t, bName)))
	a.ready(t, aName)
	b.ready(t, bName)
}

// ready waits until the kernel has noticed the carrier: a NIC that is up
// before eats what is sent, without a word (noop_qdisc).
func (ns *namespace) ready(t testing.TB, name string) {
	t.Helper()
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer func() {
		close(done)
		for range updates { // until the subscription is closed
		}
	}()
	check(t, netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{Namespace: &ns.handle, ListExisting: true}))
	deadline := time.After(patience)
	for {
		select {
		case u := <-updates:
			if u.Attrs().Name == name && u.Attrs().OperState == netlink.OperUp {
				return
			}
		case <-deadline:
			t.Fatalf("%s is not up after %v", name, patience)
		}
	}
}

func (ns *namespace) address(t testing.TB, name, cidr string) {
	t.Helper()
	check(t, ns.nl.AddrAdd(ns.link(t, name), must(netlink.ParseAddr(cidr))(t)))
}

func (ns *namespace) open(t testing.TB, name string, o Options) *Port {
	t.Helper()
	var p *Port
	ns.do(t, func() { p = must(Open(name, o))(t) })
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

// inline is client - box - server over two veth pairs, with a port on each of
// the box's NICs.
type inline struct {
	client, box, server *namespace // NICs c0; lan, wan; s0
	lan, wan            *Port
}

func newInline(t testing.TB, mtu int, o Options) *inline {
	t.Helper()
	l := &inline{client: newNamespace(t), box: newNamespace(t), server: newNamespace(t)}
	veth(t, l.client, "c0", l.box, "lan", mtu)
	veth(t, l.box, "wan", l.server, "s0", mtu)
	l.lan = l.box.open(t, "lan", o)
	l.wan = l.box.open(t, "wan", o)
	return l
}

// tap is a packet socket without any of this package's code.
type tap struct {
	fd int
	t  testing.TB
}

func (ns *namespace) tap(t testing.TB, name string) *tap {
	t.Helper()
	s := &tap{t: t}
	ns.do(t, func() {
		s.fd = must(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0))(t)
		check(t, unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
		check(t, unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
		check(t, unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL),
			Ifindex: must(net.InterfaceByName(name))(t).Index}))
	})
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

func (s *tap) send(frame []byte) {
	s.t.Helper()
	check(s.t, unix.Send(s.fd, frame, 0))
}

// recv returns the next frame, its VLAN tag in place, or nil after wait.
func (s *tap) recv(wait time.Duration) []byte {
	s.t.Helper()
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(wait); ; {
		ts := unix.NsecToTimespec(max(0, time.Until(deadline).Nanoseconds()))
		n, err := unix.Ppoll(fds, &ts, nil)
		if err == unix.EINTR {
			continue
		}
		check(s.t, err)
		if n == 0 {
			return nil
		}
		break
	}
	data, oob := make([]byte, 1<<17), make([]byte, 256)
	n, oobn, flags, _, err := unix.Recvmsg(s.fd, data, oob, unix.MSG_DONTWAIT)
	check(s.t, err)
	if flags&unix.MSG_TRUNC != 0 {
		s.t.Fatal("tap: frame does not fit")
	}
	return withTag(s.t, data[:n], oob[:oobn])
}

// withTag is the test's own reading of PACKET_AUXDATA.
func withTag(t testing.TB, data, oob []byte) []byte {
	t.Helper()
	for _, m := range must(unix.ParseSocketControlMessage(oob))(t) {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA {
			continue
		}
		if status := hostUint(m.Data[:4]); status&unix.TP_STATUS_VLAN_VALID != 0 {
			tci, tpid := hostUint(m.Data[16:18]), hostUint(m.Data[18:20])
			tag := []byte{byte(tpid >> 8), byte(tpid), byte(tci >> 8), byte(tci)}
			return append(append(append([]byte{}, data[:12]...), tag...), data[12:]...)
		}
	}
	return data
}

func hostUint(b []byte) (v uint64) {
	for i := range b {
		if networkOrder(1) == 1 { // big endian
			v = v<<8 | uint64(b[i])
		} else {
			v |= uint64(b[i]) << (8 * i)
		}
	}
	return v
}

// receive returns the next frames of the port.
func receive(t testing.TB, p *Port) []track.Frame {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		frames, err := p.Receive(time.Until(deadline))
		check(t, err)
		if len(frames) > 0 {
			return frames
		}
	}
	t.Fatalf("%s: no frame within %v", p.Name(), patience)
	return nil
}

// pointers is what a Lane makes of a batch that passes.
func pointers(frames []track.Frame) []*track.Frame {
	out := make([]*track.Frame, len(frames))
	for i := range frames {
		out[i] = &frames[i]
	}
	return out
}

// forward runs the two directions of a box until the test is over. Each frame
// is shown to see (on the direction's goroutine) before it is sent.
func (l *inline) forward(t testing.TB, see func(from *Port, f *track.Frame)) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan error, 2)
	direction := func(from, to *Port) {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			frames, err := from.Receive(patience)
			if err != nil {
				done <- fmt.Errorf("receive from %s: %w", from.Name(), err)
				return
			}
			for i := range frames {
				see(from, &frames[i])
			}
			if err := to.Send(pointers(frames)); err != nil {
				done <- fmt.Errorf("send to %s: %w", to.Name(), err)
				return
			}
		}
	}
	go direction(l.lan, l.wan)
	go direction(l.wan, l.lan)
	t.Cleanup(func() {
		close(stop)
		l.lan.Wake()
		l.wan.Wake()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check(t, err)
		return v
	}
}
