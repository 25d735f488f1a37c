package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// natCase is something that real programs do through a box that translates.
type natCase struct {
	name, what string
	clients    int
	callID     uint16 // of each client; 0: random
	mtu        int
	forward    bool // the server is on the LAN, the clients on the WAN
	atOnce     int  // calls that the first client asks for besides, all at once
}

var natCases = []natCase{
	{name: "nat", what: "two clients with the same call ID", clients: 2, callID: 0x1234},
	{name: "nat3", what: "three clients with call ID 65535", clients: 3, callID: 0xffff},
	{name: "natsmallmtu", what: "MTU 128: each request in three segments", clients: 2, callID: 0x1234, mtu: 128},
	{name: "natcoalesce", what: "two requests of one connection in one segment", clients: 1, atOnce: 3},
	{name: "dnat", what: "two clients with the same call ID, the server behind the box", clients: 2, callID: 0x1234, forward: true},
}

// natOutcome is how a case went.
type natOutcome struct {
	calls, work        int // calls that should carry PPP, and those that do
	disconnects, right int // Call-Disconnect-Notify messages, and those with the right ID
	unreachable        int // ICMP errors that the box itself has sent
}

func (o natOutcome) String() string {
	switch {
	case o.work < o.calls && o.unreachable > 0:
		return fmt.Sprintf("fails: %d of %d calls; the box sends %d ICMP errors itself", o.work, o.calls, o.unreachable)
	case o.work < o.calls:
		return fmt.Sprintf("fails: %d of %d calls", o.work, o.calls)
	case o.right < o.disconnects:
		return fmt.Sprintf("works, but %d of %d Call-Disconnect-Notify have a wrong ID", o.disconnects-o.right, o.disconnects)
	}
	return "works"
}

// TestLabNATBesideKernel takes real programs through the box and through the
// kernel's NAT with its PPTP helper.
func TestLabNATBesideKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("ten boxes at once")
	}
	outcomes := make([][2]natOutcome, len(natCases))
	var all sync.WaitGroup
	for i, c := range natCases {
		for j, by := range [...]string{"kernel", "grewire"} {
			all.Go(func() {
				t.Run(c.name+"/"+by, func(t *testing.T) { outcomes[i][j] = c.run(t, by == "kernel") })
			})
		}
	}
	all.Wait()
	if k := outcomes[0][0]; k.work != k.calls {
		t.Errorf("even the simplest case fails with the kernel: %s", k)
	}
	for i, c := range natCases {
		t.Logf("| %s | %s | %s | %s |", c.name, c.what, outcomes[i][0], outcomes[i][1])
	}
}

func (c natCase) run(t *testing.T, kernel bool) (o natOutcome) {
	b := newLabBox(t, c.topology(), "")
	patience := time.Minute
	if kernel {
		kernelNAT(b, c.forward)
		if c.name != natCases[0].name { // it may fail, and this is how long that takes
			patience = 5 * time.Second
		}
	} else {
		b.configure(natOf(c.forward))
		b.start()
	}
	o = b.playCase(c, patience)
	if !kernel {
		if o.String() != "works" {
			t.Errorf("%s: %s\nthe box said: %s", c.what, o, b.said())
		}
		b.stop()
	}
	return o
}

func (c natCase) topology() bridgetest.InlineOption {
	o := bridgetest.InlineOption{Clients: c.clients, Veth: bridgetest.VethOption{MTU: c.mtu, OffloadsOff: true}}
	if c.forward {
		o.Clients, o.Servers = 1, c.clients
	}
	return o
}

// natOf is the configuration of a box that hides the LAN's clients, or shows its
// server, behind natAddr.
func natOf(forward bool) string {
	if forward {
		return "[[nat.forward]]\naddress = \"" + natAddr + "\"\nto = \"" + bridgetest.ClientAddr(0) + "\"\n"
	}
	return masquerade
}

// kernelNAT makes the box a router between hosts that take each other for
// neighbours, with the kernel's NAT in both directions.
func kernelNAT(b *labBox, forward bool) {
	b.t.Helper()
	rule := "iptables -t nat -A POSTROUTING -o wan -j SNAT --to-source " + natAddr
	if forward {
		rule = "iptables -t nat -A PREROUTING -i wan -p tcp --dport 1723 -j DNAT --to " + bridgetest.ClientAddr(0)
	}
	helper := strings.Fields("-t raw -A PREROUTING -p tcp --dport 1723 -j CT --helper pptp")
	if _, err := b.top.Box.Run(b.t.Context(), "iptables", helper...); err != nil {
		b.t.Skip("this kernel cannot track PPTP: ", err)
	}
	commands := []string{
		"ip addr add " + natAddr + "/32 dev wan", rule,
		"sysctl -qw net.ipv4.ip_forward=1",
	}
	for i := range b.top.Clients {
		commands = append(commands, "ip route add "+bridgetest.ClientAddr(i)+"/32 dev lan")
	}
	for i := range b.top.Servers {
		commands = append(commands, "ip route add "+bridgetest.ServerAddrAt(i)+"/32 dev wan")
	}
	for _, nic := range [...]string{bridgetest.LANNIC, bridgetest.WANNIC} {
		commands = append(commands, "sysctl -qw net.ipv4.conf."+nic+".proxy_arp=1 net.ipv4.neigh."+nic+".proxy_delay=0")
	}
	for _, command := range commands {
		b.command(b.top.Box, 10*time.Second, strings.Fields(command)...)
	}
}

// playCase lets the programs do what the case is about. patience is how long PPP
// may take to come up.
func (b *labBox) playCase(c natCase, patience time.Duration) (o natOutcome) {
	b.t.Helper()
	callers, callee, dialled, nic := b.top.Clients, b.top.Server, bridgetest.ServerAddr, bridgetest.LANNIC
	if c.forward {
		callers, callee, dialled, nic = b.top.Servers, b.top.Client, natAddr, bridgetest.WANNIC
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Minute)
	defer cancel()
	path := filepath.Join(b.top.Lab.Dir(), "callers.pcap")
	capture, err := b.top.Box.Capture(nic, path)
	if err != nil {
		b.t.Fatal(err)
	}
	server, err := bridgetest.StartServer(callee, bridgetest.ServerOptions{Pings: natPings})
	if err != nil {
		b.t.Fatal(err)
	}
	dial := bridgetest.DialOptions{Pings: natPings, Timeout: patience}
	if c.callID != 0 {
		dial.CallID = &c.callID
	}
	clients := b.dialAll(callers, dialled, dial)
	o.calls, o.work = len(clients), b.carryWithin(ctx, clients, patience)
	if c.atOnce > 0 {
		calls, err := bridgetest.DialAtOnce(ctx, clients[0], server, dialled, dial, c.atOnce)
		if err != nil {
			b.t.Fatal(err)
		}
		o.calls, o.work = o.calls+1, o.work+b.carryOne(ctx, calls, patience) // pptpd keeps the last
	} else if o.work > 0 {
		b.hangUpAll(ctx, server, clients)
	}
	if err := capture.Stop(); err != nil {
		b.t.Error(err)
	}
	o.disconnects, o.right = b.disconnects(path)
	o.unreachable = b.unreachable()
	return o
}

// natPings are what both ends of every call send.
var natPings = bridgetest.Pings{Count: 10, Sizes: []int{0, 56, 600}, Interval: 20 * time.Millisecond}

// dialAll dials from each of the hosts.
func (b *labBox) dialAll(callers []*bridgetest.Namespace, server string, o bridgetest.DialOptions) (clients []*bridgetest.Client) {
	b.t.Helper()
	for _, ns := range callers {
		c, err := bridgetest.Dial(ns, server, o)
		if err != nil {
			b.t.Fatal(err)
		}
		clients = append(clients, c)
	}
	return clients
}

// carryOne returns how many of the calls carry PPP before the others, which never
// come up, are ended for it.
func (b *labBox) carryOne(ctx context.Context, clients []*bridgetest.Client, patience time.Duration) (n int) {
	works := make(chan int)
	for _, c := range clients {
		go func() { works <- b.carryWithin(ctx, []*bridgetest.Client{c}, patience) }()
	}
	for range clients {
		if one := <-works; one > 0 {
			n += one
			for _, c := range clients {
				_, _ = c.Hangup(ctx) // most have nothing to hang up
			}
		}
	}
	return n
}

// carry returns how many of the calls carry PPP: all natPings are answered, the
// client's and the server's.
func (b *labBox) carry(ctx context.Context, clients []*bridgetest.Client) int {
	return b.carryWithin(ctx, clients, patience)
}

// carryWithin is carry with the time that the server's pings may take.
func (b *labBox) carryWithin(ctx context.Context, clients []*bridgetest.Client, patience time.Duration) (n int) {
	for i, c := range clients {
		report, err := c.Pinged(ctx)
		for deadline := time.Now().Add(patience); err == nil && report.Requests < natPings.Count && time.Now().Before(deadline); {
			report, err = c.Ask(ctx)
		}
		if err == nil && report.Answered == natPings.Count && report.Requests == natPings.Count {
			n++
		} else {
			b.t.Logf("call %d: %+v, %v", i, report, err)
		}
	}
	return n
}

// hangUpAll has the server end all calls.
func (b *labBox) hangUpAll(ctx context.Context, server *bridgetest.Server, clients []*bridgetest.Client) {
	b.t.Helper()
	if err := server.HangUp(); err != nil {
		b.t.Error(err)
	}
	for _, c := range clients {
		if _, err := c.Wait(ctx); err != nil {
			b.t.Error(err)
		}
	}
}

// disconnects counts the Call-Disconnect-Notify messages in a capture, and those
// that name the call by the ID which the PAC has given it.
func (b *labBox) disconnects(path string) (n, right int) {
	b.t.Helper()
	const reply, disconnect = "8", "13"
	given := make(map[string]bool)
	for line := range strings.Lines(b.command(b.top.Box, time.Minute, "tshark", "-r", path,
		"-Y", "pptp.control_message_type in {"+reply+", "+disconnect+"}", "-T", "fields",
		"-e", "pptp.control_message_type", "-e", "ip.dst", "-e", "tcp.dstport", "-e", "pptp.call_id")) {
		kind, call, _ := strings.Cut(strings.TrimSpace(line), "\t")
		switch {
		case kind == reply:
			given[call] = true
		case kind == disconnect && given[call]:
			right++
			fallthrough
		case kind == disconnect:
			n++
		}
	}
	return n, right
}

// unreachable is how many ICMP Destination Unreachable messages the box's own
// kernel has sent.
func (b *labBox) unreachable() (n int) {
	b.t.Helper()
	for line := range strings.Lines(b.command(b.top.Box, 10*time.Second, "nstat", "-asz", "IcmpOutDestUnreachs")) {
		_, _ = fmt.Sscanf(line, "IcmpOutDestUnreachs %d", &n)
	}
	return n
}
