package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// caller is a host that calls the server, talks for a while, hangs up, and
// calls again; at once when a call ends by itself.
type caller struct {
	t      *testing.T
	ns     *bridgetest.Namespace
	addr   string
	random *rand.Rand
	cancel context.CancelFunc
	ended  chan struct{}
	stays  chan struct{} // closed: hang up no more

	dialled, up, kept atomic.Int64 // calls; kept came to the end of their time

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when there is another call
	call    *bridgetest.Client
	id      uint16
}

func newCaller(t *testing.T, ns *bridgetest.Namespace, addr string, random *rand.Rand) *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{t: t, ns: ns, addr: addr, random: random, cancel: cancel, ended: make(chan struct{}), stays: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(c.ended)
		for ctx.Err() == nil {
			c.talk(ctx)
		}
	}()
	t.Cleanup(c.stop)
	return c
}

// stop hangs up for good.
func (c *caller) stop() {
	c.cancel()
	<-c.ended
}

// stay keeps the call from now on, as long as it lives.
func (c *caller) stay() { close(c.stays) }

// talk makes one call.
func (c *caller) talk(ctx context.Context) {
	const shortest, longest = 5 * time.Second, 40 * time.Second
	id := uint16(c.random.Uint32())
	call, err := bridgetest.Dial(c.ns, bridgetest.ServerAddr, bridgetest.DialOptions{
		Pings:  bridgetest.Pings{Count: -1, Sizes: []int{0, 56, 1372}, Interval: 50 * time.Millisecond},
		CallID: &id, EchoInterval: 2 * time.Second, Timeout: 15 * time.Second,
	})
	if err != nil {
		c.t.Error(err)
		c.cancel()
		return
	}
	c.dialled.Add(1)
	if _, err := call.Ready(ctx); err == nil {
		c.up.Add(1)
		c.set(call, id)
		c.until(ctx, call, shortest+time.Duration(c.random.Int64N(int64(longest-shortest))))
		c.set(nil, 0)
	}
	c.hangUp(call)
}

// until waits for the end of a call's time, or of the call.
func (c *caller) until(ctx context.Context, call *bridgetest.Client, lasts time.Duration) {
	over := time.NewTimer(lasts)
	defer over.Stop()
	for timer := over.C; ; timer = nil { // when it stays, only the call's own end counts
		select {
		case <-ctx.Done():
			return
		case <-call.Done():
			return
		case <-timer:
			c.kept.Add(1)
			select {
			case <-c.stays:
			default:
				return
			}
		}
	}
}

func (c *caller) hangUp(call *bridgetest.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := call.Hangup(ctx); err != nil && ctx.Err() != nil {
		c.t.Errorf("%s does not hang up: %v", c.addr, err)
	}
}

func (c *caller) set(call *bridgetest.Client, id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call, c.id = call, id
	close(c.changed)
	c.changed = make(chan struct{})
}

// current waits for a call that is up.
func (c *caller) current(ctx context.Context) (*bridgetest.Client, uint16, error) {
	for {
		c.mu.Lock()
		call, id, changed := c.call, c.id, c.changed
		c.mu.Unlock()
		if call != nil {
			return call, id, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("no call comes up: %w", ctx.Err())
		}
	}
}

// pings waits until so many more pings in the call were answered. A call that
// its ends have given up is replaced by the next one.
func (c *caller) pings(ctx context.Context, more int) (id uint16, answered int, err error) {
	for {
		call, id, err := c.current(ctx)
		if err != nil {
			return id, 0, err
		}
		answered, err := c.answers(ctx, call, more)
		if err == nil || ctx.Err() != nil {
			return id, answered, err
		}
	}
}

var errNoAnswers = errors.New("its ends believe in it, but no pings are answered")

func (c *caller) answers(ctx context.Context, call *bridgetest.Client, more int) (int, error) {
	first, err := call.Ask(ctx)
	if err != nil {
		return 0, err
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		r, err := call.Ask(ctx)
		if err != nil {
			return r.Answered, err
		}
		if r.Answered >= first.Answered+more {
			return r.Answered, nil
		}
		select {
		case <-again.C:
		case <-call.Done():
			return r.Answered, errors.New("the call has ended")
		case <-ctx.Done():
			return r.Answered, fmt.Errorf("%w: %d of %d", errNoAnswers, r.Answered-first.Answered, more)
		}
	}
}
