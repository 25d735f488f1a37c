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
	fellows []Port // those that the other workers of the direction wait at
	clock   Clock
	cpu     int           // which of the process's CPUs it works on
	wait    time.Duration // for frames, at most
	guard   Guard         // nil if there is none
	away    bool          // frames go past the box: the worker has let go of them
	behind  bool          // frames went past the box, and the worker has not taken over
	onLink  func(up bool)
	down    bool
	leaving []*track.Frame
	progress
}

// run works until ctx is done or a port fails for good. Whichever way it ends,
// no frame is left: what was held is given up and counted. The worker has an
// operating system thread for itself: handing work between threads costs more
// than the work.
func (w *worker) run(ctx context.Context) error {
	defer pin(w.cpu)()
	var err error
	for err == nil && ctx.Err() == nil {
		err = w.cycle()
	}
	err = errors.Join(err, w.carry(w.lane.Flush(w.clock())))
	if w.guard != nil && !w.away {
		_ = w.letGo() // a port that fails has failed before
	}
	return err
}

// cycle carries one batch, in parts if it is much work: what is decided leaves, and
// the guard hears of the worker, before it goes on.
func (w *worker) cycle() error {
	w.cycles.Add(1)
	if carries, err := w.tend(); !carries || err != nil {
		return err
	}
	frames, err := w.receive()
	for {
		if !w.beat() {
			w.lookAt(frames)
			return err
		}
		decided, taken := w.lane.ProcessPart(frames, w.clock())
		err = errors.Join(err, w.carry(decided))
		if frames = frames[taken:]; len(frames) == 0 {
			return err
		}
	}
}

// receive waits for frames, as long as the guard can wait for a beat.
func (w *worker) receive() ([]track.Frame, error) { return w.receiveFor(w.wait) }

// receiveFor waits for frames. That the link is down is no error.
func (w *worker) receiveFor(wait time.Duration) ([]track.Frame, error) {
	frames, err := w.in.Receive(wait)
	if err != nil && !errors.Is(err, ErrPortDown) {
		return frames, fmt.Errorf("receive on the %s side: %w", w.lane.side, err)
	}
	w.link(err == nil)
	return frames, nil
}

// link reports when the port it receives from goes down or comes back.
func (w *worker) link(up bool) {
	if up == w.down {
		w.down = !up
		w.onLink(up)
	}
}

// carry sends what may leave, reports what was dropped on the way out, and
// counts what became of everything.
func (w *worker) carry(decided []*track.Frame) error {
	w.leaving = w.leaving[:0]
	for _, f := range decided {
		if f.Verdict.Passes() {
			w.leaving = append(w.leaving, f)
		}
	}
	var err error
	if len(w.leaving) > 0 {
		if w.beat() {
			err = w.out.Send(w.leaving)
		} else {
			dropBypassed(w.leaving)
		}
		w.lane.ReportDrops(w.leaving)
	}
	w.lane.Count(decided)
	if err != nil && !errors.Is(err, ErrPortDown) {
		return fmt.Errorf("send on the %s side: %w", w.lane.side.Other(), err)
	}
	return nil
}
