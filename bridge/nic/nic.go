// Package nic looks at a network interface before the box takes it: what it
// is, what it is set to, and whether a pair of them can be bridged
// transparently. While the box runs, Watch tells what becomes of it, and Links
// and Features change what the box must.
package nic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// NIC is what Inspect found out about an interface of the calling thread's
// network namespace.
type NIC struct {
	Name   string
	Exists bool // false: everything below is zero

	Index   int
	MAC     net.HardwareAddr
	MTU     int
	Type    string // link layer: "ether" (ARPHRD_ETHER) or another of if_arp.h's
	Up      bool   // IFF_UP: somebody set it up
	Carrier bool   // IFF_LOWER_UP: there is a link; false while it is not up

	// Master is the name of the bridge, bond or team the NIC belongs to.
	Master string
	// Addresses are the IP addresses it has, the IPv6 link-local ones, which
	// come by themselves, in LinkLocal.
	Addresses, LinkLocal []netip.Prefix

	Offloads Offloads
	Driver   Driver
}

// Driver is what the driver says of itself; zero where it does not.
type Driver struct {
	Name, Version, Firmware, Bus string
	RXRing, RXRingMax            uint32 // frames
	TXRing, TXRingMax            uint32
}

// Inspect looks at the named interface. One that does not exist is no error
// but a NIC with Exists false; an error means that looking failed.
func Inspect(name string) (NIC, error) {
	n := NIC{Name: name}
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("inspect %s: %w", name, err)
	}
	n.describe(link.Attrs())
	if err := n.readAddresses(link); err != nil {
		return n, fmt.Errorf("inspect %s: %w", name, err)
	}
	n.Master = masterName(link.Attrs().MasterIndex)
	if err := n.askDriver(); err != nil {
		return n, fmt.Errorf("inspect %s: %w", name, err)
	}
	return n, nil
}

func (n *NIC) describe(a *netlink.LinkAttrs) {
	n.Exists = true
	n.Index = a.Index
	n.MAC = a.HardwareAddr
	n.MTU = a.MTU
	n.Type = a.EncapType
	n.Up = a.Flags&net.FlagUp != 0
	n.Carrier = a.RawFlags&iffLowerUp != 0
}

// iffLowerUp is IFF_LOWER_UP (linux/if.h), which x/sys lacks.
const iffLowerUp = 1 << 16

func (n *NIC) readAddresses(link netlink.Link) error {
	addrs, err := listAddresses(link)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		bits, _ := a.Mask.Size()
		prefix := netip.PrefixFrom(ip, bits)
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			n.LinkLocal = append(n.LinkLocal, prefix)
		} else {
			n.Addresses = append(n.Addresses, prefix)
		}
	}
	return nil
}

// listAddresses asks again when addresses changed under the answer.
func listAddresses(link netlink.Link) (addrs []netlink.Addr, err error) {
	for range 5 {
		addrs, err = netlink.AddrList(link, netlink.FAMILY_ALL)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return addrs, err
}

// masterName names a master; one that is in another namespace or has just
// gone by its index.
func masterName(index int) string {
	if index == 0 {
		return ""
	}
	master, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return master.Attrs().Name
}

// askDriver fills in what ethtool(8) would show. Most drivers answer a part of
// the questions only, so that a refused question is not an error.
func (n *NIC) askDriver() error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	if f, err := (driverFeatures{e}).Features(n.Name); err == nil {
		n.Offloads = readOffloads(f)
	}
	if d, err := e.DriverInfo(n.Name); err == nil {
		n.Driver = Driver{Name: d.Driver, Version: d.Version, Firmware: d.FwVersion, Bus: d.BusInfo}
	}
	if r, err := e.GetRing(n.Name); err == nil {
		n.Driver.RXRing, n.Driver.RXRingMax = r.RxPending, r.RxMaxPending
		n.Driver.TXRing, n.Driver.TXRingMax = r.TxPending, r.TxMaxPending
	}
	return nil
}
