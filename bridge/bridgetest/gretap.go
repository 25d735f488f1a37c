package bridgetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// GREFlow is what a GRETap tells packets apart by.
type GREFlow struct {
	Sent     bool // by the host that the NIC belongs to; false: received
	Src, Dst netip.Addr
	Version  uint8  // of the GRE header
	CallID   uint16 // of version 1; 0 for others
}

// GRETap counts the GRE packets in IPv4 that a NIC sends and receives, a
// fragmented one once. It sees nothing of what packet sockets send past the
// queueing discipline (PACKET_QDISC_BYPASS). It is safe for concurrent use.
type GRETap struct {
	what   string
	socket *os.File
	raw    syscall.RawConn
	done   chan struct{} // closed when the socket is read no more

	mu      sync.Mutex
	flows   map[GREFlow]uint64
	dropped uint64
	err     error
}

const (
	tapBuffer  = 16 << 20 // octets, in the kernel
	tapSnaplen = 128      // octets of a frame: all headers, options included
)

// greInIPv4 is a classic BPF program that takes frames with GRE in IPv4.
var greInIPv4 = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IP, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 9},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_GRE, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: tapSnaplen},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// TapGRE counts the GRE packets of a NIC from now on, until Close.
func (ns *Namespace) TapGRE(nic string) (*GRETap, error) {
	t := &GRETap{what: "tap of " + nic + " in " + ns.name, done: make(chan struct{}), flows: make(map[GREFlow]uint64)}
	err := ns.Do(func() error { return t.open(nic) })
	if err == nil {
		t.raw, err = t.socket.SyscallConn()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.what, err)
	}
	go t.read()
	return t, nil
}

// open makes the socket. It receives nothing before the filter is set: naming
// the protocol (bind) starts it.
func (t *GRETap) open(nic string) error {
	ifi, err := net.InterfaceByName(nic)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	t.socket = os.NewFile(uintptr(fd), t.what)
	program := &unix.SockFprog{Len: uint16(len(greInIPv4)), Filter: &greInIPv4[0]}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}),
	)
	if err != nil {
		t.socket.Close()
	}
	return err
}

// read counts until the socket is closed.
func (t *GRETap) read() {
	defer close(t.done)
	frame := make([]byte, tapSnaplen)
	for {
		var n int
		var from unix.Sockaddr
		var err error
		closed := t.raw.Read(func(fd uintptr) bool {
			n, from, err = unix.Recvfrom(int(fd), frame, 0)
			return !errors.Is(err, unix.EAGAIN)
		})
		if closed != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if err != nil || !ok {
			t.fail(fmt.Errorf("receive: %w", err))
			return
		}
		if flow, ok := greFlow(frame[:n]); ok {
			flow.Sent = link.Pkttype == unix.PACKET_OUTGOING
			t.count(flow)
		}
	}
}

// greFlow reads the headers of a frame that greInIPv4 took.
func greFlow(frame []byte) (f GREFlow, ok bool) {
	if len(frame) < 14+20 {
		return f, false
	}
	ip := frame[14:]
	header := int(ip[0]&0xf) * 4
	const offset = 0x1fff
	if len(ip) < header+4 || binary.BigEndian.Uint16(ip[6:])&offset != 0 {
		return f, false
	}
	f.Src, f.Dst = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	gre := ip[header:]
	if f.Version = gre[1] & 7; f.Version == 1 && len(gre) >= 8 {
		f.CallID = binary.BigEndian.Uint16(gre[6:])
	}
	return f, true
}

func (t *GRETap) count(f GREFlow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows[f]++
}

func (t *GRETap) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// Flows returns how many packets were seen of each kind so far. It is an error
// if some were not, because the kernel had no room for them.
func (t *GRETap) Flows() (map[GREFlow]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	closed := t.raw.Control(func(fd uintptr) {
		// Reading the statistics clears them.
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.dropped += uint64(s.Drops)
		}
	})
	err := errors.Join(t.err, closed)
	if t.dropped > 0 {
		err = errors.Join(err, fmt.Errorf("the kernel had no room for %d frames", t.dropped))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", t.what, err)
	}
	return maps.Clone(t.flows), err
}

// Close ends the tap.
func (t *GRETap) Close() error {
	err := t.socket.Close()
	<-t.done
	return err
}
