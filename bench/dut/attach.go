package dut

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Attach stands for a device that is cabled to two NICs of this machine. They
// move to namespaces for the time of the measurement, as this machine would
// deliver what it sends to itself without a cable, and come back with Close.
func Attach(lan, wan string) (*Site, error) {
	s := &Site{Device: Device{Name: "device", About: fmt.Sprintf("what is between %s and %s", lan, wan)}}
	if err := s.attach(lan, wan); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Site) attach(lan, wan string) (err error) {
	if s.lab, err = bridgetest.Open("bench-attach"); err != nil {
		return err
	}
	ends := []struct {
		host *Host
		name string
		nic  string
		addr func() Host
	}{
		{&s.LAN, "client", lan, func() Host { return Host{Addr: ClientAddr(0)} }},
		{&s.WAN, "server", wan, func() Host { return Host{Addr: ServerAddr} }},
	}
	for _, e := range ends {
		*e.host = e.addr()
		if e.host.Namespace, err = s.lab.Namespace(e.name); err != nil {
			return err
		}
		nic, err := borrow(e.nic, e.host.Namespace)
		if err != nil {
			return fmt.Errorf("NIC %s: %w", e.nic, err)
		}
		e.host.NIC = e.nic
		s.nics = append(s.nics, nic)
	}
	return s.address()
}

// borrowed is a NIC that was moved away from where it was.
type borrowed struct {
	name string
	home netns.NsHandle // where it was
	to   *bridgetest.Namespace
	up   bool
}

var errInUse = errors.New("it has an IP address, which it would lose: take one that nobody uses")

// borrow moves a NIC of this process's namespace to another, and brings it up.
func borrow(name string, to *bridgetest.Namespace) (*borrowed, error) {
	nic, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	addresses, err := netlink.AddrList(nic, netlink.FAMILY_V4)
	if err != nil || len(addresses) > 0 {
		return nil, errors.Join(err, errInUse)
	}
	b := &borrowed{name: name, to: to, up: nic.Attrs().Flags&net.FlagUp != 0}
	if b.home, err = netns.Get(); err != nil {
		return nil, err
	}
	target, err := netns.GetFromName(to.Name())
	if err != nil {
		return nil, err
	}
	defer target.Close()
	if err := netlink.LinkSetNsFd(nic, int(target)); err != nil {
		return nil, err
	}
	if err := to.SetUp(name); err != nil {
		return nil, errors.Join(err, b.giveBack())
	}
	return b, nil
}

// giveBack moves the NIC back, up if it was.
func (b *borrowed) giveBack() error {
	defer b.home.Close()
	nic, err := b.to.Netlink().LinkByName(b.name)
	if err == nil {
		err = b.to.Netlink().LinkSetNsFd(nic, int(b.home))
	}
	if err == nil && b.up {
		err = netlink.LinkSetUp(nic)
	}
	if err != nil {
		return fmt.Errorf("give NIC %s back: %w", b.name, err)
	}
	return nil
}
