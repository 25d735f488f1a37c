package nic

import (
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func good(name string, index int) NIC {
	return NIC{Name: name, Exists: true, Index: index, MTU: 1500, Type: "ether", Up: true, Carrier: true}
}

func TestVerify(t *testing.T) {
	address := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}
	linkLocal := []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}
	tests := []struct {
		name   string
		change func(lan, wan *NIC)
		want   []string // severity, NIC, a part of the message, a part of the advice
	}{
		{"fine", func(lan, wan *NIC) {}, nil},
		{"unknown", func(lan, wan *NIC) { *lan = NIC{Name: "lan"} }, []string{"error|lan|no such NIC|ip link"}},
		{"both unknown", func(lan, wan *NIC) { *lan, *wan = NIC{Name: "lan"}, NIC{Name: "wan"} },
			[]string{"error|lan|no such NIC|ip link", "error|wan|no such NIC|ip link"}},
		{"same", func(lan, wan *NIC) { *wan = *lan }, []string{"error|lan|both the LAN's and the WAN's|two different"}},
		{"same and unknown", func(lan, wan *NIC) { *lan = NIC{Name: "lan"}; *wan = *lan },
			[]string{"error|lan|no such NIC|ip link", "error|lan|both the LAN's and the WAN's|two different"}},
		{"same by two names", func(lan, wan *NIC) { wan.Index = lan.Index }, []string{"error|wan|both the LAN's and the WAN's|two different"}},
		{"addresses", func(lan, wan *NIC) { lan.Addresses = address },
			[]string{"error|lan|192.0.2.1/24, 2001:db8::1/64|ip address flush dev lan"}},
		{"link-local", func(lan, wan *NIC) { wan.LinkLocal = linkLocal },
			[]string{"warning|wan|fe80::1/64|net.ipv6.conf.wan.disable_ipv6=1"}},
		{"MTU", func(lan, wan *NIC) { lan.MTU = 1496 }, []string{"error|wan|its MTU is 1500, that of lan is 1496|ip link set dev lan mtu 1500"}},
		{"down", func(lan, wan *NIC) { lan.Up, lan.Carrier = false, false }, []string{"warning|lan|down|ip link set dev lan up"}},
		{"no carrier", func(lan, wan *NIC) { wan.Carrier = false }, []string{"warning|wan|no carrier|cable"}},
		{"LRO", func(lan, wan *NIC) { wan.Offloads.LRO = true }, []string{"warning|wan|large-receive-offload|ethtool -K wan lro off"}},
		{"FCS", func(lan, wan *NIC) { wan.Offloads.RXFCS = true }, []string{"warning|wan|rx-fcs|ethtool -K wan rx-fcs off"}},
		{"damaged frames", func(lan, wan *NIC) { wan.Offloads.RXAll = true }, []string{"warning|wan|rx-all|ethtool -K wan rx-all off"}},
		{"GRO is fine", func(lan, wan *NIC) {
			wan.Offloads = Offloads{GRO: true, TSO: true, GSO: true, TXChecksum: true, RXVLAN: true}
		}, nil},
		{"in a bridge", func(lan, wan *NIC) { lan.Master = "br0" }, []string{"error|lan|belongs to br0|ip link set dev lan nomaster"}},
		{"not Ethernet", func(lan, wan *NIC) { lan.Type = "loopback" }, []string{"error|lan|loopback|Ethernet"}},
		{"several", func(lan, wan *NIC) { lan.Addresses, wan.Carrier, wan.MTU = address[:1], false, 9000 },
			[]string{"error|lan|192.0.2.1/24|flush", "warning|wan|no carrier|cable", "error|wan|its MTU is 9000|lan mtu 9000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lan, wan := good("lan", 1), good("wan", 2)
			tt.change(&lan, &wan)
			got := Verify(lan, wan)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i, p := range got {
				want := strings.Split(tt.want[i], "|")
				if p.Severity.String() != want[0] || p.NIC != want[1] || !strings.Contains(p.Message, want[2]) || !strings.Contains(p.Advice, want[3]) {
					t.Errorf("got %v %v, want %q", p.Severity, p, want)
				}
				if strings.ContainsAny(p.String(), "%{}") {
					t.Errorf("unfinished text: %v", p)
				}
			}
		})
	}
}

func TestMissingCapabilities(t *testing.T) {
	const raw, admin = 1 << unix.CAP_NET_RAW, 1 << unix.CAP_NET_ADMIN
	tests := []struct {
		effective uint64
		want      string // "" for no error
	}{
		{raw | admin, ""},
		{1<<41 - 1, ""},
		{0, "CAP_NET_RAW and CAP_NET_ADMIN"},
		{0, "setcap cap_net_raw,cap_net_admin,cap_bpf+ep /opt/grewire"},
		{admin, "missing CAP_NET_RAW:"},
		{raw, "missing CAP_NET_ADMIN:"},
	}
	for _, tt := range tests {
		err := missing(tt.effective, "/opt/grewire")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%#x: got %v, want %q", tt.effective, err, tt.want)
		}
	}
}

func TestCapabilityCheck(t *testing.T) {
	inNamespace(t) // skips without root
	if err := CapabilityCheck(); err != nil {
		t.Error(err)
	}
}

func TestInspectUnknown(t *testing.T) {
	for _, name := range []string{"nosuchnic", "", "a name that is longer than any NIC's may be"} {
		n, err := Inspect(name)
		if err != nil || n.Exists || n.Name != name {
			t.Errorf("%q: got %+v, %v", name, n, err)
		}
	}
}

func TestInspectVeth(t *testing.T) {
	inNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = "nic", 1400, []byte{2, 0, 0, 0, 0, 1}
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
	n := inspect(t, "nic")
	if n.MTU != 1400 || n.MAC.String() != "02:00:00:00:00:01" || n.Type != "ether" || n.Up || n.Carrier || n.Index == 0 {
		t.Errorf("got %+v", n)
	}
	if o := n.Offloads; o.LRO || !o.GSO || !o.TSO || !o.TXChecksum || n.Driver.Name != "veth" {
		t.Errorf("got offloads %+v, driver %+v", o, n.Driver)
	}

	check(t, netlink.LinkSetUp(link(t, "nic")))
	if n := inspect(t, "nic"); !n.Up || n.Carrier {
		t.Errorf("its peer is down: got up %v, carrier %v", n.Up, n.Carrier)
	}
	check(t, netlink.LinkSetUp(link(t, "peer")))
	waitFor(t, "carrier", func() bool { return inspect(t, "nic").Carrier })

	for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		addr, err := netlink.ParseAddr(a)
		check(t, err)
		check(t, netlink.AddrAdd(link(t, "nic"), addr))
	}
	n = inspect(t, "nic")
	want := []string{"192.0.2.1/24", "2001:db8::1/64"}
	if diff := cmp.Diff(want, strs(n.Addresses)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	waitFor(t, "link-local address", func() bool { return len(inspect(t, "nic").LinkLocal) == 1 })
}

func TestInspectMasterAndLoopback(t *testing.T) {
	inNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "nic"
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
	bridge := netlink.NewLinkAttrs()
	bridge.Name = "br0"
	check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: bridge}))
	check(t, netlink.LinkSetMaster(link(t, "nic"), link(t, "br0")))
	if n := inspect(t, "nic"); n.Master != "br0" {
		t.Errorf("got master %q, want br0", n.Master)
	}
	if n := inspect(t, "lo"); n.Type != "loopback" {
		t.Errorf("got type %q, want loopback", n.Type)
	}
}

// inNamespace leaves the test on a thread in a network namespace of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: CAP_SYS_ADMIN for a network namespace, CAP_NET_ADMIN and CAP_NET_RAW in it")
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	check(t, err)
	mine, err := netns.New()
	check(t, err)
	t.Cleanup(func() {
		check(t, netns.Set(home))
		home.Close()
		mine.Close()
		runtime.UnlockOSThread()
	})
}

func inspect(t *testing.T, name string) NIC {
	t.Helper()
	n, err := Inspect(name)
	check(t, err)
	if !n.Exists {
		t.Fatalf("no NIC %s", name)
	}
	return n
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	check(t, err)
	return l
}

// waitFor looks until it is so, for the kernel reports some things late.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 10 s", what)
		}
	}
}

func strs(prefixes []netip.Prefix) (s []string) {
	for _, p := range prefixes {
		s = append(s, p.String())
	}
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
