package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
)

// Stats are a port's counters since it was opened.
type Stats struct {
	Received   uint64 // frames that Receive returned
	Sent       uint64 // frames that the kernel took from Send
	Truncated  uint64 // of Received: did not fit or lost its VLAN tag
	Copied     uint64 // of Received: longer than a slot of the ring, taken from the queue
	Drops      uint64 // frames the kernel dropped because ring or receive buffer was full
	Freezes    uint64 // times that the kernel had left the ring and it was set up anew; Drops has the frames
	Unreadable uint64 // super-frames lost, of a kind that virtio_net_hdr has no word for
	Refused    uint64 // frames that Send could not get rid of for what they are (shorter than 14 octets, impossible Offload)
}

// Port is a bridge.Port on one NIC. One goroutine may call Receive and one
// Send at the same time; the other methods are for everybody.
type Port struct {
	name string
	fd   int
	link link
	rx   *receiver
	tx   *sender

	closed atomic.Bool
	down   atomic.Bool // ENETDOWN was seen, by whichever of receiver and sender got it

	mu    sync.Mutex        // keeps the descriptors open for Wake, Stats and MTU
	wake  int               // eventfd(2)
	one   [8]byte           // what is written to it
	news  unix.TpacketStats // since they were last read
	drops uint64            // sum of what PACKET_STATISTICS gave; reading it clears it
}

var _ bridge.Port = (*Port)(nil)

// Open opens the named NIC in the calling thread's network namespace, in
// promiscuous mode as long as the port is open. It needs CAP_NET_RAW. A NIC
// that is down is no error, see Receive.
func Open(name string, o Options) (*Port, error) {
	o = o.withDefaults()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	fd, source, err := openSocket(ifi, &o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	plain, err := openPlain(ifi, &o)
	if err != nil {
		source.close()
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		source.close()
		unix.Close(fd)
		unix.Close(plain)
		return nil, fmt.Errorf("open %s: eventfd: %w", name, err)
	}
	p := &Port{name: name, fd: fd, wake: wake, link: link{fd: fd, index: ifi.Index}}
	binary.NativeEndian.PutUint64(p.one[:], 1)
	p.rx = &receiver{source: source, spin: newSpinner(), thread: newUrgency(o.RealTime)}
	if o.Filter != nil {
		p.rx.spin.never()
	}
	p.tx = newSender(ifi.MTU, fd, plain)
	return p, nil
}

// Name returns the name the NIC had when the port was opened.
func (p *Port) Name() string { return p.name }

// Backend returns how the port receives: MMsg or Ring.
func (p *Port) Backend() Backend { return p.rx.source.backend() }

// Wake makes a Receive that waits return at once; if none waits, the next one
// that would.
func (p *Port) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed.Load() {
		p.signal()
	}
}

// signal cannot fail in a way that matters: EAGAIN says that the counter is
// at its maximum, which wakes as well.
func (p *Port) signal() {
	for {
		if _, err := unix.Write(p.wake, p.one[:]); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// MTU returns the NIC's MTU, of a NIC that is gone the last one known.
func (p *Port) MTU() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed.Load() {
		p.tx.refreshMTU(p.link)
	}
	return int(p.tx.mtu.Load())
}

// Stats returns the counters.
func (p *Port) Stats() Stats {
	copied, freezes := p.rx.source.counters()
	return Stats{
		Copied: copied, Freezes: freezes,
		Received:   p.rx.received.Load(),
		Truncated:  p.rx.truncated.Load(),
		Unreadable: p.rx.unreadable.Load(),
		Sent:       p.tx.sent.Load(),
		Refused:    p.tx.refused.Load(),
		Drops:      p.kernelDrops(),
	}
}

func (p *Port) kernelDrops() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return p.drops
	}
	if packetStatistics(p.fd, &p.news) == 0 {
		p.drops += uint64(p.news.Drops)
	}
	return p.drops
}

// Close ends the port. A Receive that waits returns net.ErrClosed, as does
// every later Receive and Send. Closing again is fine.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed.Swap(true) {
		p.mu.Unlock()
		return nil
	}
	p.signal()
	p.mu.Unlock()

	// Receive and Send use the descriptors under their own locks; once both
	// locks were free after closed was set, neither will again.
	p.rx.mu.Lock()
	defer p.rx.mu.Unlock()
	p.tx.mu.Lock()
	defer p.tx.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rx.source.close()
	return errors.Join(unix.Close(p.fd), unix.Close(p.tx.outlet[1]), unix.Close(p.wake))
}
