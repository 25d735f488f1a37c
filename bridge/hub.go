package bridge

import (
	"context"
	"io"
	"sync"

	"github.com/grewire/grewire/track"
)

// Hub hands events to those who asked for them. It keeps the last hubBacklog
// events once for all subscribers, so that its memory does not grow with their
// number, nor with how slow they are. The zero Hub is ready.
type Hub struct {
	mu          sync.Mutex
	last        [hubBacklog]track.Event // event n is at n % hubBacklog
	published   uint64                  // how many events there have been
	missed      uint64                  // by subscribers, as far as they have noticed
	subscribers map[*subscriber]struct{}
}

// hubBacklog is how many events a subscriber may be behind before it misses
// the oldest of them.
const hubBacklog = 1024

// subscriber is a reader of events. Those from next on are for it, until end.
type subscriber struct {
	next, end uint64
	more      chan struct{} // has a token when there are new ones; closed by cancel
}

// Publish hands an event to every subscriber. It never blocks.
func (h *Hub) Publish(e track.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[h.published%hubBacklog] = e
	h.published++
	for s := range h.subscribers {
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

// Missed returns how many events subscribers did not get because they were too
// far behind.
func (h *Hub) Missed() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	missed := h.missed
	for s := range h.subscribers {
		missed += h.oldest(s) - s.next
	}
	return missed
}

// oldest returns the first event for a subscriber that is still there.
func (h *Hub) oldest(s *subscriber) uint64 {
	return min(s.end, max(s.next, h.published-min(h.published, hubBacklog)))
}

// Subscribe returns a function that waits for the next of the events from now
// on, for one goroutine. An event that is there is returned even if ctx is done.
// cancel ends the subscription: behind the events published before it comes
// io.EOF.
func (h *Hub) Subscribe() (next func(ctx context.Context) (track.Event, error), cancel func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	const endless = 1<<64 - 1
	s := &subscriber{next: h.published, end: endless, more: make(chan struct{}, 1)}
	if h.subscribers == nil {
		h.subscribers = make(map[*subscriber]struct{})
	}
	h.subscribers[s] = struct{}{}
	next = func(ctx context.Context) (track.Event, error) { return h.wait(ctx, s) }
	return next, sync.OnceFunc(func() { h.cancel(s) })
}

// wait returns the next event for a subscriber as soon as there is one.
func (h *Hub) wait(ctx context.Context, s *subscriber) (track.Event, error) {
	for {
		if e, there, err := h.take(s); there || err != nil {
			return e, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return track.Event{}, context.Cause(ctx)
		}
	}
}

// take returns the next event for a subscriber if there is one.
func (h *Hub) take(s *subscriber) (e track.Event, there bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skip(s)
	switch s.next {
	case s.end:
		return e, false, io.EOF
	case h.published:
		return e, false, nil
	}
	s.next++
	return h.last[(s.next-1)%hubBacklog], true, nil
}

// skip passes over the events that a subscriber has missed, and counts them.
func (h *Hub) skip(s *subscriber) {
	oldest := h.oldest(s)
	h.missed += oldest - s.next
	s.next = oldest
}

func (h *Hub) cancel(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skip(s)
	delete(h.subscribers, s)
	s.end = h.published
	close(s.more)
}
