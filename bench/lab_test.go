package bench

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bridge/bridgetest"
)

// place puts a device between two namespaces and sets up calls across it.
func place(t *testing.T, d dut.Device, calls int) *Rig {
	t.Helper()
	bridgetest.New(t) // skips without root
	site, err := dut.Place(d, 1500)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := NewRig(site, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := rig.Dial(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	return rig
}

// box is the device's namespace.
func (r *Rig) box(t *testing.T) *bridgetest.Namespace {
	t.Helper()
	ns, err := r.Site.LAN.Namespace.Lab().Namespace("box")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// TestLabHelperKeepsCalls looks at what the helper keeps of the calls: if calls
// without traffic fell out of its list, the rate would depend on when it is measured.
func TestLabHelperKeepsCalls(t *testing.T) {
	const calls = 5
	rig := place(t, dut.Helper(), calls)
	var flows []*netlink.ConntrackFlow
	err := rig.box(t).Do(func() (err error) {
		flows, err = netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, f := range flows {
		if f.Forward.Protocol == unix.IPPROTO_GRE && time.Duration(f.TimeOut)*time.Second > time.Hour {
			kept++
		}
	}
	if kept != calls {
		t.Errorf("%d of %d calls are there for more than an hour: %v", kept, calls, flows)
	}
}
