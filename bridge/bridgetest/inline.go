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
	maxServers   = 9
)

// ServerAddrAt returns the address of the i-th server, counted from 0:
// ServerAddr and up.
func ServerAddrAt(i int) string { return fmt.Sprintf("10.77.0.%d", 2+i) }

// ClientAddr returns the address of the i-th client, counted from 0:
// 10.77.0.11 and up.
func ClientAddr(i int) string { return fmt.Sprintf("10.77.0.%d", 11+i) }

// InlineOption says how a topology differs from the simplest one.
type InlineOption struct {
	Clients int        // more than one are joined by a Linux bridge on the LAN side
	Servers int        // the same on the WAN side
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
// and the same with several servers.
//
// Offloads are the kernel's defaults (on) unless the option says otherwise.
type Topology struct {
	Lab                 *Lab
	Client, Box, Server *Namespace // the first of Clients, and of Servers
	Clients, Servers    []*Namespace
	Switch              *Namespace // of the LAN; nil with one client
}

// Inline makes the topology. What joins the box's two NICs is up to the
// caller: the box to be tested, or BridgeBox.
func Inline(l *Lab, opts ...InlineOption) (*Topology, error) {
	o := InlineOption{Clients: 1, Servers: 1}
	for _, opt := range opts {
		o.Clients = max(o.Clients, opt.Clients)
		o.Servers = max(o.Servers, opt.Servers)
		o.Veth.MTU = max(o.Veth.MTU, opt.Veth.MTU)
		o.Veth.OffloadsOff = o.Veth.OffloadsOff || opt.Veth.OffloadsOff
	}
	if o.Clients > maxClients {
		return nil, fmt.Errorf("inline topology: %d clients, want at most %d", o.Clients, maxClients)
	}
	if o.Servers > maxServers {
		return nil, fmt.Errorf("inline topology: %d servers, want at most %d", o.Servers, maxServers)
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
	servers := hosts{"server", o.Servers, ServerAddrAt, WANNIC, "wanswitch"}
	if top.Servers, _, err = top.buildSide(servers, o.Veth); err != nil {
		return err
	}
	clients := hosts{"client", o.Clients, ClientAddr, LANNIC, "switch"}
	if top.Clients, top.Switch, err = top.buildSide(clients, o.Veth); err != nil {
		return err
	}
	top.Server, top.Client = top.Servers[0], top.Clients[0]
	return nil
}

// hosts are what there is on one side of the box.
type hosts struct {
	kind   string
	n      int
	addr   func(i int) string
	boxNIC string
	middle string // the switch that joins several
}

// buildSide makes the hosts of one side, and the switch that joins several.
func (top *Topology) buildSide(h hosts, o VethOption) (made []*Namespace, middle *Namespace, err error) {
	if h.n == 1 {
		host, err := top.host(h.kind, h.addr(0), top.Box, h.boxNIC, o)
		return []*Namespace{host}, nil, err
	}
	if middle, err = top.Lab.Namespace(h.middle); err != nil {
		return nil, nil, err
	}
	ports := []string{"box"}
	if err := top.Lab.Veth(middle, "box", top.Box, h.boxNIC, o); err != nil {
		return nil, nil, err
	}
	for i := range h.n {
		name := fmt.Sprintf("%s%d", h.kind, i+1)
		host, err := top.host(name, h.addr(i), middle, name, o)
		if err != nil {
			return nil, nil, err
		}
		made, ports = append(made, host), append(ports, name)
	}
	return made, middle, middle.Bridge("br0", ports...)
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
