package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grewire/grewire/track"
)

// idleWait is how long a worker waits for frames before it lets time pass for
// those it holds.
const idleWait = 100 * time.Millisecond

// worker carries the frames of one direction from one port to the other.
type worker struct {
	lane    *Lane
	in, out Port
	clock   Clock
	cpu     int // which of the process's CPUs it works on
	onLink  func(up bool)
	down    bool
	leaving []*track.Frame
}

// run works until ctx is done or a port fails for good. It has an operating
// system thread for itself: handing work between threads costs more than the
// work.
func (w *worker) run(ctx context.Context) error {
	defer pin(w.cpu)()
	for ctx.Err() == nil {
		frames, err := w.in.Receive(idleWait)
		if err != nil && !errors.Is(err, ErrPortDown) {
			return fmt.Errorf("receive on the %s side: %w", w.lane.side, err)
		}
		w.link(err == nil)
		if err := w.carry(w.lane.Process(frames, w.clock())); err != nil {
			return err
		}
	}
	return w.carry(w.lane.Flush(w.clock()))
}

// link reports when the port it receives from goes down or comes back.
func (w *worker) link(up bool) {
	if up == w.down {
		w.down = !up
		w.onLink(up)
	}
}

// carry sends what may leave and counts what became of everything.
func (w *worker) carry(decided []*track.Frame) error {
	w.leaving = w.leaving[:0]
	for _, f := range decided {
		if f.Verdict.Passes() {
			w.leaving = append(w.leaving, f)
		}
	}
	var err error
	if len(w.leaving) > 0 {
		err = w.out.Send(w.leaving)
	}
	w.lane.Count(decided)
	if err != nil && !errors.Is(err, ErrPortDown) {
		return fmt.Errorf("send on the %s side: %w", w.lane.side.Other(), err)
	}
	return nil
}
