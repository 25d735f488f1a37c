package bridge

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/track"
)

// Options are the parts of a Box.
type Options struct {
	LAN, WAN Port
	Engine   *Engine
	// Clock is the box's time; nil means NewClock.
	Clock Clock
	// OnLink is called when a side's link goes down or comes back; nil means
	// nobody asks.
	OnLink func(side track.Side, up bool)
	// Guards watch the worker of the frames that come in by a side; nil means
	// that nobody does.
	Guards [2]Guard
}

// Box is a running pair of ports.
type Box struct {
	options Options
	workers []*worker
}

// NewBox returns a Box that is ready to run.
func NewBox(o Options) *Box {
	if o.Clock == nil {
		o.Clock = NewClock()
	}
	if o.OnLink == nil {
		o.OnLink = func(track.Side, bool) {}
	}
	b := &Box{options: o}
	ports := [...]Port{track.LAN: o.LAN, track.WAN: o.WAN}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		b.workers = append(b.workers, &worker{
			lane: o.Engine.Lane(side), in: ports[side], out: ports[side.Other()], clock: o.Clock, cpu: int(side), guard: o.Guards[side],
			onLink: func(up bool) { o.OnLink(side, up) },
		})
	}
	return b
}

// tickInterval is how often what has timed out is looked for.
const tickInterval = 100 * time.Millisecond

// Run carries frames until ctx is done, and then returns nil; or until a port
// fails for good, and then returns why. Frames already received have left or
// were counted as dropped when it returns.
func (b *Box) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range b.workers {
		group.Go(func() error { return w.run(ctx) })
	}
	group.Go(func() error {
		b.tick(ctx)
		return nil
	})
	return group.Wait()
}

// tick lets time pass for connections and calls, and wakes the workers when
// ctx is done.
func (b *Box) tick(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			b.options.LAN.Wake()
			b.options.WAN.Wake()
			return
		case <-ticker.C:
			b.options.Engine.Tick(b.options.Clock())
		}
	}
}
