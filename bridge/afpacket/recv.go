package afpacket

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// Receive implements bridge.Port. While the NIC is down it waits as long as
// else and returns bridge.ErrPortDown; the same port goes on when the NIC is
// up again (NETDEV_UP hooks the socket in again by itself). A NIC that was
// removed is a final error.
func (p *Port) Receive(wait time.Duration) ([]track.Frame, error) {
	p.rx.mu.Lock()
	defer p.rx.mu.Unlock()
	left := unix.NsecToTimespec(max(0, wait.Nanoseconds()))
	for !p.closed.Load() {
		frames, errno := p.rx.source.take(p.fd)
		if errno == 0 {
			// None, if all were our own: nothing to wait for either.
			p.rx.note(frames)
			p.rx.thread.works(p.rx.spin.got())
			return frames, nil
		}
		if errno != unix.EAGAIN {
			if again, err := p.failed(errno); !again {
				return nil, err
			}
			continue
		}
		if p.rx.spin.again(wait) {
			p.rx.thread.looks(p.rx.spin.looked)
			yield()
			continue
		}
		p.rx.thread.sleeps(p.rx.spin.now())
		ready, err := p.poll(&left)
		p.rx.thread.woke(p.rx.spin.now())
		if err != nil || !ready {
			return nil, err
		}
	}
	return nil, net.ErrClosed
}

// failed makes what it means of an error of the socket, which is read and
// gone. again says that there is nothing to return for it.
func (p *Port) failed(errno unix.Errno) (again bool, err error) {
	switch errno {
	case unix.EINTR:
		return true, nil
	case unix.EINVAL:
		// virtio_net_hdr_from_skb knows no word for this kind of super-frame.
		// The frame is gone, the next may be fine.
		p.rx.unreadable.Add(1)
		return false, nil
	case unix.ENETDOWN:
		p.down.Store(true)
		return true, nil
	}
	return false, fmt.Errorf("receive on %s: %w", p.name, errno)
}

// poll waits for a frame or an error on the socket. It returns false when the
// time is over or Wake was called. The kernel keeps the time left in left.
func (p *Port) poll(left *unix.Timespec) (ready bool, err error) {
	fds := &p.rx.fds
	fds[0] = unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN}
	fds[1] = unix.PollFd{Fd: int32(p.wake), Events: unix.POLLIN}
	n, errno := ppoll(fds[:], left)
	switch {
	case errno == unix.EINTR:
		return true, nil // look again, with the time that is left
	case errno != 0:
		return false, fmt.Errorf("wait on %s: %w", p.name, errno)
	case fds[1].Revents != 0:
		return false, p.awake()
	case n == 0:
		return false, p.rested()
	case fds[0].Revents&unix.POLLERR != 0:
		if errno := p.rx.source.readError(p.fd); errno != 0 {
			return p.failed(errno)
		}
	}
	return true, nil
}

// rested is what a wait without a frame ends with.
func (p *Port) rested() error {
	if err := p.rx.source.idle(p.fd, p.kernelDrops()); err != nil {
		return fmt.Errorf("receive on %s: %w", p.name, err)
	}
	return p.linkState()
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
