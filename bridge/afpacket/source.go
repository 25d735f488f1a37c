package afpacket

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
)

// frameSource is where a Port's frames come from: mmsg or ring. Its methods
// are for the goroutine that receives, unless they say otherwise.
type frameSource interface {
	// take returns the frames that are there, at most bridge.BatchSize, and
	// never waits: unix.EAGAIN says that there are none. It ends the life of
	// the frames that it returned before.
	take(fd int) ([]track.Frame, unix.Errno)
	// readError returns and clears the socket's error where take would not
	// meet it.
	readError(fd int) unix.Errno
	// idle is told that a wait was over without a frame, and how many frames
	// the kernel has dropped so far. An error is final.
	idle(fd int, drops uint64) error
	// counters returns Stats.Copied and Stats.Freezes; it and backend are for
	// everybody.
	counters() (copied, freezes uint64)
	backend() Backend
	// close lets go of what the kernel shares. The bytes of frames still in
	// somebody's hands may be read on; what they say is lost.
	close()
}

// receiver is the receiving half of a Port.
type receiver struct {
	mu     sync.Mutex // held by Receive
	source frameSource
	spin   spinner
	thread urgency
	fds    [2]unix.PollFd
	count  [8]byte // read from the eventfd
	number uint64
	asked  time.Time // when the NIC was last asked for its state

	received, truncated, unreadable atomic.Uint64
}

// note gives frames their numbers and counts them.
func (r *receiver) note(frames []track.Frame) {
	truncated := uint64(0)
	for i := range frames {
		r.number++
		frames[i].Number = r.number
		if frames[i].Truncated {
			truncated++
		}
	}
	r.received.Add(uint64(len(frames)))
	r.truncated.Add(truncated)
}
