package bridgetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

var _ bridge.Port = (*Port)(nil)

// poison overwrites frames whose life is over, so that a box which keeps them
// is noticed.
const poison = 0xdb

// Port is a bridge.Port in memory. Frames that a test injects are received by
// the box; what the box sends is kept for the test. It is safe for concurrent
// use.
type Port struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	waiting  []track.Frame
	batch    []track.Frame // what the last Receive gave
	sent     []track.Frame
	number   uint64
	received uint64
	woken    bool

	receiveErr error
	sendErr    error
	refuse     track.Reason // with sendErr or full: why frames are refused
	full       int          // how many frames are still to be refused
	peer       *Port
}

// NewPort returns a port that is up.
func NewPort() *Port { return &Port{changed: make(chan struct{})} }

// NewPipe returns two ports joined like the ends of a cable: what is sent to
// one is received from the other.
func NewPipe() (a, b *Port) {
	a, b = NewPort(), NewPort()
	a.peer, b.peer = b, a
	return a, b
}

// Inject queues frames for Receive, in their order. They are copied.
func (p *Port) Inject(frames ...[]byte) {
	for _, data := range frames {
		p.InjectFrame(track.Frame{Data: data})
	}
}

// InjectFrame queues a frame for Receive with the Offload and Truncated that
// it has; Number is counted from 1. Data is copied.
func (p *Port) InjectFrame(f track.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	p.waiting = append(p.waiting, track.Frame{Data: clone(f.Data), Offload: f.Offload, Truncated: f.Truncated, Number: p.number})
	p.notify()
}

// Receive implements bridge.Port. The bytes of the batch before are
// overwritten, as a real port may do.
func (p *Port) Receive(wait time.Duration) ([]track.Frame, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		frames, more, done, err := p.take()
		if done || err != nil {
			return frames, err
		}
		select {
		case <-more:
		case <-over.C:
			return nil, nil
		}
	}
}

// take takes the next batch. done says that Receive is to return even if
// there is none.
func (p *Port) take() (frames []track.Frame, more <-chan struct{}, done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.batch {
		for i := range f.Data {
			f.Data[i] = poison
		}
	}
	p.batch = nil
	if p.receiveErr != nil {
		return nil, nil, true, p.receiveErr
	}
	n := min(len(p.waiting), bridge.BatchSize)
	p.batch, p.waiting = p.waiting[:n:n], p.waiting[n:]
	p.received += uint64(n)
	done, p.woken = n > 0 || p.woken, false
	return p.batch, p.changed, done, nil
}

// Send implements bridge.Port. Like a real port it sends neither what is
// dropped already nor what is truncated.
func (p *Port) Send(frames []*track.Frame) error {
	p.mu.Lock()
	var pass []track.Frame
	for _, f := range frames {
		if p.takes(f) {
			kept := *f
			kept.Data = clone(f.Data)
			pass = append(pass, kept)
		}
	}
	p.sent = append(p.sent, pass...)
	p.notify()
	err, peer := p.sendErr, p.peer
	p.mu.Unlock()
	if peer != nil {
		for _, f := range pass {
			peer.InjectFrame(f)
		}
	}
	return err
}

// takes reports whether a frame goes, and gives it its reason if not; p.mu is
// held.
func (p *Port) takes(f *track.Frame) bool {
	switch {
	case f.Verdict == track.Drop:
		return false
	case p.sendErr != nil || p.full > 0:
		p.full = max(0, p.full-1)
		f.Verdict, f.Reason = track.Drop, p.refuse
		return false
	case f.Truncated:
		f.Verdict, f.Reason = track.Drop, track.ReasonTruncated
		return false
	}
	return true
}

// Wake implements bridge.Port.
func (p *Port) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	p.notify()
}

// SetDown takes the link down or brings it up: while it is down Receive and
// Send return bridge.ErrPortDown, and Send refuses every frame for
// track.ReasonEgressDown.
func (p *Port) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receiveErr, p.sendErr = nil, nil
	if down {
		p.receiveErr, p.sendErr, p.refuse = bridge.ErrPortDown, bridge.ErrPortDown, track.ReasonEgressDown
	}
	p.notify()
}

// FailReceive makes Receive return the error until it is called with nil.
func (p *Port) FailReceive(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receiveErr = err
	p.notify()
}

// RefuseNext makes Send refuse the next n frames for the given reason
// (track.ReasonEgressFull, track.ReasonEgressMTU) and take those behind them.
func (p *Port) RefuseNext(n int, reason track.Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.refuse = n, reason
}

// Received returns how many frames Receive has given.
func (p *Port) Received() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// Sent returns the frames that Send took, oldest first, with their verdicts.
func (p *Port) Sent() []track.Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]track.Frame(nil), p.sent...)
}

// WaitSent waits until Send has taken n frames in all and returns all of them.
func (p *Port) WaitSent(ctx context.Context, n int) ([]track.Frame, error) {
	for {
		p.mu.Lock()
		more, sent := p.changed, len(p.sent)
		p.mu.Unlock()
		if sent >= n {
			return p.Sent(), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return p.Sent(), fmt.Errorf("wait for %d frames sent, have %d: %w", n, sent, ctx.Err())
		}
	}
}

// notify wakes whoever waits; p.mu is held.
func (p *Port) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }
