package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// sysctls sets kernel parameters of the box's namespace.
func (l *wireLab) sysctls(keys map[string]string) {
	l.t.Helper()
	for key, value := range keys {
		if err := l.top.Box.Sysctl(key, value); err != nil {
			l.t.Fatal(err)
		}
	}
}

// ip runs ip(8) in the box's namespace.
func (l *wireLab) ip(args ...string) string {
	l.t.Helper()
	return l.command(l.top.Box, patience, append([]string{"ip"}, args...)...)
}

// eventually waits until something is so.
func (l *wireLab) eventually(what string, is func() bool) {
	l.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); !is(); {
		select {
		case <-ticker.C:
		case <-deadline:
			l.t.Fatalf("never: %s", what)
		}
	}
}

// inject has the host of a side send a frame that no capture is to have.
func (l *wireLab) inject(side track.Side, p packet) {
	l.t.Helper()
	if err := l.injectors[side].Send(p.frame(l.t)); err != nil {
		l.t.Fatal(err)
	}
}

// hostAddr is an address of the box's host, which it answers for on any NIC.
const hostAddr = "10.99.0.1"

// probes are frames of a side's host that a host which is in the way answers,
// forwards, or takes for its own. The first three get an answer each.
func (l *wireLab) probes(side track.Side) (all []packet) {
	own := l.hosts[side].HardwareAddr(bridgetest.HostNIC)
	box := l.top.Box.HardwareAddr([]string{bridgetest.LANNIC, bridgetest.WANNIC}[side])
	addrs := [...]string{track.LAN: bridgetest.ClientAddr(0), track.WAN: bridgetest.ServerAddr}
	from, there, host := net.ParseIP(addrs[side]).To4(), net.ParseIP(addrs[side.Other()]).To4(), net.ParseIP(hostAddr).To4()
	add := func(name string, to net.IP, ttl uint8, protocol layers.IPProtocol, rest ...gopacket.SerializableLayer) {
		ip := &layers.IPv4{Version: 4, TTL: ttl, SrcIP: from, DstIP: to, Protocol: protocol}
		head := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: own, DstMAC: box, EthernetType: layers.EthernetTypeIPv4}, ip}
		all = append(all, packet{name: name, parts: append(head, summed(ip, rest)...)})
	}
	all = append(all, packet{name: "ARP", parts: []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: own, DstMAC: broadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: own, SourceProtAddress: from, DstHwAddress: make([]byte, 6), DstProtAddress: host,
		},
	}})
	add("echo request", host, 64, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)}, payload(56))
	add("SYN to a listener", host, 64, layers.IPProtocolTCP, &layers.TCP{SrcPort: 4000, DstPort: 9, Seq: 1, SYN: true, Window: 1000})
	add("SYN to nobody", host, 64, layers.IPProtocolTCP, &layers.TCP{SrcPort: 4001, DstPort: 10, Seq: 1, SYN: true, Window: 1000})
	add("datagram to a listener", host, 64, layers.IPProtocolUDP, &layers.UDP{SrcPort: 4000, DstPort: 9}, payload(20))
	add("datagram to nobody", host, 64, layers.IPProtocolUDP, &layers.UDP{SrcPort: 4000, DstPort: 10}, payload(20))
	reply := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0)} // which nobody answers
	add("to be forwarded", there, 64, layers.IPProtocolICMPv4, reply, payload(56))
	add("to be forwarded no further", there, 1, layers.IPProtocolICMPv4, reply, payload(56))
	return all
}

// TestLabHostStaysOut: a host that has an address, listens, forwards and answers
// ARP for others takes no notice of what crosses its box, and adds nothing to it:
// both ends see what the other one sent and nothing else.
func TestLabHostStaysOut(t *testing.T) {
	t.Parallel()
	l := newWire(t, 1500)
	l.sysctls(map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.proxy_arp": "1", "net.ipv4.conf.all.accept_local": "1",
		"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.lan.rp_filter": "0", "net.ipv4.conf.wan.rp_filter": "0",
	})
	l.ip("address", "add", hostAddr+"/32", "dev", "lo")
	l.ip("route", "add", bridgetest.ClientAddr(0), "dev", bridgetest.LANNIC)
	l.ip("route", "add", bridgetest.ServerAddr, "dev", bridgetest.WANNIC)
	var heard net.PacketConn
	var accepts net.Listener
	err := l.top.Box.Do(func() (err error) {
		if heard, err = net.ListenPacket("udp4", "0.0.0.0:9"); err == nil {
			accepts, err = net.Listen("tcp4", "0.0.0.0:9")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	defer accepts.Close()
	hears := func(wait time.Duration) error {
		_ = heard.SetReadDeadline(time.Now().Add(wait))
		_, _, err := heard.ReadFrom(make([]byte, 100))
		return err
	}

	// Without a box it does all of it, so that the test would see it.
	for side := range l.hosts {
		l.answers(track.Side(side))
		if err := hears(patience); err != nil {
			t.Fatalf("the host hears nothing from %s without a box: %v", track.Side(side), err)
		}
		l.eventually("the host forwards without a box: the test sees nothing", func() bool { return l.counter("IpForwDatagrams") > side })
	}
	l.start()
	received := l.counter("IpInReceives")
	l.watch()
	for range 3 {
		for side := range l.hosts {
			for _, p := range l.probes(track.Side(side)) {
				if err := l.send(track.Side(side), p.frame(t)); err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
			}
		}
	}
	l.drain()
	if err := hears(0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the host's listener hears of what crosses: %v", err)
	}
	if n := l.counter("IpInReceives") - received; n != 0 {
		t.Errorf("the host has got %d datagrams of what crosses", n)
	}
	l.finish()
}

// counter is one of the host's (nstat(8)).
func (l *wireLab) counter(name string) (n int) {
	l.t.Helper()
	out := l.command(l.top.Box, patience, "nstat", "-asz", name)
	if _, err := fmt.Sscanf(lastLine(out), name+" %d", &n); err != nil {
		l.t.Fatalf("nstat: %v in %s", err, out)
	}
	return n
}

// answers waits for the host's answers to the probes from a side.
func (l *wireLab) answers(side track.Side) {
	l.t.Helper()
	path := filepath.Join(l.top.Lab.Dir(), "answers.pcap")
	c, err := l.hosts[side].Capture(bridgetest.HostNIC, path)
	if err != nil {
		l.t.Fatal(err)
	}
	all := l.probes(side)
	for _, p := range all {
		l.inject(side, p)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := c.Wait(ctx, len(all)+3); err != nil {
		l.t.Fatalf("without a box the host answers nothing: the test sees nothing: %v", err)
	}
	if err := c.Stop(); err != nil {
		l.t.Fatal(err)
	}
}

// dropAll drops everything in every family and at every hook that packets of a
// host or a bridge pass, and at ingress of both NICs.
func dropAll() string {
	var b strings.Builder
	chain := func(name, hook string) {
		fmt.Fprintf(&b, "chain %s { type filter hook %s; counter drop; }\n", name, hook)
	}
	for _, family := range []string{"ip", "ip6", "bridge"} {
		fmt.Fprintf(&b, "table %s wall {\n", family)
		for _, hook := range []string{"prerouting", "input", "forward", "output", "postrouting"} {
			chain(hook, hook+" priority -400")
		}
		b.WriteString("}\n")
	}
	b.WriteString("table arp wall {\n")
	chain("input", "input priority 0")
	chain("output", "output priority 0")
	b.WriteString("}\ntable netdev wall {\n")
	for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		chain(nic, "ingress device "+nic+" priority 0")
	}
	b.WriteString("}\n")
	return b.String()
}

// dropped returns how many frames and packets the rules have dropped that came
// to the host: what it would send by itself (IGMP, MLD) is not counted.
func (l *wireLab) dropped() (sum int) {
	l.t.Helper()
	var list struct {
		Items []struct {
			Rule struct {
				Chain string
				Expr  []struct {
					Counter struct{ Packets int }
				}
			}
		} `json:"nftables"`
	}
	out := l.command(l.top.Box, patience, "nft", "-j", "list", "ruleset")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		l.t.Fatalf("nft: %v in %s", err, out)
	}
	for _, item := range list.Items {
		for _, e := range item.Rule.Expr {
			if chain := item.Rule.Chain; chain != "output" && chain != "postrouting" {
				sum += e.Counter.Packets
			}
		}
	}
	return sum
}

// TestLabHostFilters: a host that forwards, has its bridges call iptables, and
// drops everything that it can get at changes nothing of what crosses its box:
// all kinds of frames are bit-identical at the far side, and its rules have seen
// none of them.
func TestLabHostFilters(t *testing.T) {
	t.Parallel()
	l := newWire(t, 1500)
	rules := filepath.Join(l.top.Lab.Dir(), "rules.nft")
	if err := os.WriteFile(rules, []byte(dropAll()), 0o600); err != nil {
		t.Fatal(err)
	}
	l.command(l.top.Box, patience, "nft", "-f", rules)
	l.ip("link", "add", "br0", "up", "type", "bridge") // with the first one its netfilter begins
	l.sysctls(map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.bridge.bridge-nf-call-arptables": "1",
		"net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1",
		"net.bridge.bridge-nf-filter-vlan-tagged": "1", "net.bridge.bridge-nf-filter-pppoe-tagged": "1",
	})
	before := l.dropped()
	for side := range l.hosts {
		l.inject(track.Side(side), l.packets(track.Side(side))[0])
		l.eventually("the rules drop what comes without a box: the test sees nothing", func() bool { return l.dropped() > before })
		before = l.dropped()
	}
	l.start()
	l.watch()
	l.sendAll(1500)
	l.drain()
	if now := l.dropped(); now != before {
		t.Errorf("the host's rules have dropped %d packets of what crosses:\n%s", now-before, l.command(l.top.Box, patience, "nft", "list", "ruleset"))
	}
	l.finish()
}

// advertisement is a Router Advertisement (RFC 4861, section 4.2) of a router on
// a side, with a prefix from which hosts make addresses by themselves.
func (l *wireLab) advertisement(side track.Side, prefix string) packet {
	mac := l.hosts[side].HardwareAddr(bridgetest.HostNIC)
	information := append([]byte{64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0}, net.ParseIP(prefix)...)
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("fe80::1"), DstIP: net.ParseIP("ff02::1")}
	parts := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: mac, DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv6}, ip,
	}
	return packet{name: "router advertisement", parts: append(parts, summed(ip, []gopacket.SerializableLayer{
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterAdvertisement, 0)},
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800, Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptSourceAddress, Data: mac}, {Type: layers.ICMPv6OptPrefixInfo, Data: information},
		}},
	})...)}
}

// TestLabHostConfiguresNothing: router advertisements cross, and leave neither
// address nor route on a host that would have both by itself.
func TestLabHostConfiguresNothing(t *testing.T) {
	t.Parallel()
	l := newWire(t, 1500)
	l.sysctls(map[string]string{"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.all.forwarding": "1"})
	for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		l.sysctls(map[string]string{
			"net.ipv6.conf." + nic + ".disable_ipv6": "0", "net.ipv6.conf." + nic + ".accept_ra": "2", // a router's, too
			"net.ipv6.conf." + nic + ".autoconf": "1", "net.ipv6.conf." + nic + ".accept_dad": "0",
		})
	}
	configured := func() string {
		return l.ip("-6", "address", "show", "scope", "global") + l.ip("-6", "route", "show", "proto", "ra") + l.ip("-6", "route", "show", "proto", "kernel", "2001:db8::/32")
	}
	for side, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		l.inject(track.Side(side), l.advertisement(track.Side(side), "2001:db8:1::"))
		l.eventually("without a box the host configures itself: the test sees nothing", func() bool {
			now := configured()
			return strings.Contains(now, "inet6 2001:db8:1:") && strings.Contains(now, "default via fe80::1 dev "+nic)
		})
		l.ip("-6", "address", "flush", "dev", nic, "scope", "global")
		l.ip("-6", "route", "flush", "proto", "ra")
		l.eventually("the addresses are flushed", func() bool { return configured() == "" })
	}
	l.start()
	l.watch()
	for range 3 {
		for side := range l.hosts {
			if err := l.send(track.Side(side), l.advertisement(track.Side(side), "2001:db8:2::").frame(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.drain()
	if got := configured(); got != "" {
		t.Errorf("from what crossed the host has\n%s", got)
	}
	l.finish()
}
