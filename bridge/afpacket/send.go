package afpacket

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// fullWait is how long one Send waits at most, once, for room in the egress
// queue. The box would rather drop a frame, as a full wire does, than let the
// ingress side run over.
const fullWait = time.Millisecond

// sender is the sending half of a Port, all allocated once.
type sender struct {
	mu     sync.Mutex // held by Send
	msgs   []unix.Mmsghdr
	iovs   [bridge.BatchSize][2]unix.Iovec
	hdrs   [bridge.BatchSize][vnetHdrLen]byte
	queued [bridge.BatchSize]*track.Frame // the frames of msgs
	plain  [bridge.BatchSize]bool         // whether they go without a virtio_net_hdr
	n      int                            // how many
	outlet [2]int                         // sockets: with virtio_net_hdr, and without
	fds    [1]unix.PollFd

	now   func() time.Time
	asked time.Time // when Send last asked for the MTU

	mtu           atomic.Int32
	sent, refused atomic.Uint64
}

func newSender(mtu, fd, plain int) *sender {
	s := &sender{msgs: make([]unix.Mmsghdr, bridge.BatchSize), outlet: [...]int{fd, plain}, now: time.Now}
	s.mtu.Store(int32(mtu))
	for i := range s.msgs {
		iov := &s.iovs[i]
		iov[0].Base = &s.hdrs[i][0]
		iov[0].SetLen(vnetHdrLen)
	}
	return s
}

// Send implements bridge.Port. A frame that does not go gets Verdict Drop and
//
//   - ReasonEgressMTU: longer than the NIC takes (EMSGSIZE), or the segments
//     to be made of it are. A change of the MTU is followed within a second;
//   - ReasonEgressFull: the queue was full and stayed full (ENOBUFS, EAGAIN;
//     one Send waits once, a millisecond at most), or the kernel cannot send
//     such a frame at all: shorter than 14 octets, or its Offload contradicts
//     its bytes (EINVAL; Stats counts these as Refused);
//   - ReasonEgressDown: the NIC is down or gone. Send returns
//     bridge.ErrPortDown then, with the whole rest dropped; net.ErrClosed,
//     with all of it dropped, once the port is closed.
//
// Whatever the caller decided, a Truncated frame and one whose Verdict is Drop
// already are never sent.
func (p *Port) Send(frames []*track.Frame) error {
	p.tx.mu.Lock()
	defer p.tx.mu.Unlock()
	if p.closed.Load() {
		refuseAll(frames, track.ReasonEgressDown)
		return net.ErrClosed
	}
	full, down := false, false
	for len(frames) > 0 {
		n := min(len(frames), bridge.BatchSize)
		if down {
			refuseAll(frames[:n], track.ReasonEgressDown)
		} else {
			p.load(frames[:n])
			full, down = p.flush(full)
		}
		frames = frames[n:]
	}
	if down {
		p.down.Store(true)
		return bridge.ErrPortDown
	}
	return nil
}

// load fills the messages with the frames that can be sent.
func (p *Port) load(frames []*track.Frame) {
	s := p.tx
	s.n = 0
	for _, f := range frames {
		switch {
		case f.Verdict == track.Drop:
		case f.Truncated:
			refuse(f, track.ReasonTruncated)
		case len(f.Data) < etherLen:
			s.refused.Add(1)
			refuse(f, track.ReasonEgressFull)
		case p.tooLong(f):
			refuse(f, track.ReasonEgressMTU)
		default:
			s.push(f)
		}
	}
}

// push adds a frame. One of which nothing is left to be done goes by the socket
// that expects no virtio_net_hdr: a twelfth less work for the kernel.
func (s *sender) push(f *track.Frame) {
	i := s.n
	iov := &s.iovs[i]
	iov[1].Base = &f.Data[0]
	iov[1].SetLen(len(f.Data))
	parts := iov[:]
	if s.plain[i] = f.Offload == (wire.Offload{}); s.plain[i] {
		parts = iov[1:]
	} else {
		encodeVnetHdr(&s.hdrs[i], &f.Offload)
	}
	s.msgs[i].Hdr.Iov = &parts[0]
	s.msgs[i].Hdr.SetIovlen(len(parts))
	s.queued[i] = f
	s.n++
}

// run returns the socket that frame i goes by, and where the frames end that go
// by it together.
func (s *sender) run(i int) (fd, end int) {
	fd = s.outlet[0]
	if s.plain[i] {
		fd = s.outlet[1]
	}
	for end = i + 1; end < s.n && s.plain[end] == s.plain[i]; end++ {
	}
	return fd, end
}

// mtuLife is how long Send goes by one answer to what the MTU is. Asking costs
// two system calls and an allocation, which a flood of frames that are too long
// must not multiply.
const mtuLife = time.Second

// tooLong applies the kernel's own rule (packet_snd): MTU and Ethernet header,
// and four octets more behind the TPID 0x8100. It holds for the segments of a
// super-frame too, which the kernel does not look at. Any other frame that is
// short enough for the MTU known the kernel measures itself.
func (p *Port) tooLong(f *track.Frame) bool {
	n := segmentLen(f.Data, &f.Offload)
	if n <= p.tx.limit(f.Data) && f.Offload.GSOType == 0 {
		return false
	}
	if now := p.tx.now(); now.Sub(p.tx.asked) >= mtuLife {
		p.tx.asked = now
		p.tx.refreshMTU(p.link)
	}
	return n > p.tx.limit(f.Data)
}

func (s *sender) limit(data []byte) int {
	limit := int(s.mtu.Load()) + etherLen
	if binary.BigEndian.Uint16(data[macsLen:]) == unix.ETH_P_8021Q {
		limit += vlanTagLen
	}
	return limit
}

func (s *sender) refreshMTU(l link) {
	if mtu, err := l.mtu(); err == nil {
		s.mtu.Store(int32(mtu))
	}
}

// flush sends the loaded frames in their order and drops those that do not go.
// full says, and is returned as, whether this Send has waited already.
func (p *Port) flush(full bool) (_, down bool) {
	s := p.tx
	defer s.forget()
	retried := -1
	for i := 0; i < s.n && !down; {
		fd, end := s.run(i)
		n, errno := sendmmsg(fd, s.msgs[i:end])
		switch {
		case errno == 0:
			s.sent.Add(uint64(n))
			i += n
		case errno == unix.EINTR:
		case isFull(errno) && !full:
			full = true
			s.waitForRoom(fd)
		case !isFull(errno) && retried != i:
			// It may be the socket's pending error, meant for the receiver:
			// going down a while ago, or a frame that could not be received.
			// It is read now; asking again tells what is wrong with this frame.
			retried = i
			p.noteDown(errno)
		case isDown(errno):
			down = true
			refuseAll(s.queued[i:s.n], track.ReasonEgressDown)
		default:
			refuse(s.queued[i], s.reason(errno))
			i++
		}
	}
	return full, down
}

// forget lets go of the frames.
func (s *sender) forget() {
	for i := range s.n {
		s.iovs[i][1].Base = nil
		s.queued[i] = nil
	}
	s.n = 0
}

// waitForRoom waits for room in the socket's send buffer. A full queue below
// gives no sign; for it the wait is just a second try.
func (s *sender) waitForRoom(fd int) {
	left := unix.NsecToTimespec(fullWait.Nanoseconds())
	s.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	for {
		if _, err := unix.Ppoll(s.fds[:], &left, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// noteDown tells the receiver what it will not hear from the socket any more.
func (p *Port) noteDown(errno unix.Errno) {
	if isDown(errno) {
		p.down.Store(true)
	}
}

func isFull(errno unix.Errno) bool { return errno == unix.EAGAIN || errno == unix.ENOBUFS }

// isDown: ENXIO is what a socket says whose interface is gone.
func isDown(errno unix.Errno) bool { return errno == unix.ENETDOWN || errno == unix.ENXIO }

// reason says why the kernel refused one frame.
func (s *sender) reason(errno unix.Errno) track.Reason {
	switch {
	case errno == unix.EMSGSIZE:
		return track.ReasonEgressMTU
	case !isFull(errno):
		s.refused.Add(1)
	}
	return track.ReasonEgressFull
}

func refuse(f *track.Frame, reason track.Reason) {
	f.Verdict, f.Reason = track.Drop, reason
}

// refuseAll drops frames that are not dropped yet.
func refuseAll(frames []*track.Frame, reason track.Reason) {
	for _, f := range frames {
		if f.Verdict != track.Drop {
			refuse(f, reason)
		}
	}
}
