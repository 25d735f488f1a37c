package bridge_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// drain returns the times of the events that a subscriber gets before io.EOF.
func drain(t *testing.T, next func(context.Context) (track.Event, error)) (times []track.Time) {
	t.Helper()
	for {
		e, err := next(t.Context())
		if errors.Is(err, io.EOF) {
			return times
		}
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, e.Time)
	}
}

// TestHubOverflow: a subscriber that takes nothing misses the oldest events,
// costs nobody else any, and is counted.
func TestHubOverflow(t *testing.T) {
	var hub bridge.Hub
	const more = 10
	slow, cancelSlow := hub.Subscribe()
	fast, cancelFast := hub.Subscribe()
	for i := range bridge.HubBacklog + more {
		hub.Publish(track.Event{Time: track.Time(i)})
		if e, err := fast(t.Context()); err != nil || e.Time != track.Time(i) {
			t.Fatalf("got event %d, %v, want %d", e.Time, err, i)
		}
	}
	if got := hub.Missed(); got != more {
		t.Errorf("%d events missed, want %d", got, more)
	}
	cancelSlow()
	cancelFast()
	cancelSlow() // again is fine
	if got := drain(t, slow); len(got) != bridge.HubBacklog || got[0] != more || got[len(got)-1] != bridge.HubBacklog+more-1 {
		t.Errorf("the slow subscriber got %d events, want the last %d", len(got), bridge.HubBacklog)
	}
	hub.Publish(track.Event{})
	if got := drain(t, fast); len(got) != 0 {
		t.Errorf("events after the end of the subscription: %v", got)
	}
	if got := hub.Missed(); got != more {
		t.Errorf("%d events missed in the end, want %d", got, more)
	}
}

// TestHubWaits: a subscriber waits until there is an event, or its context is
// done.
func TestHubWaits(t *testing.T) {
	var hub bridge.Hub
	next, cancel := hub.Subscribe()
	got := make(chan track.Event)
	go func() {
		for e, err := next(t.Context()); err == nil; e, err = next(t.Context()) {
			got <- e
		}
		close(got)
	}()
	for i := range track.Time(100) {
		hub.Publish(track.Event{Time: i})
		if e := <-got; e.Time != i {
			t.Fatalf("got event %d, want %d", e.Time, i)
		}
	}
	cancel()
	if e, more := <-got; more {
		t.Errorf("got event %d after the end of the subscription", e.Time)
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	next, cancel = hub.Subscribe()
	defer cancel()
	if _, err := next(over); !errors.Is(err, context.Canceled) {
		t.Errorf("without an event: %v, want that the context is done", err)
	}
}

// TestHubMemory: subscribers that never read take no memory, however many they
// are and at whichever events they begin.
func TestHubMemory(t *testing.T) {
	const subscribers, bound = 33, 2 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	hub := new(bridge.Hub)
	for range subscribers {
		_, cancel := hub.Subscribe()
		defer cancel()
		for range bridge.HubBacklog {
			hub.Publish(track.Event{Kind: track.EventCallEnded, Call: new(track.Call)})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := after.HeapAlloc - before.HeapAlloc
	t.Logf("%d subscribers that never read take %d KiB", subscribers, heap>>10)
	if heap > bound {
		t.Errorf("%d subscribers that never read take %d octets, want at most %d", subscribers, heap, bound)
	}
	runtime.KeepAlive(hub)
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
	got := drain(t, all)
	for i, at := range got {
		if at != track.Time(i) {
			t.Fatalf("event %d is %d", i, at)
		}
	}
	if len(got) != events || hub.Missed() != 0 {
		t.Errorf("got %d events, %d missed, want %d, 0", len(got), hub.Missed(), events)
	}
}
