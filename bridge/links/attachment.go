package links

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/track"
)

// Port is what an Attachment is attached by. *afpacket.Port is one.
type Port interface {
	bridge.Port
	// MTU asks the NIC for its MTU; Send goes by the answer from then on.
	MTU() int
	// Backend is how frames are received.
	Backend() afpacket.Backend
	// Stats are the counters since the port was opened.
	Stats() afpacket.Stats
	// Close ends the port. No Receive or Send runs then.
	Close() error
}

// Attachment is a bridge.Port that may have no port under it for a while, and
// then another. While it has none, or its link is down, it is a port whose
// link is down. No error of a port under it is final.
type Attachment struct {
	name string
	lost func(error) // told when a port under it fails

	sending sync.Mutex // held by Send; whoever closes a port waits for it
	up      atomic.Bool
	wake    chan struct{}

	mu      sync.Mutex
	port    Port           // nil: none
	using   Port           // the one that Receive is in or was in last; its frames may be in use
	retired []Port         // to be closed by the next Receive, or by Close
	past    afpacket.Stats // of ports that are closed
	mtu     int            // last known
	backend afpacket.Backend
	closed  bool
}

var _ bridge.Port = (*Attachment)(nil)

// NewAttachment returns an Attachment, without a port, to the NIC of that name.
// lost is called from
// Receive, Send and Close with what a port under it failed with; it must not
// call the Attachment.
func NewAttachment(name string, lost func(error)) *Attachment {
	return &Attachment{name: name, lost: lost, wake: make(chan struct{}, 1)}
}

// Name returns the name of the NIC.
func (a *Attachment) Name() string { return a.name }

// Attach puts a port in the place of the one before, which is closed as soon as
// nobody uses its frames any more. It is not for a closed Attachment.
func (a *Attachment) Attach(port Port) {
	mtu := port.MTU()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retire()
	a.port, a.mtu = port, mtu
	a.rouse()
}

// Detach takes the port away.
func (a *Attachment) Detach() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retire()
	a.rouse()
}

// Attached reports whether there is a port.
func (a *Attachment) Attached() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.port != nil
}

// SetLink says whether the link is up. While it is not, nothing is sent: the
// kernel would take the frames and throw them away without a word.
func (a *Attachment) SetLink(up bool) { a.up.Store(up) }

// retire takes the port out of use; a.mu is held.
func (a *Attachment) retire() {
	if a.port != nil {
		a.retired = append(a.retired, a.port)
		a.port = nil
	}
}

// rouse has Receive look again at what there is; a.mu is held.
func (a *Attachment) rouse() {
	if a.using != nil {
		a.using.Wake()
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Wake implements bridge.Port.
func (a *Attachment) Wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rouse()
}

// Receive implements bridge.Port. Its caller is done with the frames of the
// Receive before, so that this is where a port goes that is not needed any
// more.
func (a *Attachment) Receive(wait time.Duration) ([]track.Frame, error) {
	port, err := a.current()
	if err != nil {
		return nil, err
	}
	if port == nil {
		a.idle(wait)
		return nil, bridge.ErrPortDown
	}
	frames, err := port.Receive(wait)
	switch {
	case err == nil && len(frames) == 0 && !a.up.Load():
		return nil, bridge.ErrPortDown
	case err == nil, errors.Is(err, bridge.ErrPortDown):
		return frames, err
	}
	a.fail(port, err)
	return frames, bridge.ErrPortDown
}

// current returns the port to receive from and closes those before it.
func (a *Attachment) current() (Port, error) {
	a.mu.Lock()
	a.using = a.port
	port, closed, stale := a.port, a.closed, len(a.retired) > 0
	a.mu.Unlock()
	if closed {
		return nil, net.ErrClosed
	}
	if stale {
		a.closeRetired()
	}
	return port, nil
}

// closeRetired closes the ports out of use and keeps their counters. A Send
// that runs may still use one of them, and is waited for; the next will not.
func (a *Attachment) closeRetired() {
	a.sending.Lock()
	defer a.sending.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, port := range a.retired {
		a.past = a.past.Plus(port.Stats())
		if err := port.Close(); err != nil {
			a.lost(err)
		}
	}
	a.retired = nil
}

// idle waits, as a port without frames would.
func (a *Attachment) idle(wait time.Duration) {
	over := time.NewTimer(wait)
	defer over.Stop()
	select {
	case <-a.wake:
	case <-over.C:
	}
}

// fail takes a port away that failed, unless that was done already.
func (a *Attachment) fail(port Port, err error) {
	a.mu.Lock()
	failed := a.port == port
	if failed {
		a.retire()
	}
	a.mu.Unlock()
	if failed {
		a.lost(err)
	}
}

// Send implements bridge.Port.
func (a *Attachment) Send(frames []*track.Frame) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	port := a.egress()
	if port == nil {
		refuse(frames)
		return bridge.ErrPortDown
	}
	err := port.Send(frames)
	if err == nil || errors.Is(err, bridge.ErrPortDown) {
		return err
	}
	a.fail(port, err)
	return bridge.ErrPortDown
}

// egress returns the port to send to, nil if there is none or its link is
// down.
func (a *Attachment) egress() Port {
	if !a.up.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.port
}

func refuse(frames []*track.Frame) {
	for _, f := range frames {
		if f.Verdict != track.Drop {
			f.Verdict, f.Reason = track.Drop, track.ReasonEgressDown
		}
	}
}

// MTU asks for the NIC's MTU and has Send go by it. While there is no port it
// is the last one known.
func (a *Attachment) MTU() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.port != nil {
		a.mtu = a.port.MTU()
	}
	return a.mtu
}

// Backend is how the last port received frames.
func (a *Attachment) Backend() afpacket.Backend {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.port != nil {
		a.backend = a.port.Backend()
	}
	return a.backend
}

// Stats are the counters of all ports there were.
func (a *Attachment) Stats() afpacket.Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := a.past
	for _, port := range a.retired {
		sum = sum.Plus(port.Stats())
	}
	if a.port != nil {
		sum = sum.Plus(a.port.Stats())
	}
	return sum
}

// Close ends the attachment and closes its port. No Receive or Send runs then,
// and both return net.ErrClosed or refuse everything later.
func (a *Attachment) Close() {
	a.mu.Lock()
	a.closed, a.using = true, nil
	a.retire()
	a.mu.Unlock()
	a.closeRetired()
}
