package links

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

// Options are the parts of a Keeper.
type Options struct {
	LAN, WAN string // names of the NICs
	// OnClaim is called once, by New, when both NICs are kept from other boxes
	// and neither is open yet: what is on them is no other box's. An error keeps
	// the box from starting. nil means that nobody asks.
	OnClaim func() error
	// Open opens a NIC of the calling thread's network namespace: a port for each
	// worker, which share its frames.
	Open func(name string) ([]Port, error)
	// Workers is how many ports Open returns; 0 means 1.
	Workers int
	// OnOpen is called whenever a NIC was opened, the first time and later,
	// once its frames can be received, in its network namespace. An error
	// keeps the box from starting; later it is logged, and OnOpen is called
	// again with the next NIC. nil means that nobody asks.
	OnOpen func(side track.Side, index int) error
	// OnEvent is told of link-down, link-up, nic-gone, nic-back and
	// mtu-changed, without a Time. nil means that nobody asks.
	OnEvent func(track.Event)
	// Propagate takes a side down while the other has no link.
	Propagate bool
	// Settle is how long a side that was brought up may take to find its link;
	// 0 means 15 s. It has to be longer than autonegotiation takes.
	Settle time.Duration
	// Log is told of problems and of what is done to NICs; nil means nobody.
	Log *slog.Logger
	// System is the kernel; nil means that of the calling thread's network
	// namespace. It is closed with the Keeper.
	System System
}

const (
	defaultSettle = 15 * time.Second
	// retryInterval is how long something that failed is left alone.
	retryInterval = time.Second
)

// Keeper keeps the ports of a box on their NICs.
type Keeper struct {
	options     Options
	system      System
	log         *slog.Logger
	watch       Watch // nil: it broke and could not be begun anew
	sides       [2]*side
	failed      chan struct{} // a port failed
	propagation *propagation  // nil: off
}

// New opens both NICs. They have been checked (nic.Verify). What a box that
// was killed left down is brought up.
func New(o Options) (*Keeper, error) {
	if o.System == nil {
		system, err := NewSystem()
		if err != nil {
			return nil, err
		}
		o.System = system
	}
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	o.Workers = max(o.Workers, 1)
	if o.OnClaim == nil {
		o.OnClaim = func() error { return nil }
	}
	if o.OnOpen == nil {
		o.OnOpen = func(track.Side, int) error { return nil }
	}
	if o.OnEvent == nil {
		o.OnEvent = func(track.Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{options: o, system: o.System, log: o.Log, failed: make(chan struct{}, 1)}
	for i, name := range [...]string{track.LAN: o.LAN, track.WAN: o.WAN} {
		k.sides[i] = newSide(k, track.Side(i), name)
	}
	if err := k.begin(); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// begin watches before it looks, so that nothing is missed, and changes nothing
// before both NICs are its own: they may be those of a box that runs.
func (k *Keeper) begin() (err error) {
	if k.watch, err = k.system.Watch(); err != nil {
		return err
	}
	for _, s := range k.sides {
		if err := s.claim(); err != nil {
			return err
		}
	}
	if err := k.options.OnClaim(); err != nil {
		return err
	}
	for _, s := range k.sides {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if k.options.Propagate {
		k.propagation = newPropagation(time.Now(), k.options.Settle)
	}
	return nil
}

// Ports returns the ports of a side, one for each worker. They live as long as
// the Keeper.
func (k *Keeper) Ports(side track.Side) []*Attachment { return k.sides[side].ports }

// Run follows the NICs until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	if err := k.system.Enter(); err != nil {
		return err
	}
	for _, s := range k.sides {
		s.announce()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c, told := <-k.changes():
			if told && !k.concerns(c) {
				continue
			}
			if !told {
				k.watchAnew()
			}
		case <-k.failed:
		case <-timer.C:
			if k.watch == nil {
				k.watchAnew()
			}
		}
		timer.Stop()
		if wait, waits := k.reconcile(time.Now()); waits {
			timer.Reset(wait)
		}
	}
}

// changes is nil, on which nothing ever comes, while there is no watch.
func (k *Keeper) changes() <-chan nic.Change {
	if k.watch == nil {
		return nil
	}
	return k.watch.Changes()
}

// concerns reports whether a change was one of the box's NICs'.
func (k *Keeper) concerns(c nic.Change) bool {
	ours := false
	for _, s := range k.sides {
		ours = s.follow(c) || ours
	}
	return ours
}

// watchAnew begins a new watch and looks at what may have been missed.
func (k *Keeper) watchAnew() {
	if k.watch != nil {
		k.watch.Stop()
		k.watch = nil
	}
	watch, err := k.system.Watch()
	if err != nil {
		k.log.Warn("the NICs cannot be watched", "error", err)
		return
	}
	k.watch = watch
	for _, s := range k.sides {
		s.catchUp()
	}
}

// reconcile makes everything as it should be, given how the NICs are now, and
// returns whether and when it has to be looked at again though nothing happens.
func (k *Keeper) reconcile(now time.Time) (wait time.Duration, waits bool) {
	var again time.Time
	var nics [2]nic.State
	for i, s := range k.sides {
		nics[i] = s.look()
		again = earlier(again, s.keepOpen(now, nics[i]))
		s.ports.setLink(nics[i].Running)
	}
	if k.propagation != nil {
		again = earlier(again, k.propagate(now, nics))
	}
	if k.watch == nil {
		again = earlier(again, now.Add(retryInterval))
	}
	return max(0, again.Sub(now)), !again.IsZero()
}

// propagate takes sides down and up, and returns when to ask again.
func (k *Keeper) propagate(now time.Time, nics [2]nic.State) (again time.Time) {
	for _, o := range k.propagation.decide(now, nics) {
		if err := k.carryOut(now, o, nics[o.side].Index); err != nil {
			k.sides[o.side].complain("link propagation", err)
			again = now.Add(retryInterval)
		}
	}
	for i, n := range nics {
		if n.LeftDown && k.propagation.takenDown(track.Side(i)) == 0 { // somebody else set it up
			_ = k.system.Unmark(n.Index) // of no use any more, and no harm
		}
	}
	return earlier(again, k.propagation.next(now))
}

func (k *Keeper) carryOut(now time.Time, o order, index int) error {
	act, message := k.system.TakeDown, "link propagation takes it down: the other side has no link"
	if o.up {
		act, message = k.system.BringUp, "link propagation brings it up: the other side has its link again"
	}
	if err := act(index); err != nil {
		return err
	}
	k.propagation.done(now, o, index)
	k.log.Info(message, "nic", k.sides[o.side].name)
	return nil
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Close closes the ports and leaves the NICs as they were found: up, and with
// their offloads. No Run, and no Receive or Send of a port, runs then.
func (k *Keeper) Close() error {
	var errs []error
	if k.watch != nil {
		k.watch.Stop()
		k.watch = nil
	}
	for _, s := range k.sides {
		if k.propagation != nil {
			if index := k.propagation.takenDown(s.side); index != 0 {
				errs = append(errs, k.system.BringUp(index))
			}
		}
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, k.system.Close())...)
}
