package bridge

import (
	"time"

	"github.com/grewire/grewire/track"
)

// Guard watches a worker of one direction, and leads the direction's frames
// past the box while it does not move or while somebody wants it so. All of them:
// if one of several workers does not move, the others find their frames gone, too.
// A frame that goes past is also received by the port: the worker must not send it
// again. Its methods make no system call; one worker uses them.
type Guard interface {
	// Beat says that the worker moves: from now on frames are the box's, unless
	// another worker does not. It returns false if the Beat before, of any worker
	// of the direction, is so long ago that frames may have gone past the box since: what the worker has in hands would leave behind them,
	// and what its port has queued may be copies of them. After true no frame
	// received before this Beat went past.
	Beat() bool
	// Bypass reports whether somebody wants the frames to go past the box.
	Bypass() bool
	// Release says that the worker will send no more: once the last one of the
	// direction has said so, frames go past the box, if that is what somebody
	// wants or what is to be without a worker.
	Release()
}

// SocketMark is the SO_MARK (socket(7)) of the sockets that send a box's
// frames: the kernel programs let no other leave by the NICs, so that the host
// says nothing of its own there. It ends with the frame's way through this host.
const SocketMark = 0x67726577

const (
	// guardWait is how long a guarded worker waits for frames between two
	// beats: less than half of what a Guard takes for missing, since a machine
	// under load wakes a thread late.
	guardWait = 40 * time.Millisecond
	// settle is how long a worker drops frames at either switch. What was sent
	// before it may still be in a queue of another CPU (softnet backlog, or the
	// transmit queues of a NIC), where what is sent after it would overtake.
	settle = 5 * time.Millisecond
	// drainLimit ends the hand-back under a load that never lets the port
	// run empty: more frames than the largest receive buffer holds.
	drainLimit = 1 << 16
)

// waitOf is how long one of n guarded workers waits for frames. What a beat of
// one is worth depends on when the others beat last: two waits in all.
func waitOf(n int) time.Duration {
	if n > 1 {
		return guardWait / 2
	}
	return guardWait
}

// tend does what the guard asks for before a batch. It reports whether the
// worker carries the next one.
func (w *worker) tend() (carries bool, err error) {
	switch {
	case w.guard == nil:
		return true, nil
	case w.guard.Bypass():
		return false, w.standAside()
	case !w.beat() || w.away:
		return true, w.takeOver()
	}
	return true, nil
}

// beat reports whether the frames in hands are still the worker's to send.
func (w *worker) beat() bool {
	if w.guard != nil && !w.guard.Beat() {
		w.behind = true
	}
	return !w.behind
}

// takeOver begins to carry after frames went past the box. The beat has come
// first: a port gets its copy of a frame before the guard decides about it, so
// that every frame that went past is in the port's queue once the guard knows
// of the worker. All that is drained then went past, but for the few that came
// in between.
func (w *worker) takeOver() error {
	if w.away {
		w.wakeFellows()
	}
	w.away, w.behind = false, false
	w.giveUpHeld()
	return w.drain()
}

// standAside lets frames go past the box and only looks on, so that it knows
// the calls that come and go meanwhile.
func (w *worker) standAside() error {
	if !w.away {
		if err := w.letGo(); err != nil {
			return err
		}
	}
	frames, err := w.receive()
	w.lookAt(frames)
	return err
}

// letGo hands the direction over to the guard.
func (w *worker) letGo() error {
	w.wakeFellows()
	w.giveUpHeld()
	err := w.drain()
	w.guard.Release()
	w.away = true
	return err
}

// wakeFellows has the other workers of the direction look whether they are to let
// go or to take over: until all have, no frames pass.
func (w *worker) wakeFellows() {
	for _, port := range w.fellows {
		port.Wake()
	}
}

// drain takes what the port has, until it has had time to settle and has no
// more, and sends none of it. If frames went past once more meanwhile, or still
// do because of another worker, it is over: the worker is behind again.
func (w *worker) drain() error {
	over := time.Now().Add(settle)
	for n := 0; n < drainLimit && !w.behind; {
		left := max(0, time.Until(over))
		frames, err := w.receiveFor(left)
		w.beat()
		w.lookAt(frames)
		if err != nil || len(frames) == 0 && left == 0 {
			return err
		}
		n += len(frames)
	}
	return nil
}

// lookAt has the frames tracked, and drops them: they went past the box. A worker
// that has not let go beats on, also for the others of its direction.
func (w *worker) lookAt(frames []track.Frame) {
	for len(frames) > 0 {
		decided, taken := w.lane.ProcessPart(frames, w.clock())
		w.bypassed(decided)
		if frames = frames[taken:]; !w.away {
			w.beat()
		}
	}
}

// giveUpHeld drops the frames that wait for others, which may be past already.
func (w *worker) giveUpHeld() { w.bypassed(w.lane.Flush(w.clock())) }

// bypassed drops and counts frames.
func (w *worker) bypassed(decided []*track.Frame) {
	dropBypassed(decided)
	w.lane.Count(decided)
}

func dropBypassed(frames []*track.Frame) {
	for _, f := range frames {
		f.Verdict, f.Reason, f.Rewritten = track.Drop, track.ReasonBypassed, false
	}
}
