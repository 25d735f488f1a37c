package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// A probe sends numbered GRE frames of 60 octets at a steady pace from the
// client's NIC, each with the time of day at which it was sent. The server's
// kernel notes when each came in at its NIC (SO_TIMESTAMPNS) and keeps it in the
// queue of a packet socket, which is read when all have been sent: no receiver
// has to be awake, and none takes a CPU from what is measured.
type probe struct {
	send, receive int // packet sockets
	frame         []byte
	number, at    []byte // where in frame they are
	count         int
}

// probeGRE is where the GRE header is, behind what translation may change.
const probeGRE = 34

// probeOctets are the number and the time at the end of a frame.
const probeOctets = 16

// probeLate is how far the sender may be behind before it lets frames out
// rather than send them in a burst.
const probeLate = time.Millisecond

func newProbe(top *bridgetest.Topology, callID uint16) (*probe, error) {
	p := &probe{send: -1, receive: -1}
	client, server := tracktest.NewHost(track.LAN, bridgetest.ClientAddr(0)), tracktest.NewHost(track.WAN, bridgetest.ServerAddr)
	// Its MAC address is nobody's, so that the server's IP stack stays out of it.
	p.frame = tracktest.GRE{CallID: callID, HasSeq: true, Payload: make([]byte, probeOctets)}.IP().Frame(client, server)
	end := len(p.frame)
	p.number, p.at = p.frame[end-16:end-8], p.frame[end-8:]
	err := top.Client.Do(func() (err error) { p.send, err = probeSocket(0); return err })
	if err == nil {
		err = top.Server.Do(func() (err error) { p.receive, err = probeSocket(unix.ETH_P_IP); return err })
	}
	if err == nil {
		err = errors.Join(
			unix.SetsockoptSockFprog(p.receive, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(onlyGRE)), Filter: &onlyGRE[0]}),
			unix.SetsockoptInt(p.receive, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(p.receive, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128<<20),
			unix.SetsockoptTimeval(p.receive, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 300_000}),
		)
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("probe: %w", err)
	}
	return p, nil
}

// onlyGRE takes IPv4 with GRE: what else crosses has no place in the queue.
var onlyGRE = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 9},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_GRE, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// probeSocket opens a packet socket on the host's NIC, which receives what is
// of that protocol; nothing for 0.
func probeSocket(protocol uint16) (int, error) {
	ifi, err := net.InterfaceByName(bridgetest.HostNIC)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var order [2]byte
	binary.BigEndian.PutUint16(order[:], protocol)
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(order[:]), Ifindex: ifi.Index})
}

func (p *probe) close() {
	for _, fd := range []int{p.send, p.receive} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// probeDelay sends frames through what joins the hosts, for a while and from one
// CPU, and returns what became of them.
func probeDelay(top *bridgetest.Topology, callID uint16, rate, cpu int, lasting time.Duration) (*delays, error) {
	p, err := newProbe(top, callID)
	if err != nil {
		return nil, err
	}
	defer p.close()
	sent := make(chan error)
	go func() { sent <- p.sendAll(rate, cpu, lasting) }()
	if err := <-sent; err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return p.collect()
}

// sendAll sends from a thread of its own, which ends with it. Timers of
// ordinary threads may be 50 us late; this one's are not.
func (p *probe) sendAll(rate, cpu int, lasting time.Duration) error {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(cpu)
	if err := errors.Join(unix.SchedSetaffinity(0, &one), unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)); err != nil {
		return err
	}
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail: every kernel has it
	gap, due, end := int64(time.Second)/int64(rate), now.Nano(), now.Nano()+int64(lasting)
	for p.count = 0; due < end; p.count++ {
		due += gap
		at := unix.NsecToTimespec(due)
		for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil), unix.EINTR) {
		}
		binary.BigEndian.PutUint64(p.number, uint64(p.count))
		binary.BigEndian.PutUint64(p.at, uint64(time.Now().UnixNano())) // no system call
		if _, err := unix.Write(p.send, p.frame); err != nil {
			return err
		}
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		if now.Nano() > due+int64(probeLate) {
			due = now.Nano()
		}
	}
	return nil
}

// delays are what became of the frames of a probe.
type delays struct {
	sent, lost, twice, late int
	sorted                  []time.Duration
}

// at returns the delay that a share of the frames has at most.
func (d *delays) at(share float64) time.Duration {
	if len(d.sorted) == 0 {
		return 0
	}
	return d.sorted[int(share*float64(len(d.sorted)-1))]
}

// collect reads what has come until nothing more does.
func (p *probe) collect() (*delays, error) {
	d := &delays{sent: p.count}
	seen, highest := make([]bool, p.count), -1
	data, oob := make([]byte, 2*len(p.frame)), make([]byte, 256)
	for {
		n, oobn, _, _, err := unix.Recvmsg(p.receive, data, oob, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
		if n != len(p.frame) || !slices.Equal(data[probeGRE:n-probeOctets], p.frame[probeGRE:n-probeOctets]) {
			continue // somebody else's
		}
		number := int(binary.BigEndian.Uint64(data[n-16:]))
		came, err := stamp(oob[:oobn])
		if err != nil || number >= p.count {
			return nil, fmt.Errorf("probe: frame %d of %d: %v", number, p.count, err)
		}
		switch {
		case seen[number]:
			d.twice++
		case number < highest:
			d.late++
		}
		seen[number], highest = true, max(highest, number)
		d.sorted = append(d.sorted, time.Duration(came-int64(binary.BigEndian.Uint64(data[n-8:]))))
	}
	d.lost = d.sent - (len(d.sorted) - d.twice)
	slices.Sort(d.sorted)
	return d, nil
}

// stamp finds the kernel's time stamp in control messages, in nanoseconds since
// 1970.
func stamp(oob []byte) (int64, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS {
			var t unix.Timespec // two words
			if _, err := binary.Decode(m.Data, binary.NativeEndian, &t); err != nil {
				return 0, err
			}
			return t.Nano(), nil
		}
	}
	return 0, errors.New("no time stamp")
}

// onCPU returns how long the threads of a process have been on a CPU so far.
func onCPU(pid int) (sum time.Duration, err error) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is right, so no error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += time.Duration(ns)
	}
	if sum == 0 {
		return 0, fmt.Errorf("process %d has used no CPU: /proc/PID/task/*/schedstat", pid)
	}
	return sum, nil
}
