package bridgetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// carrierWait bounds the wait for a new veth pair to carry frames; the kernel
// may take up to a second (linkwatch).
const carrierWait = 10 * time.Second

// VethOption says how a veth pair differs from the kernel's defaults.
type VethOption struct {
	// MTU of both ends in octets; 0 leaves the default of 1500.
	MTU int
	// OffloadsOff turns checksum and segmentation offloads off at both ends,
	// so that every frame on the pair is as it would be on a cable.
	OffloadsOff bool
}

// Veth joins two namespaces by a veth pair, brings both ends up and waits
// until they carry frames. Fields set in later options win.
func (l *Lab) Veth(a *Namespace, aNIC string, b *Namespace, bNIC string, opts ...VethOption) error {
	var o VethOption
	for _, opt := range opts {
		o.MTU = max(o.MTU, opt.MTU)
		o.OffloadsOff = o.OffloadsOff || opt.OffloadsOff
	}
	if err := addVeth(a, aNIC, b, bNIC, o); err != nil {
		return fmt.Errorf("veth pair %s/%s to %s/%s: %w", a, aNIC, b, bNIC, err)
	}
	return nil
}

func addVeth(a *Namespace, aNIC string, b *Namespace, bNIC string, o VethOption) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = aNIC, o.MTU
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: bNIC, PeerNamespace: netlink.NsFd(b.handle)}
	if err := a.links.LinkAdd(pair); err != nil {
		return err
	}
	ends := []struct {
		ns  *Namespace
		nic string
	}{{a, aNIC}, {b, bNIC}}
	for _, end := range ends {
		if o.OffloadsOff {
			if err := end.ns.OffloadsOff(end.nic); err != nil {
				return err
			}
		}
		if err := end.ns.SetUp(end.nic); err != nil {
			return err
		}
	}
	for _, end := range ends {
		if err := end.ns.waitCarrier(end.nic); err != nil {
			return err
		}
	}
	return nil
}

// waitCarrier waits until the NIC's operational state is up (RFC 2863): until
// then the kernel drops what is sent through it.
func (ns *Namespace) waitCarrier(nic string) error {
	updates, done := make(chan netlink.LinkUpdate, 16), make(chan struct{})
	defer close(done)
	if err := netlink.LinkSubscribeAt(ns.handle, updates, done); err != nil {
		return ns.nicError("watch", nic, err)
	}
	link, err := ns.links.LinkByName(nic)
	if err != nil {
		return ns.nicError("find", nic, err)
	}
	state, deadline := link.Attrs().OperState, time.After(carrierWait)
	for state != netlink.OperUp {
		select {
		case update, ok := <-updates:
			if !ok {
				return ns.nicError("watch", nic, fmt.Errorf("netlink subscription ended"))
			}
			if update.Attrs().Name == nic {
				state = update.Attrs().OperState
			}
		case <-deadline:
			return ns.nicError("wait for", nic, fmt.Errorf("still %s after %v", state, carrierWait))
		}
	}
	return nil
}

// Dropped returns how many frames the kernel has dropped so far that were sent
// over the lab's veth pairs: the queue of the receiving CPU, which all virtual
// NICs of the machine share, had no room (net.core.netdev_max_backlog).
func (l *Lab) Dropped() (frames uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ns := range l.namespaces {
		links, err := ns.links.LinkList()
		if err != nil {
			return 0, fmt.Errorf("list the NICs in %s: %w", ns, err)
		}
		for _, link := range links {
			if s := link.Attrs().Statistics; s != nil {
				frames += s.TxDropped
			}
		}
	}
	return frames, nil
}

// offloads are parts of the names of features by which a NIC leaves checksums
// or segmentation to others (ethtool -k, in the kernel's own names).
var offloads = []string{"-checksum", "-segmentation", "-scatter-gather", "-gso-", "-gro", "-lro"}

func isOffload(feature string) bool {
	return slices.ContainsFunc(offloads, func(part string) bool { return strings.Contains(feature, part) })
}

// OffloadsOff turns a NIC's checksum and segmentation offloads off.
func (ns *Namespace) OffloadsOff(nic string) error {
	err := ns.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer tool.Close()
		states, err := tool.FeaturesWithState(nic)
		if err != nil {
			return err
		}
		change := make(map[string]bool)
		for name, state := range states {
			if isOffload(name) && state.Active && state.Available && !state.NeverChanged {
				change[name] = false
			}
		}
		return tool.Change(nic, change)
	})
	return ns.nicError("offloads off", nic, err)
}

// Bridge joins NICs of the namespace by a Linux bridge, which is up and
// forwards at once (no spanning tree, no multicast snooping, no netfilter).
func (ns *Namespace) Bridge(name string, ports ...string) error {
	attrs, snooping := netlink.NewLinkAttrs(), false
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := ns.links.LinkAdd(bridge); err != nil {
		return ns.nicError("add bridge", name, err)
	}
	// Where br_netfilter is loaded its default is to pass bridged frames to iptables.
	_ = ns.Sysctl("net.bridge.bridge-nf-call-iptables", "0")
	for _, port := range ports {
		join := func(link netlink.Link) error { return ns.links.LinkSetMaster(link, bridge) }
		if err := ns.withLink("add to "+name, port, join); err != nil {
			return err
		}
	}
	if err := ns.SetUp(name); err != nil {
		return err
	}
	return ns.waitCarrier(name)
}
