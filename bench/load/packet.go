package load

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/afpacket"
)

const (
	// packetBatch is how many frames sendmmsg gets at once.
	packetBatch = 64
	// packetBuffer is how many octets of kernel memory sent frames may take that
	// the device has not done with.
	packetBuffer = 8 << 20
)

// socket is a packet socket that only sends, with the messages it sends.
type socket struct {
	fd   int
	msgs [packetBatch]unix.Mmsghdr
	iovs [packetBatch]unix.Iovec
	data [packetBatch][]byte
}

func openSocket(from End, index int) (*socket, error) {
	s := &socket{fd: -1}
	err := from.Do(func() (err error) {
		s.fd, err = listen(index)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, packetBuffer),
	)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for i := range s.msgs {
		s.msgs[i].Hdr.Iov = &s.iovs[i]
		s.msgs[i].Hdr.SetIovlen(1)
	}
	return s, nil
}

// listen opens a packet socket that receives nothing, and takes a descriptor of
// our own for it. The one of packet.Conn is in the Go runtime's epoll set, where
// every frame that the kernel has done with would wake a thread.
func listen(index int) (fd int, err error) {
	ifi, err := net.InterfaceByIndex(index)
	if err != nil {
		return -1, err
	}
	conn, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	closed := raw.Control(func(connFD uintptr) { fd, err = unix.FcntlInt(connFD, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(closed, err)
}

func (s *socket) close() error { return unix.Close(s.fd) }

// load has the batch be made of copies of the template.
func (s *socket) load(template []byte) {
	for i := range s.data {
		s.data[i] = append(s.data[i][:0], template...)
		s.iovs[i].Base = &s.data[i][0]
	}
}

// send hands the first n frames to the kernel and returns how often it had no
// room for them. A frame that it does not take at all is an error.
func (s *socket) send(n int) (refused uint64, err error) {
	for at := 0; at < n; {
		k, err := afpacket.SendMMsg(s.fd, s.msgs[at:n])
		switch {
		case err == nil:
			at += k
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			refused++
			s.wait()
		default:
			return refused, err
		}
	}
	return refused, nil
}

// wait waits for room, a millisecond at most: a full queue of the NIC's gives no
// sign.
func (s *socket) wait() {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	_, _ = unix.Poll(fds, 1) // whatever it says, the caller tries again
}

// sendPacket sends by the packet socket.
func (p *Path) sendPacket(ctx context.Context, l *Load) (sent Sent, err error) {
	p.socket.load(p.template)
	pace := newPace(l)
	for turn := 0; sent.Frames < l.Limit && ctx.Err() == nil; {
		n, now := pace.next(sent.Frames)
		if n == 0 {
			break
		}
		for i := range n {
			f := &p.flows[l.First+turn]
			size := f.sizeOf(p.sizes) - FCS
			p.socket.iovs[i].SetLen(size)
			f.patch(p.socket.data[i][:size], now)
			sent.Octets += uint64(size)
			if turn++; turn == l.Count {
				turn = 0
			}
		}
		refused, err := p.socket.send(n)
		if sent.Refused += refused; err != nil {
			return sent, err
		}
		sent.Frames += uint64(n)
	}
	sent.Slipped, sent.Lasting = pace.slipped, min(pace.since(), l.Lasting)
	return sent, nil
}

// pace says when which frames are due.
type pace struct {
	load    *Load
	began   time.Time
	offset  int64 // of CLOCK_MONOTONIC from began, ns
	gap     float64
	start   float64 // when frame 0 was due, ns from began; later by what slipped
	batch   int
	slipped time.Duration
}

const (
	// late is how far a sender may be behind before it lets frames out rather
	// than send them in a burst, as in load.c.
	late = time.Millisecond
	// together is how much time the frames of a batch may be of. Timed ones are
	// sent one by one.
	together = 20 * time.Microsecond
	// nap is the shortest wait in which the sender sleeps.
	nap = 60 * time.Microsecond
)

func newPace(l *Load) *pace {
	p := &pace{load: l, batch: packetBatch}
	if l.Rate > 0 {
		p.gap = float64(time.Second) / l.Rate
		p.batch = max(1, min(packetBatch, int(float64(together)/p.gap)))
	}
	if l.Timed {
		p.batch = 1
	}
	p.began, p.offset = time.Now(), monotonic()
	return p
}

func (p *pace) since() time.Duration { return time.Since(p.began) }

// next waits until frames are due and returns how many, none when the load is
// over, and the time to write into them, 0 if they are not timed.
func (p *pace) next(sent uint64) (n int, at int64) {
	due := time.Duration(p.start + float64(sent)*p.gap)
	if due >= p.load.Lasting {
		return 0, 0
	}
	now := p.waitFor(due)
	if behind := now - due; p.gap > 0 && behind > late {
		p.slipped += behind
		p.start += float64(behind)
	}
	if now >= p.load.Lasting {
		return 0, 0
	}
	if n = int(min(uint64(p.batch), p.load.Limit-sent)); p.load.Timed {
		at = p.offset + int64(now)
	}
	return n, at
}

// waitFor sleeps through the longer part of a wait and looks at the clock for the
// rest of it, since waking up may take tens of microseconds.
func (p *pace) waitFor(due time.Duration) (now time.Duration) {
	for now = p.since(); now < due; now = p.since() {
		if rest := due - now; rest > nap {
			pause := unix.NsecToTimespec(int64(rest - nap/2))
			_ = unix.Nanosleep(&pause, nil) // a signal ends it early, which the loop sees
		}
	}
	return now
}
