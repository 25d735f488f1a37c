package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// The host beyond a router on the WAN, and what crosses the link to it at most.
const (
	farAddr = "10.99.0.2"
	farMTU  = 576
)

// addFar makes the server a router with a host behind a narrower link.
func (b *labBox) addFar() *bridgetest.Namespace {
	b.t.Helper()
	far, err := b.top.Lab.Namespace("far")
	if err == nil {
		err = b.top.Lab.Veth(far, bridgetest.HostNIC, b.top.Server, "eth1", bridgetest.VethOption{MTU: farMTU})
	}
	if err == nil {
		err = b.top.Server.Address("eth1", "10.99.0.1/24")
	}
	if err == nil {
		err = far.Address(bridgetest.HostNIC, farAddr+"/24")
	}
	if err == nil {
		err = b.top.Server.Sysctl("net.ipv4.ip_forward", "1")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.command(far, 10*time.Second, "ip", "route", "add", "default", "via", "10.99.0.1")
	for _, ns := range b.top.Clients {
		b.command(ns, 10*time.Second, "ip", "route", "add", farAddr, "via", bridgetest.ServerAddr)
	}
	return far
}

// TestLabTooBig has one of two clients with the same call ID send more than a
// router on the WAN can pass on. That says so to the one address behind which
// they are, and quotes the client's GRE: the client's kernel takes it for its own,
// and tells pptp, which gives up. The other client goes on.
func TestLabTooBig(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 2}, "")
	far := b.addFar()
	b.configure(masquerade)
	b.start()
	if _, err := bridgetest.StartServer(far); err != nil {
		t.Fatal(err)
	}
	// What the client's kernel answers to GRE when pptp is gone ends every call of
	// pptpd with the same address.
	b.command(far, 10*time.Second, strings.Fields("iptables -A INPUT -p icmp --icmp-type protocol-unreachable -j DROP")...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errors := b.listenErrors(b.top.Clients[0])
	callID := uint16(0x1234)
	dial := bridgetest.DialOptions{CallID: &callID, Pings: bridgetest.Pings{Count: -1, Interval: 20 * time.Millisecond}}
	small := b.dialAll(b.top.Clients[:1], farAddr, dial)[0]
	dial.Pings.Sizes = []int{1000}
	big := b.dialAll(b.top.Clients[1:], farAddr, dial)[0]
	if report, err := big.Wait(ctx); err != nil || report.Peer == "" || report.Answered > 0 {
		t.Errorf("the client that sends too much says %+v, %v", report, err)
	}
	report, err := small.Ready(ctx)
	for had := report.Answered; err == nil && report.Answered < had+5; {
		report, err = small.Ask(ctx)
	}
	if _, kind, packet := errors.quoted(time.Millisecond); err != nil || packet != nil {
		t.Errorf("the other client says %+v, %v, and gets an error of type %d: % x\nthe box said: %s", report, err, kind, packet, b.said())
	}
	for i, ns := range b.top.Clients {
		learnt := strings.Contains(b.command(ns, 10*time.Second, "ip", "route", "get", farAddr), fmt.Sprint("mtu ", farMTU))
		if learnt != (i == 1) {
			t.Errorf("client %d has learnt the MTU: %v", i+1, learnt)
		}
	}
	b.stop()
}

// errorListener receives the ICMP errors that a host gets.
type errorListener struct {
	t    *testing.T
	conn *net.IPConn
}

func (b *labBox) listenErrors(ns *bridgetest.Namespace) *errorListener {
	b.t.Helper()
	l := &errorListener{t: b.t}
	b.in(ns, func() (err error) {
		l.conn, err = net.ListenIP("ip4:icmp", nil)
		return err
	})
	b.t.Cleanup(func() { l.conn.Close() })
	return l
}

// quoted waits for an ICMP error and returns its sender, its type, and the packet
// in it.
func (l *errorListener) quoted(patience time.Duration) (from string, kind byte, packet []byte) {
	_ = l.conn.SetReadDeadline(time.Now().Add(patience))
	const header = 8
	buf := make([]byte, 2048)
	n, addr, err := l.conn.ReadFrom(buf)
	if err != nil || n < header {
		return "", 0, nil
	}
	return addr.String(), buf[0], buf[header:n]
}

// wantQuote fails the test unless packet is GRE with these addresses and this call
// ID.
func wantQuote(t *testing.T, packet []byte, src, dst string, callID uint16) {
	t.Helper()
	const ip, callIDAt = 20, 6
	if len(packet) < ip+callIDAt+2 {
		t.Fatalf("no quoted packet: % x", packet)
	}
	gotSrc, gotDst, gotID := net.IP(packet[12:16]).String(), net.IP(packet[16:20]).String(), binary.BigEndian.Uint16(packet[ip+callIDAt:])
	if gotSrc != src || gotDst != dst || gotID != callID || packet[9] != unix.IPPROTO_GRE {
		t.Errorf("the packet in the error is from %s to %s, protocol %d, call %d; want %s, %s, %d", gotSrc, gotDst, packet[9], gotID, src, dst, callID)
	}
}

// TestLabQuotedErrors looks at errors about GRE of two calls with the same IDs, in
// both directions: what each sender gets has its own names in it.
func TestLabQuotedErrors(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 2}, "")
	far := b.addFar()
	b.configure(masquerade)
	b.start()
	var calls []*peerCall
	var clients []*errorListener
	for i, ns := range b.top.Clients {
		lan, wan := b.peers(ns, far, farAddr)
		calls = append(calls, outCall(lan, wan, 7, uint16(20+i)))
		clients = append(clients, b.listenErrors(ns))
	}
	for _, k := range calls {
		k.carry(0)
	}
	second := calls[1]
	second.pns.setTTL(1)
	second.pns.sendGRE(second.pnsKnows, 1, "dies at the router")
	from, kind, packet := clients[1].quoted(peerPatience)
	if from != bridgetest.ServerAddr || kind != 11 { // time exceeded (RFC 792)
		t.Errorf("an error of type %d from %q", kind, from)
	}
	wantQuote(t, packet, bridgetest.ClientAddr(1), farAddr, second.pnsKnows)
	if _, _, packet := clients[0].quoted(200 * time.Millisecond); packet != nil {
		t.Errorf("the other client gets an error, too: % x", packet)
	}

	server := b.listenErrors(far)
	second.pns.gre.Close() // nobody receives it any more
	second.pac.sendGRE(second.pacKnows, 1, "nobody there")
	from, kind, packet = server.quoted(peerPatience)
	if from != natAddr || kind != 3 { // destination unreachable
		t.Errorf("an error of type %d from %q", kind, from)
	}
	wantQuote(t, packet, farAddr, natAddr, second.pacKnows)
	if !bytes.Contains(packet, []byte("nobody there")) {
		t.Errorf("the packet in the error is % x", packet)
	}
	b.stop()
}

// setTTL sets how many routers p's GRE may pass.
func (p *peer) setTTL(ttl int) {
	p.t.Helper()
	raw, err := p.gre.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl) })
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
