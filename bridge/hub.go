package bridge

import (
	"sync"

	"github.com/grewire/grewire/track"
)

// Hub hands events to those who asked for them. The zero Hub is ready.
type Hub struct {
	mu          sync.Mutex
	missed      uint64
	subscribers map[chan track.Event]struct{}
}

// hubBacklog is how many events a subscriber may be behind before it misses
// some.
const hubBacklog = 1024

// Publish hands an event to every subscriber that has room for it. It never
// blocks.
func (h *Hub) Publish(e track.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subscribers {
		select {
		case c <- e:
		default:
			h.missed++
		}
	}
}

// Missed returns how many events subscribers did not get because they were too
// far behind.
func (h *Hub) Missed() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.missed
}

// Subscribe returns a channel of the events from now on. cancel ends that and
// closes the channel.
func (h *Hub) Subscribe() (events <-chan track.Event, cancel func()) {
	c := make(chan track.Event, hubBacklog)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers == nil {
		h.subscribers = make(map[chan track.Event]struct{})
	}
	h.subscribers[c] = struct{}{}
	return c, sync.OnceFunc(func() { h.cancel(c) })
}

func (h *Hub) cancel(c chan track.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, c)
	close(c)
}
