package afpacket

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

const (
	// headroom is what a slot has before the frame: room for a VLAN tag, and
	// what keeps the slot's frame on an even boundary.
	headroom = 16
	// slotSize holds the longest frame without BIG TCP whole: 65535 octets of
	// IP with Ethernet header and tags, by the virtio_net_hdr a super-frame of
	// many segments. That it is an odd multiple of 64 spreads the heads of a
	// batch over all sets of the first cache.
	slotSize         = 66<<10 + 192
	defaultFrameSize = slotSize - headroom
)

// The offset in struct sockaddr_ll of who the frame is for, and its size.
const (
	sllPkttype = 10
	sllSize    = unix.SizeofSockaddrLinklayer
)

// receiver is the receiving half of a Port: a batch of slots and what
// recvmmsg(2) wants to know about them, all allocated once.
type receiver struct {
	mu      sync.Mutex // held by Receive
	slots   []byte
	size    int // of a slot
	msgs    []unix.Mmsghdr
	iovs    [bridge.BatchSize][2]unix.Iovec
	hdrs    [bridge.BatchSize][vnetHdrLen]byte
	names   [bridge.BatchSize][sllSize]byte
	control [bridge.BatchSize][controlLen]byte
	frames  [bridge.BatchSize]track.Frame
	fds     [2]unix.PollFd
	count   [8]byte // read from the eventfd
	number  uint64
	asked   time.Time // when the NIC was last asked for its state

	received, truncated, unreadable atomic.Uint64
}

func newReceiver(frameSize int) *receiver {
	r := &receiver{size: headroom + frameSize, msgs: make([]unix.Mmsghdr, bridge.BatchSize)}
	r.slots = make([]byte, r.size*bridge.BatchSize)
	for i := range r.msgs {
		iov := &r.iovs[i]
		iov[0].Base = &r.hdrs[i][0]
		iov[0].SetLen(vnetHdrLen)
		iov[1].Base = &r.slot(i)[headroom]
		iov[1].SetLen(frameSize)
		h := &r.msgs[i].Hdr
		h.Name = &r.names[i][0]
		h.Iov = &iov[0]
		h.SetIovlen(len(iov))
		h.Control = &r.control[i][0]
		r.reset(i)
	}
	return r
}

func (r *receiver) slot(i int) []byte { return r.slots[i*r.size : (i+1)*r.size : (i+1)*r.size] }

// reset undoes what the kernel writes into a message header.
func (r *receiver) reset(i int) {
	h := &r.msgs[i].Hdr
	h.Namelen = sllSize
	h.SetControllen(controlLen)
	h.Flags = 0
}

// Receive implements bridge.Port. While the NIC is down it waits as long as
// else and returns bridge.ErrPortDown; the same port goes on when the NIC is
// up again (NETDEV_UP hooks the socket in again by itself). A NIC that was
// removed is a final error.
func (p *Port) Receive(wait time.Duration) ([]track.Frame, error) {
	p.rx.mu.Lock()
	defer p.rx.mu.Unlock()
	left := unix.NsecToTimespec(max(0, wait.Nanoseconds()))
	for !p.closed.Load() {
		n, errno := recvmmsg(p.fd, p.rx.msgs)
		switch errno {
		case 0:
			// None, if all were our own: nothing to wait for either.
			return p.rx.take(n), nil
		case unix.EINTR:
			continue
		case unix.EINVAL:
			// virtio_net_hdr_from_skb knows no word for this kind of
			// super-frame. The frame is gone, the next may be fine.
			p.rx.unreadable.Add(1)
			return nil, nil
		case unix.ENETDOWN:
			p.down.Store(true)
			continue // the error is read and gone
		case unix.EAGAIN:
		default:
			return nil, fmt.Errorf("receive on %s: %w", p.name, errno)
		}
		if ready, err := p.poll(&left); err != nil || !ready {
			return nil, err
		}
	}
	return nil, net.ErrClosed
}

// poll waits for a frame or an error on the socket. It returns false when the
// time is over or Wake was called. The kernel keeps the time left in left.
func (p *Port) poll(left *unix.Timespec) (ready bool, err error) {
	fds := &p.rx.fds
	fds[0] = unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN}
	fds[1] = unix.PollFd{Fd: int32(p.wake), Events: unix.POLLIN}
	n, err := unix.Ppoll(fds[:], left, nil)
	switch {
	case errors.Is(err, unix.EINTR):
		return true, nil // look again, with the time that is left
	case err != nil:
		return false, fmt.Errorf("wait on %s: %w", p.name, err)
	case fds[1].Revents != 0:
		return false, p.awake()
	case n == 0:
		return false, p.linkState()
	}
	return true, nil
}

// awake takes back the signal of Wake.
func (p *Port) awake() error {
	if p.closed.Load() {
		return net.ErrClosed // leave the signal for nobody, it is over
	}
	// It is there, for there is one reader; after EINTR the next wait ends at
	// once, which is allowed.
	_, _ = unix.Read(p.wake, p.rx.count[:])
	return p.lastState()
}

// carrierInterval is how often an idle NIC is asked whether it has carrier.
const carrierInterval = time.Second

// linkState is asked when a wait is over without a frame. The socket reports
// going down once, coming up and loss of carrier never, so that the NIC is
// asked. (A frame says nothing: it may have been queued before.)
func (p *Port) linkState() error {
	if now := time.Now(); p.down.Load() || now.Sub(p.rx.asked) >= carrierInterval {
		p.rx.asked = now
		up, err := p.link.up()
		if err != nil {
			return fmt.Errorf("receive on %s: %w", p.name, err)
		}
		p.down.Store(!up)
	}
	return p.lastState()
}

// lastState is what was last known of the link.
func (p *Port) lastState() error {
	if p.down.Load() {
		return bridge.ErrPortDown
	}
	return nil
}

// take makes frames of the first n messages.
func (r *receiver) take(n int) []track.Frame {
	frames := r.frames[:0]
	truncated := uint64(0)
	for i := range n {
		// PACKET_IGNORE_OUTGOING left none; a loop would be worse than a look.
		if r.names[i][sllPkttype] != unix.PACKET_OUTGOING {
			frames = frames[:len(frames)+1]
			f := &frames[len(frames)-1]
			r.fill(f, i)
			if f.Truncated {
				truncated++
			}
		}
		r.reset(i)
	}
	r.received.Add(uint64(len(frames)))
	r.truncated.Add(truncated)
	return frames
}

// fill makes a frame of message i.
func (r *receiver) fill(f *track.Frame, i int) {
	m := &r.msgs[i]
	aux, ok := parseAuxdata(r.control[i][:min(controlLen, int(m.Hdr.Controllen))])
	slot := r.slot(i)
	start := headroom
	end := headroom + max(0, int(m.Len)-vnetHdrLen)
	offload := decodeVnetHdr(&r.hdrs[i])
	if tag, tagged := aux.vlan(); tagged && end-start >= macsLen {
		start = restoreTag(slot, start, tag)
		shiftOffload(&offload, vlanTagLen)
	}
	r.number++
	*f = track.Frame{
		Data:    slot[start:end:end],
		Offload: offload,
		// Without auxdata a tag may be missing, which is as bad as an end
		// that is.
		Truncated: !ok || aux.snaplen < aux.len || m.Hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0,
		Number:    r.number,
	}
}
