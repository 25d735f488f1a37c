package dut

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Attach stands for a device that is cabled to two NICs of this machine. They
// move to namespaces for the time of the measurement, as this machine would
// deliver what it sends to itself without a cable, and come back with Close. mtu
// is what both have to carry, in octets.
func Attach(lan, wan string, mtu int) (*Site, error) {
	s := &Site{Device: Device{Name: "device", About: fmt.Sprintf("what is between %s and %s", lan, wan)}}
	if err := s.attach(lan, wan, mtu); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Site) attach(lan, wan string, mtu int) (err error) {
	if s.lab, err = bridgetest.Open("bench-attach"); err != nil {
		return err
	}
	ends := []struct {
		host *Host
		name string
		nic  string
		addr netip.Addr
	}{{&s.LAN, "client", lan, ClientAddr(0)}, {&s.WAN, "server", wan, ServerAddr}}
	for _, e := range ends {
		*e.host = Host{NIC: e.nic, Addr: e.addr}
		if e.host.Namespace, err = s.lab.Namespace(e.name); err != nil {
			return err
		}
		nic, err := borrow(e.nic, mtu, e.host.Namespace)
		if err != nil {
			return fmt.Errorf("NIC %s: %w", e.nic, err)
		}
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

// Why a NIC is not taken.
var (
	errInUse  = errors.New("it has an IP address, which it would lose: take one that nobody uses")
	errMaster = errors.New("it is part of a bridge or a bond, which it would leave: take one that nobody uses")
)

// borrow moves a NIC of this process's namespace to another, and brings it up.
func borrow(name string, mtu int, to *bridgetest.Namespace) (*borrowed, error) {
	nic, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	if err := idle(nic); err != nil {
		return nil, err
	}
	if has := nic.Attrs().MTU; has < mtu {
		return nil, fmt.Errorf("its MTU is %d, the frames want %d: set it, and the device's", has, mtu)
	}
	target, err := netns.GetFromName(to.Name())
	if err != nil {
		return nil, err
	}
	defer target.Close()
	b := &borrowed{name: name, to: to, up: nic.Attrs().Flags&net.FlagUp != 0}
	if b.home, err = netns.Get(); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetNsFd(nic, int(target)); err != nil {
		return nil, errors.Join(err, b.home.Close())
	}
	if err := to.SetUp(name); err != nil {
		return nil, errors.Join(err, b.giveBack())
	}
	return b, nil
}

// idle returns an error if the NIC has what would not come back with it. An IPv6
// address of the link does by itself.
func idle(nic netlink.Link) error {
	if nic.Attrs().MasterIndex != 0 {
		return errMaster
	}
	addresses, err := netlink.AddrList(nic, netlink.FAMILY_ALL)
	inUse := func(a netlink.Addr) bool { return !a.IP.IsLinkLocalUnicast() || a.IP.To4() != nil }
	if err == nil && slices.ContainsFunc(addresses, inUse) {
		err = errInUse
	}
	return err
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
