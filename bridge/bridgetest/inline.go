package bridgetest

import "fmt"

// Names and addresses of the topology that Inline makes.
const (
	HostNIC    = "eth0" // of clients and server
	LANNIC     = "lan"  // of the box
	WANNIC     = "wan"  // of the box
	ServerAddr = "10.77.0.2"

	prefixLength = 24
	maxClients   = 200
)

// ClientAddr returns the address of the i-th client, counted from 0:
// 10.77.0.11 and up.
func ClientAddr(i int) string { return fmt.Sprintf("10.77.0.%d", 11+i) }

// InlineOption says how a topology differs from the simplest one.
type InlineOption struct {
	Clients int        // more than one are joined by a Linux bridge on the LAN side
	Veth    VethOption // for every pair
}

// Topology is a box between clients and a server:
//
//	client ------------- lan|box|wan ------------- server
//	eth0 10.77.0.11/24     no addresses     eth0 10.77.0.2/24
//
// and with several clients
//
//	client1 --+
//	client2 --+ switch --- lan|box|wan --- server
//	client3 --+
//
// Offloads are the kernel's defaults (on) unless the option says otherwise.
type Topology struct {
	Lab                 *Lab
	Client, Box, Server *Namespace // Client is the first of Clients
	Clients             []*Namespace
	Switch              *Namespace // nil with one client
}

// Inline makes the topology. What joins the box's two NICs is up to the
// caller: the box to be tested, or BridgeBox.
func Inline(l *Lab, opts ...InlineOption) (*Topology, error) {
	o := InlineOption{Clients: 1}
	for _, opt := range opts {
		o.Clients = max(o.Clients, opt.Clients)
		o.Veth.MTU = max(o.Veth.MTU, opt.Veth.MTU)
		o.Veth.OffloadsOff = o.Veth.OffloadsOff || opt.Veth.OffloadsOff
	}
	if o.Clients > maxClients {
		return nil, fmt.Errorf("inline topology: %d clients, want at most %d", o.Clients, maxClients)
	}
	top := &Topology{Lab: l}
	if err := top.build(o); err != nil {
		return nil, fmt.Errorf("inline topology: %w", err)
	}
	return top, nil
}

func (top *Topology) build(o InlineOption) error {
	var err error
	if top.Box, err = top.Lab.Namespace("box"); err != nil {
		return err
	}
	if top.Server, err = top.host("server", ServerAddr, top.Box, WANNIC, o.Veth); err != nil {
		return err
	}
	if o.Clients == 1 {
		top.Client, err = top.host("client", ClientAddr(0), top.Box, LANNIC, o.Veth)
		top.Clients = []*Namespace{top.Client}
		return err
	}
	return top.buildLAN(o)
}

// buildLAN makes several clients and the switch that joins them.
func (top *Topology) buildLAN(o InlineOption) error {
	var err error
	if top.Switch, err = top.Lab.Namespace("switch"); err != nil {
		return err
	}
	ports := []string{"box"}
	if err := top.Lab.Veth(top.Switch, "box", top.Box, LANNIC, o.Veth); err != nil {
		return err
	}
	for i := range o.Clients {
		name := fmt.Sprintf("client%d", i+1)
		client, err := top.host(name, ClientAddr(i), top.Switch, name, o.Veth)
		if err != nil {
			return err
		}
		top.Clients, ports = append(top.Clients, client), append(ports, name)
	}
	top.Client = top.Clients[0]
	return top.Switch.Bridge("br0", ports...)
}

// host makes a namespace with one addressed NIC, joined to another namespace.
func (top *Topology) host(name, addr string, to *Namespace, toNIC string, o VethOption) (*Namespace, error) {
	ns, err := top.Lab.Namespace(name)
	if err != nil {
		return nil, err
	}
	if err := top.Lab.Veth(ns, HostNIC, to, toNIC, o); err != nil {
		return nil, err
	}
	return ns, ns.Address(HostNIC, fmt.Sprintf("%s/%d", addr, prefixLength))
}

// BridgeBox joins the box's NICs by a Linux bridge: the cable that a box under
// test is compared with.
func (top *Topology) BridgeBox() error { return top.Box.Bridge("br0", LANNIC, WANNIC) }
