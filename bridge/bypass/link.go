package bypass

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
)

// indexOf returns a NIC's ifindex; a netlink.LinkNotFoundError if there is no
// such NIC.
func indexOf(name string) (int, error) {
	nic, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return nic.Attrs().Index, nil
}

// nic returns a side's NIC: that of its name, and where there is none any more, that
// which Attach was for, under the name it has now.
func (b *Bypass) nic(side track.Side) (netlink.Link, error) {
	nic, err := netlink.LinkByName(b.nics[side])
	if index := atomic.LoadUint32(&b.page.Sides[side].Nic); index != 0 && errors.As(err, &netlink.LinkNotFoundError{}) {
		return netlink.LinkByIndex(int(index))
	}
	return nic, err
}

// promiscuous sets IFF_PROMISC on a side's NIC, or takes it back if it was set
// here. The packet sockets have the NICs promiscuous, but not beyond their
// process's end, and a NIC that filters by address is no wire. It is marked before
// it is done, and unmarked after it was undone: a box may be killed in between. The
// record has the mark, too: the state goes with a process that has attached nothing.
// A NIC that was made anew has to wait for its Attach: the mark is not about it.
func (b *Bypass) promiscuous(side track.Side, on bool) error {
	s := &b.page.Sides[side]
	nic, err := b.nic(side)
	if err != nil {
		return err
	}
	if uint32(nic.Attrs().Index) != atomic.LoadUint32(&s.Nic) {
		return nil
	}
	is := nic.Attrs().RawFlags&unix.IFF_PROMISC != 0
	switch {
	case on && !is:
		atomic.StoreUint32(&s.Promisc, 1)
		b.remember()
		if err := netlink.SetPromiscOn(nic); err != nil {
			atomic.StoreUint32(&s.Promisc, 0)
			return fmt.Errorf("set promiscuous mode: %w", err)
		}
	case !on && atomic.LoadUint32(&s.Promisc) != 0:
		if err := netlink.SetPromiscOff(nic); err != nil {
			return fmt.Errorf("take promiscuous mode back: %w", err)
		}
		atomic.StoreUint32(&s.Promisc, 0)
	}
	return nil
}
