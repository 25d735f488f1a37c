package dut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Host is an end: a NIC in a network namespace.
type Host struct {
	Namespace *bridgetest.Namespace
	NIC       string
	Addr      netip.Addr
}

// Site is a device in its place.
type Site struct {
	Device Device
	// LAN has the PPTP clients, WAN the server.
	LAN, WAN Host

	lab     *bridgetest.Lab
	top     *bridgetest.Topology // nil if the device is another machine
	process *bridgetest.Process  // nil if the device is in the kernel
	nics    []*borrowed          // of an attached device
	napi    bool
}

// prefixLength is that of all addresses: one link, as a bump in the wire has it.
const prefixLength = 16

// ServerAddr is the server's; clients have the addresses from ClientAddr(0) on.
var ServerAddr = netip.MustParseAddr("10.77.0.2")

// ClientAddr returns the i-th client's address: 10.77.1.0 and up.
func ClientAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 1 + byte(i>>8), byte(i)}) }

// Place puts a device between two namespaces and starts it. mtu is that of all
// NICs, in octets.
func Place(d Device, mtu int) (*Site, error) {
	s := &Site{Device: d}
	if err := s.place(mtu); err != nil {
		return nil, errors.Join(fmt.Errorf("device %s: %w", d.Name, err), s.Close())
	}
	return s, nil
}

func (s *Site) place(mtu int) (err error) {
	if s.lab, err = bridgetest.Open("bench-" + s.Device.Name); err != nil {
		return err
	}
	veth := bridgetest.VethOption{MTU: mtu, OffloadsOff: true}
	if s.top, err = bridgetest.Inline(s.lab, bridgetest.InlineOption{Veth: veth}); err != nil {
		return err
	}
	s.LAN = Host{s.top.Client, bridgetest.HostNIC, ClientAddr(0)}
	s.WAN = Host{s.top.Server, bridgetest.HostNIC, ServerAddr}
	if err := s.address(); err != nil {
		return err
	}
	return s.Device.start(s)
}

// address gives both ends addresses of the wider prefix.
func (s *Site) address() error {
	for _, h := range []Host{s.LAN, s.WAN} {
		if err := h.address(h.Addr); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) address(a netip.Addr) error {
	return h.Namespace.Address(h.NIC, netip.PrefixFrom(a, prefixLength).String())
}

// Neighbour returns the Ethernet address that the end's IP stack has for one that
// it has talked to.
func (h *Host) Neighbour(a netip.Addr) (net.HardwareAddr, error) {
	neighbours, err := h.Namespace.Netlink().NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("neighbours in %s: %w", h.Namespace, err)
	}
	for _, n := range neighbours {
		if n.IP.Equal(a.AsSlice()) && len(n.HardwareAddr) > 0 {
			return n.HardwareAddr, nil
		}
	}
	return nil, fmt.Errorf("%s has no neighbour %s", h.Namespace, a)
}

// AddClients gives the LAN's end addresses up to ClientAddr(n-1).
func (s *Site) AddClients(from, n int) error {
	for i := max(1, from); i < n; i++ {
		if err := s.LAN.address(ClientAddr(i)); err != nil {
			return err
		}
	}
	return nil
}

// PID is the device's process, 0 if it has none.
func (s *Site) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.PID()
}

// Alive returns an error if the device's process has ended, with the last that it wrote.
func (s *Site) Alive() error {
	if s.process == nil {
		return nil
	}
	select {
	case <-s.process.Done():
		return errors.Join(fmt.Errorf("device %s has ended", s.Device.Name), s.process.Wait(context.Background()))
	default:
		return nil
	}
}

// SetNAPI has the device's NICs take frames that an XDP program redirects to
// them, or not: of a veth that is what GRO decides.
func (s *Site) SetNAPI(on bool) error {
	if s.top == nil || s.napi == on {
		return nil
	}
	err := s.top.Box.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer tool.Close()
		for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
			if err := tool.Change(nic, map[string]bool{"rx-gro": on}); err != nil {
				return fmt.Errorf("GRO of %s: %w", nic, err)
			}
		}
		return nil
	})
	if err == nil {
		s.napi = on
	}
	return err
}

// Close stops the device and takes its lab away.
func (s *Site) Close() error {
	var errs []error
	if s.process != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.process.Stop(ctx) // one that does not want to is killed
	}
	for _, nic := range s.nics {
		errs = append(errs, nic.giveBack())
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}
