package dut

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/bridge/bridgetest"
)

func TestCPUMask(t *testing.T) {
	for n, want := range map[int]string{1: "1", 2: "3", 31: "7fffffff", 32: "ffffffff", 33: "1,ffffffff", 64: "ffffffff,ffffffff", 96: "ffffffff,ffffffff,ffffffff"} {
		if got := cpuMask(n); got != want {
			t.Errorf("%d CPUs are %s, want %s", n, got, want)
		}
	}
}

func TestClientAddresses(t *testing.T) {
	for i, want := range map[int]string{0: "10.77.1.0", 255: "10.77.1.255", 256: "10.77.2.0"} {
		if got := ClientAddr(i); got != netip.MustParseAddr(want) {
			t.Errorf("client %d is %s, want %s", i, got, want)
		}
	}
}

func TestNamed(t *testing.T) {
	all := []Device{Bridge(), Helper()}
	if found, err := Named(all, []string{NameHelper, NameBridge}); err != nil || len(found) != 2 || found[0].Name != NameHelper {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := Named(all, []string{"hub"}); err == nil || !strings.Contains(err.Error(), NameBridge) {
		t.Errorf("a device that is not there: %v, want an error that names the others", err)
	}
}

// TestLabIdle has NICs refused that would come back without what they had.
func TestLabIdle(t *testing.T) {
	lab := bridgetest.New(t)
	ns, err := lab.Namespace("tester")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Veth(ns, "a", ns, "b"); err != nil {
		t.Fatal(err)
	}
	if err := ns.Sysctl("net.ipv6.conf.a.disable_ipv6", "0"); err != nil {
		t.Fatal(err)
	}
	look := func(want error) {
		t.Helper()
		err := ns.Do(func() error {
			nic, err := netlink.LinkByName("a")
			if err != nil {
				return err
			}
			return idle(nic)
		})
		if !errors.Is(err, want) {
			t.Errorf("err = %v, want %v", err, want)
		}
	}
	nic := func(args ...string) {
		t.Helper()
		if _, err := ns.Run(t.Context(), "ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	look(nil)
	nic("address", "add", "2001:db8::1/64", "dev", "a", "nodad")
	look(errInUse)
	nic("address", "del", "2001:db8::1/64", "dev", "a")
	look(nil)
	nic("address", "add", "169.254.1.1/16", "dev", "a")
	look(errInUse)
	nic("address", "flush", "dev", "a")
	if err := ns.Bridge("br0", "a"); err != nil {
		t.Fatal(err)
	}
	look(errMaster)
}
