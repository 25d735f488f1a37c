package nic

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Links looks at and changes the NICs of a network namespace. It is for one
// goroutine at a time.
type Links struct{ handle *netlink.Handle }

// NewLinks returns the Links of the calling thread's network namespace.
func NewLinks() (*Links, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &Links{handle}, nil
}

// Close closes the Links.
func (l *Links) Close() error {
	l.handle.Close()
	return nil
}

// ByName returns the state of the NIC of that name, the zero State if there
// is none.
func (l *Links) ByName(name string) (State, error) { return found(l.handle.LinkByName(name)) }

// ByIndex returns the state of the NIC of that interface index, the zero State
// if there is none.
func (l *Links) ByIndex(index int) (State, error) { return found(l.handle.LinkByIndex(index)) }

func found(link netlink.Link, err error) (State, error) {
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("look at a NIC: %w", err)
	}
	return stateOf(link.Attrs()), nil
}

// downMark is the alternative name (ip link property add dev NIC altname NAME)
// of a NIC that was taken down. It is kept by the kernel, so that it lives
// longer than a box that is killed and as long as the NIC, and "ip link" shows
// it. Such names are unique in a namespace, hence the index.
func downMark(index int) string { return fmt.Sprintf("grewire-took-down-%d", index) }

// TakeDown sets a NIC down and marks it as taken down, so that BringUp can be
// done by a later box. It needs CAP_NET_ADMIN. Kernels before 5.5 cannot mark
// it, which is no error.
func (l *Links) TakeDown(index int) error {
	// Marked first: a box that is killed in between leaves a mark too much,
	// which does no harm.
	if err := l.handle.LinkAddAltName(byIndex(index), downMark(index)); err != nil && !isAny(err, unix.EEXIST, unix.EOPNOTSUPP, unix.EINVAL) {
		return fmt.Errorf("mark NIC %d as taken down: %w", index, err)
	}
	if err := l.handle.LinkSetDown(byIndex(index)); err != nil {
		return errors.Join(fmt.Errorf("set NIC %d down: %w", index, err), l.Unmark(index))
	}
	return nil
}

// BringUp sets a NIC up that was taken down, and takes the mark away. It needs
// CAP_NET_ADMIN.
func (l *Links) BringUp(index int) error {
	if err := l.handle.LinkSetUp(byIndex(index)); err != nil {
		return fmt.Errorf("set NIC %d up: %w", index, err)
	}
	return l.Unmark(index)
}

// Unmark takes the mark of TakeDown away.
func (l *Links) Unmark(index int) error {
	err := l.handle.LinkDelAltName(byIndex(index), downMark(index))
	if err != nil && !isAny(err, unix.ENOENT, unix.ENODEV, unix.EOPNOTSUPP, unix.EINVAL) {
		return fmt.Errorf("take the mark off NIC %d: %w", index, err)
	}
	return nil
}

func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func isAny(err error, errnos ...unix.Errno) bool {
	for _, errno := range errnos {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
