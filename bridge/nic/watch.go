package nic

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// State is the part of a NIC that others change while the box runs.
type State struct {
	Index   int // interface index; 0: there is no such NIC, and all else is zero
	Name    string
	Up      bool // IFF_UP: somebody set it up
	Running bool // IFF_RUNNING: it is up and has a link
	MTU     int
	// LeftDown says that a box took it down (Links.TakeDown) and has not
	// brought it up again.
	LeftDown bool
}

// Change is what the kernel says when a NIC was made, changed or removed.
type Change struct {
	State
	Deleted bool // only Index and Name count
}

// stateOf reads link attributes.
func stateOf(a *netlink.LinkAttrs) State {
	return State{
		Index: a.Index, Name: a.Name, MTU: a.MTU,
		Up:       a.RawFlags&unix.IFF_UP != 0,
		Running:  a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		LeftDown: slices.Contains(a.AltNames, downMark(a.Index)),
	}
}

// changeOf reads a link message. Messages of other families on the same group
// are about something else: that of a bridge port says RTM_DELLINK when the
// port leaves its bridge.
func changeOf(u netlink.LinkUpdate) (c Change, ok bool) {
	return Change{State: stateOf(u.Attrs()), Deleted: u.Header.Type == unix.RTM_DELLINK}, u.Family == unix.AF_UNSPEC
}

// Watch is a subscription to the changes of all NICs of a namespace, in their
// order.
type Watch struct {
	changes chan Change
	done    chan struct{}
}

// NewWatch begins to watch the NICs of the calling thread's network namespace.
// What was there before is not told: look after NewWatch, and nothing is
// missed.
func NewWatch() (*Watch, error) { return newWatch(watchBuffer) }

// watchBuffer is what the kernel may queue, in octets: a link message has
// about 2 KiB with its bookkeeping.
const watchBuffer = 1 << 20

func newWatch(buffer int) (*Watch, error) {
	w := &Watch{changes: make(chan Change), done: make(chan struct{})}
	updates := make(chan netlink.LinkUpdate)
	err := netlink.LinkSubscribeWithOptions(updates, w.done, netlink.LinkSubscribeOptions{ReceiveBufferSize: buffer})
	if err != nil {
		close(w.done)
		return nil, fmt.Errorf("watch the NICs: %w", err)
	}
	go w.translate(updates)
	return w, nil
}

func (w *Watch) translate(updates <-chan netlink.LinkUpdate) {
	defer close(w.changes)
	for u := range updates {
		c, ok := changeOf(u)
		if !ok {
			continue
		}
		select {
		case w.changes <- c:
		case <-w.done: // nobody asks any more; the updates end soon
		}
	}
}

// Changes returns the channel of changes. It is closed when the kernel had no
// room for more (ENOBUFS) or the subscription broke otherwise: then Stop this
// watch, begin a new one, and look at everything again.
func (w *Watch) Changes() <-chan Change { return w.changes }

// Stop ends the watch and waits for its goroutine.
func (w *Watch) Stop() {
	close(w.done)
	for range w.changes {
	}
}
