package bypass_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/fanout"
	"github.com/grewire/grewire/track"
)

const patience = 20 * time.Second

var (
	nics = [2]string{track.LAN: bridgetest.LANNIC, track.WAN: bridgetest.WANNIC}
	here = bypass.Options{NICs: nics}
)

// lab is a box in this process, between two hosts.
type lab struct {
	t      *testing.T
	top    *bridgetest.Topology
	bypass *bypass.Bypass
	// hang has a channel for each worker, by side: it hangs from its next Receive
	// on until what is put in there is closed.
	hang    [2][]chan chan struct{}
	options bypass.Options
	cancel  context.CancelFunc
	ended   chan error
}

func newLab(t *testing.T) *lab {
	t.Helper()
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, top: top, options: here}
}

// inBox runs f in the box's namespace.
func (l *lab) inBox(f func() error) {
	l.t.Helper()
	if err := l.top.Box.Do(f); err != nil {
		l.t.Fatal(err)
	}
}

// attach opens the bypass and puts it in place.
func (l *lab) attach(open bool) {
	l.t.Helper()
	l.inBox(func() (err error) {
		if l.bypass, err = bypass.Open(l.options, open); err != nil {
			return err
		}
		if err = l.bypass.Attach(track.LAN); err != nil {
			return err
		}
		return l.bypass.Attach(track.WAN)
	})
	b := l.bypass
	l.t.Cleanup(func() {
		if err := b.Close(); err != nil {
			l.t.Error(err)
		}
	})
}

// hangingPort is a port whose worker hangs when the test says so.
type hangingPort struct {
	*afpacket.Port
	hang chan chan struct{}
}

func (p *hangingPort) Receive(wait time.Duration) ([]track.Frame, error) {
	frames, err := p.Port.Receive(wait)
	select {
	case release := <-p.hang:
		<-release
	default:
	}
	return frames, err
}

// open opens a NIC for every worker.
func (l *lab) open(name string) (ports []*afpacket.Port) {
	l.t.Helper()
	l.inBox(func() error {
		if l.options.Workers < 2 {
			p, err := afpacket.Open(name, afpacket.Options{})
			ports = []*afpacket.Port{p}
			return err
		}
		share, err := fanout.Load()
		if err != nil {
			return err
		}
		defer share.Close()
		ports, err = afpacket.OpenGroup(name, l.options.Workers, share.FD(), afpacket.Options{})
		return err
	})
	return ports
}

// run starts the box.
func (l *lab) run() {
	l.t.Helper()
	if more := l.options.Workers; more > 1 { // as the program does
		was := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(was + 2*more)
		l.t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	}
	var ports [2][]bridge.Port
	for side, name := range nics {
		l.hang[side] = nil
		for _, p := range l.open(name) {
			hang := make(chan chan struct{}, 1)
			l.hang[side] = append(l.hang[side], hang)
			ports[side] = append(ports[side], &hangingPort{p, hang})
			l.t.Cleanup(func() { p.Close() })
		}
	}
	o := track.DefaultOptions()
	o.Workers = l.options.Workers
	box := bridge.NewBox(bridge.Options{
		LAN: ports[track.LAN], WAN: ports[track.WAN], Engine: bridge.NewEngine(o, func(track.Event) {}),
		Guards: [2][]bridge.Guard{l.bypass.Guards(track.LAN), l.bypass.Guards(track.WAN)},
	})
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.ended = cancel, make(chan error, 1)
	go func() { l.ended <- box.Run(ctx) }()
	l.t.Cleanup(l.stop)
}

func (l *lab) stop() {
	if l.cancel != nil {
		l.cancel()
		if err := <-l.ended; err != nil {
			l.t.Error(err)
		}
		l.cancel = nil
	}
}

func (l *lab) status() (s bypass.Status) {
	l.t.Helper()
	l.inBox(func() (err error) { s, err = l.bypass.Status(); return err })
	return s
}

// until waits for a status.
func (l *lab) until(what string, is func(*bypass.Status) bool) {
	l.t.Helper()
	deadline := time.After(patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		s := l.status()
		if is(&s) {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			l.t.Fatalf("never %s: %+v", what, s)
		}
	}
}

// ipReceived is how many IP datagrams the host of the box has got
// (ipInReceives of RFC 4293).
func (l *lab) ipReceived() (n int) {
	l.t.Helper()
	l.inBox(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var names, values []string
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); f[0] == "Ip:" {
				names, values = values, f
			}
		}
		for i, name := range names {
			if name == "InReceives" {
				_, err = fmt.Sscan(values[i], &n)
				return err
			}
		}
		return fmt.Errorf("no InReceives in %s", text)
	})
	return n
}

// TestHostStaysOut: a host that has an address on the NIC, forwards, and
// listens, neither answers nor takes what comes in; without the programs it
// does all of it, so that the test would see it.
func TestHostStaysOut(t *testing.T) {
	const boxAddr = "10.77.0.1"
	l := newLab(t)
	for _, err := range []error{
		l.top.Box.Address(bridgetest.LANNIC, boxAddr+"/24"),
		l.top.Box.Sysctl("net.ipv4.ip_forward", "1"),
		l.top.Box.Sysctl("net.ipv4.conf.all.proxy_arp", "1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var heard net.PacketConn
	l.inBox(func() (err error) { heard, err = net.ListenPacket("udp4", "0.0.0.0:7"); return err })
	defer heard.Close()
	var accepts net.Listener
	l.inBox(func() (err error) { accepts, err = net.Listen("tcp4", "0.0.0.0:7"); return err })
	defer accepts.Close()
	l.attach(false)

	before := l.ipReceived()
	// ARP for the box's own address.
	if l.reaches(boxAddr) {
		t.Error("the host answers ARP or ICMP")
	}
	// IP to the box, and through it, for a client that knows its MAC.
	mac := l.top.Box.HardwareAddr(bridgetest.LANNIC).String()
	for _, to := range []string{boxAddr, bridgetest.ServerAddr} {
		l.client("ip", "neigh", "replace", to, "lladdr", mac, "dev", bridgetest.HostNIC)
	}
	dropped := l.status().Sides["lan"].Dropped.Frames
	const probes = 3
	for _, to := range []string{boxAddr, bridgetest.ServerAddr} {
		for range probes {
			l.datagram(to)
		}
	}
	if l.connects(boxAddr) {
		t.Error("the host accepts a connection")
	}
	l.until("dropped", func(s *bypass.Status) bool { return s.Sides["lan"].Dropped.Frames >= dropped+2*probes })
	if got := l.ipReceived(); got != before {
		t.Errorf("the host got %d datagrams", got-before)
	}
	if s := l.status().Sides["lan"]; s.Redirected.Frames != 0 || s.Bypassing {
		t.Errorf("closed: %+v", s)
	}

	l.inBox(l.bypass.Detach)
	if !l.connects(boxAddr) {
		t.Error("no connection to the host without the programs: the test sees nothing")
	}
	l.datagram(boxAddr)
	_ = heard.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := heard.ReadFrom(make([]byte, 16)); err != nil {
		t.Errorf("no datagram without the programs: %v", err)
	}
	if l.ipReceived() == before {
		t.Error("the host got nothing without the programs: the test sees nothing")
	}
}

func (l *lab) client(args ...string) {
	l.t.Helper()
	if _, err := l.top.Client.Run(l.t.Context(), args[0], args[1:]...); err != nil {
		l.t.Fatal(err)
	}
}

// reaches pings from the client.
func (l *lab) reaches(addr string) bool {
	_, err := l.top.Client.Run(l.t.Context(), "ping", "-q", "-c", "3", "-i", "0.1", "-W", "1", addr)
	return err == nil
}

func (l *lab) datagram(to string) {
	l.t.Helper()
	err := l.top.Client.Do(func() error {
		c, err := net.Dial("udp4", to+":7")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) connects(to string) bool {
	return l.top.Client.Do(func() error {
		c, err := net.DialTimeout("tcp4", to+":7", 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	}) == nil
}

func indexOf(name string) (int, error) {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return nic.Index, nil
}

// promiscuous tells whether the NIC of the LAN side was set so.
func (l *lab) promiscuous() bool {
	l.t.Helper()
	nic, err := l.top.Box.Netlink().LinkByName(bridgetest.LANNIC)
	if err != nil {
		l.t.Fatal(err)
	}
	return nic.Attrs().RawFlags&unix.IFF_PROMISC != 0
}
