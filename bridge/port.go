package bridge

import (
	"errors"
	"time"

	"github.com/grewire/grewire/track"
)

// ErrPortDown says that the link of a port is down. The same port works again
// when the link is back.
var ErrPortDown = errors.New("link is down")

// BatchSize is how many frames at most travel together through the box.
const BatchSize = 64

// A Port is one attachment of the box to a link. One worker receives from it
// and one worker, usually another, sends to it; neither call is used by two
// goroutines at once, but Receive and Send run side by side.
type Port interface {
	// Receive waits up to wait for frames and returns at most BatchSize of
	// them, with Data, Offload, Truncated and Number filled in. None and no
	// error means that wait is over. The frames and their bytes belong to the
	// port and are valid until the next Receive. ErrPortDown says that the
	// link is down and that it is worth trying again; any other error is
	// final. Wake makes a waiting Receive return early.
	Receive(wait time.Duration) ([]track.Frame, error)

	// Send transmits frames in their order. It never blocks for long: a frame
	// that the port does not take gets Verdict Drop and one of the egress
	// reasons, and the frames behind it still go. The error, if any, is about
	// the port as a whole: ErrPortDown, or a final one; the frames that did
	// not go then have Verdict Drop too. Send keeps no reference to the frames.
	Send(frames []*track.Frame) error

	// Wake makes a Receive that waits return at once.
	Wake()
}
