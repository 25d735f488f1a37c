package bypass_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
)

// TestHostSaysNothing: nothing that the host sends by itself leaves by the NICs,
// whether the box carries frames, frames go past it, or it is gone; without the
// programs it does leave, so that the test would see it.
func TestHostSaysNothing(t *testing.T) {
	l := newLab(t)
	for key, value := range map[string]string{"accept_dad": "0", "disable_ipv6": "0"} {
		if err := l.top.Box.Sysctl("net.ipv6.conf."+bridgetest.LANNIC+"."+key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.top.Box.Address(bridgetest.LANNIC, "10.77.0.1/24"); err != nil {
		t.Fatal(err)
	}
	l.attach(false)
	quiet := func(when string) {
		t.Helper()
		if heard := l.heard(); heard != "" {
			t.Errorf("%s, the client hears from the host\n%s", when, heard)
		}
	}
	quiet("before the box carries frames")
	l.run()
	quiet("while the box carries frames")
	if !l.reaches(bridgetest.ServerAddr) {
		t.Error("nothing passes the box")
	}
	l.inBox(func() error { return l.bypass.Force(true) })
	l.until("forced", (*bypass.Status).Bypassing)
	quiet("while frames go past the box")
	if !l.reaches(bridgetest.ServerAddr) {
		t.Error("nothing passes in a forced bypass")
	}
	l.stop()
	l.inBox(func() error { return l.bypass.Force(false) })
	quiet("after the box")

	l.inBox(l.bypass.Detach)
	heard := l.heard()
	for _, want := range []string{"ARP", "ICMP echo", "ICMP6, echo request", "ICMP6, router solicitation"} {
		if !strings.Contains(heard, want) {
			t.Errorf("without the programs the client hears no %s: the test sees nothing\n%s", want, heard)
		}
	}
}

// heard has the host speak and returns what the client hears of it.
func (l *lab) heard() (lines string) {
	l.t.Helper()
	path := filepath.Join(l.top.Lab.Dir(), "heard.pcap")
	capture, err := l.top.Client.Capture(bridgetest.HostNIC, path)
	if err != nil {
		l.t.Fatal(err)
	}
	box := l.top.Box
	l.client("ip", "neigh", "flush", "all")
	for _, ping := range [][]string{
		{"-4", bridgetest.ClientAddr(0)},
		{"-6", "ff02::1"},
	} {
		args := append([]string{"-q", "-c", "2", "-i", "0.2", "-W", "1", "-I", bridgetest.LANNIC}, ping...)
		_, _ = box.Run(l.t.Context(), "ping", args...) // whether it is answered is not the question
	}
	l.inBox(solicit)
	if err := capture.Stop(); err != nil {
		l.t.Fatal(err)
	}
	out, err := l.top.Client.Run(l.t.Context(), "tcpdump", "-Z", "root", "-nr", path, "ether", "src", box.HardwareAddr(bridgetest.LANNIC).String())
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "reading from file") && !strings.Contains(line, "listening") {
			lines += line
		}
	}
	return lines
}

// solicit sends a Router Solicitation (RFC 4861, section 4.1). The kernel may
// say that it was dropped.
func solicit() error {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = c.WriteTo([]byte{133, 0, 0, 0, 0, 0, 0, 0}, &net.IPAddr{IP: net.ParseIP("ff02::2"), Zone: bridgetest.LANNIC})
	return nil
}
