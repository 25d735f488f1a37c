package bridge

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/track"
)

// Options are the parts of a Box.
type Options struct {
	// LAN and WAN have a port for each worker of a direction, as many on both
	// sides: worker i takes frames from port i of one side and sends them by port
	// i of the other. Frames that must not overtake each other come in by one port.
	LAN, WAN []Port
	Engine   *Engine
	// Clock is the box's time; nil means NewClock.
	Clock Clock
	// OnLink is called when a side's link goes down or comes back; nil means
	// nobody asks.
	OnLink func(side track.Side, up bool)
	// Guards watch the workers of the frames that come in by a side; none means
	// that nobody does.
	Guards [2][]Guard
}

// Box is a running pair of ports, or several.
type Box struct {
	options Options
	workers [2][]*worker // by the side they take frames from
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
	for i := range o.LAN {
		b.addWorkers(i)
	}
	return b
}

// addWorkers adds the i-th worker of each direction.
func (b *Box) addWorkers(i int) {
	o := &b.options
	ports := [...][]Port{track.LAN: o.LAN, track.WAN: o.WAN}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		w := &worker{
			lane: o.Engine.Lane(side), in: ports[side][i], out: ports[side.Other()][i], fellows: others(ports[side], i),
			clock: o.Clock, cpu: turn(side, i, len(o.LAN)), wait: idleWait, onLink: func(bool) {},
		}
		if i == 0 { // the link is that of all
			w.onLink = func(up bool) { o.OnLink(side, up) }
		}
		if guards := o.Guards[side]; len(guards) > 0 && guards[i] != nil {
			w.guard, w.wait = guards[i], waitOf(len(guards))
		}
		b.workers[side] = append(b.workers[side], w)
	}
}

// others are all ports but the i-th.
func others(ports []Port, i int) []Port { return slices.Delete(slices.Clone(ports), i, i+1) }

// tickInterval is how often what has timed out is looked for.
const tickInterval = 100 * time.Millisecond

// Run carries frames until ctx is done, and then returns nil; or until a port
// fails for good, and then returns why. Frames already received have left or
// were counted as dropped when it returns.
func (b *Box) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range slices.Concat(b.workers[:]...) {
		group.Go(func() error { return w.run(ctx) })
	}
	group.Go(func() error {
		b.tick(ctx)
		return nil
	})
	err := group.Wait()
	b.options.Engine.Finish()
	return err
}

// tick lets time pass for connections and calls, and wakes the workers when
// ctx is done.
func (b *Box) tick(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, port := range slices.Concat(b.options.LAN, b.options.WAN) {
				port.Wake()
			}
			return
		case <-ticker.C:
			b.options.Engine.Tick(b.options.Clock())
		}
	}
}
