package bridge_test

import (
	"sync"
	"testing"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// drain returns the times of the events that a subscriber has got.
func drain(events <-chan track.Event) (times []track.Time) {
	for e := range events {
		times = append(times, e.Time)
	}
	return times
}

// TestHubOverflow: a subscriber that takes nothing misses the newest events,
// costs nobody else any, and is counted.
func TestHubOverflow(t *testing.T) {
	var hub bridge.Hub
	const more = 10
	slow, cancelSlow := hub.Subscribe()
	fast, cancelFast := hub.Subscribe()
	for i := range bridge.HubBacklog + more {
		hub.Publish(track.Event{Time: track.Time(i)})
		if e := <-fast; e.Time != track.Time(i) {
			t.Fatalf("got event %d, want %d", e.Time, i)
		}
	}
	if got := hub.Missed(); got != more {
		t.Errorf("%d events missed, want %d", got, more)
	}
	cancelSlow()
	cancelFast()
	cancelSlow() // again is fine
	hub.Publish(track.Event{})
	got := drain(slow)
	if len(got) != bridge.HubBacklog || got[0] != 0 || got[len(got)-1] != bridge.HubBacklog-1 {
		t.Errorf("the slow subscriber got %d events, want the first %d", len(got), bridge.HubBacklog)
	}
	if got := drain(fast); len(got) != 0 {
		t.Errorf("events after the end of the subscription: %v", got)
	}
	if got := hub.Missed(); got != more {
		t.Errorf("%d events missed in the end, want %d", got, more)
	}
}

// TestHubConcurrent: subscribers come and go while events are published; one
// that stays gets all, in order.
func TestHubConcurrent(t *testing.T) {
	var hub bridge.Hub
	const events = bridge.HubBacklog
	all, cancel := hub.Subscribe()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				_, cancel := hub.Subscribe()
				cancel()
			}
		})
	}
	for i := range events {
		hub.Publish(track.Event{Time: track.Time(i)})
	}
	group.Wait()
	cancel()
	got := drain(all)
	for i, at := range got {
		if at != track.Time(i) {
			t.Fatalf("event %d is %d", i, at)
		}
	}
	if len(got) != events || hub.Missed() != 0 {
		t.Errorf("got %d events, %d missed, want %d, 0", len(got), hub.Missed(), events)
	}
}
