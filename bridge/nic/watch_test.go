package nic

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// next waits for the change of a NIC that is as the test wants it.
func next(t *testing.T, w *Watch, what string, is func(Change) bool) Change {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case c, more := <-w.Changes():
			if !more {
				t.Fatalf("the watch broke while waiting for %s", what)
			}
			if is(c) {
				return c
			}
		case <-deadline:
			t.Fatalf("no change to %s", what)
		}
	}
}

func watch(t *testing.T) *Watch {
	t.Helper()
	w, err := NewWatch()
	check(t, err)
	t.Cleanup(w.Stop)
	return w
}

func addVeth(t *testing.T, name, peer string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
}

// TestWatch: every change of a NIC's life is told, in order.
func TestWatch(t *testing.T) {
	inNamespace(t)
	w := watch(t)
	ours := func(c Change) bool { return c.Name == "nic" }
	addVeth(t, "nic", "peer")
	made := next(t, w, "made", ours)
	if made.Index == 0 || made.Up || made.Running || made.Deleted || made.MTU != 1500 {
		t.Errorf("a NIC was made, told as %+v", made)
	}
	check(t, netlink.LinkSetMTU(link(t, "nic"), 1400))
	next(t, w, "MTU 1400", func(c Change) bool { return ours(c) && c.MTU == 1400 })
	check(t, netlink.LinkSetUp(link(t, "nic")))
	next(t, w, "up without a link", func(c Change) bool { return ours(c) && c.Up && !c.Running })
	check(t, netlink.LinkSetUp(link(t, "peer")))
	next(t, w, "running", func(c Change) bool { return ours(c) && c.Up && c.Running })
	check(t, netlink.LinkSetDown(link(t, "peer")))
	next(t, w, "link lost", func(c Change) bool { return ours(c) && c.Up && !c.Running })
	check(t, netlink.LinkSetUp(link(t, "peer")))
	next(t, w, "running", func(c Change) bool { return ours(c) && c.Running })
	check(t, netlink.LinkSetDown(link(t, "nic")))
	next(t, w, "down", func(c Change) bool { return ours(c) && !c.Up && !c.Running })
	check(t, netlink.LinkDel(link(t, "nic")))
	next(t, w, "deleted", func(c Change) bool { return c.Deleted && c.Index == made.Index })
	addVeth(t, "nic", "peer")
	if again := next(t, w, "made again", func(c Change) bool { return ours(c) && !c.Deleted }); again.Index == made.Index {
		t.Errorf("the new NIC has the index %d of the old one", again.Index)
	}
}

// TestWatchBridgePort: a NIC that leaves a bridge is not deleted, though the
// bridge's own messages on the same group say RTM_DELLINK.
func TestWatchBridgePort(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	w := watch(t)
	check(t, netlink.LinkSetMaster(link(t, "nic"), link(t, "br0")))
	check(t, netlink.LinkSetNoMaster(link(t, "nic")))
	check(t, netlink.LinkSetMTU(link(t, "nic"), 1300))
	next(t, w, "MTU 1300", func(c Change) bool {
		if c.Name == "nic" && c.Deleted {
			t.Error("told as deleted")
		}
		return c.Name == "nic" && c.MTU == 1300
	})
}

// TestWatchOverrun: when the kernel has no room for more messages the watch
// ends, instead of going on as if nothing was missed.
func TestWatchOverrun(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	w, err := newWatch(4096)
	check(t, err)
	defer w.Stop()
	nic := link(t, "nic")
	for i := range 100 {
		check(t, netlink.LinkSetMTU(nic, 1300+i))
	}
	told := 0
	for deadline := time.After(10 * time.Second); ; told++ {
		select {
		case _, more := <-w.Changes():
			if !more {
				if told >= 100 {
					t.Errorf("%d changes told, and it ended", told)
				}
				return
			}
		case <-deadline:
			t.Fatalf("%d changes of 100 told, and it goes on", told)
		}
	}
}

// TestTakeDown: what was taken down is known as such, whoever looks, until it
// is brought up.
func TestTakeDown(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	check(t, netlink.LinkSetUp(link(t, "nic")))
	links, err := NewLinks()
	check(t, err)
	defer links.Close()
	before, err := links.ByName("nic")
	check(t, err)
	if !before.Up || before.LeftDown || before.Index != link(t, "nic").Attrs().Index {
		t.Errorf("before: %+v", before)
	}
	for range 2 {
		check(t, links.TakeDown(before.Index)) // twice is as once
	}
	other, err := NewLinks()
	check(t, err)
	defer other.Close()
	if s, err := other.ByIndex(before.Index); err != nil || s.Up || !s.LeftDown {
		t.Errorf("taken down: %+v, %v", s, err)
	}
	for range 2 {
		check(t, other.BringUp(before.Index))
	}
	if s, err := links.ByName("nic"); err != nil || !s.Up || s.LeftDown {
		t.Errorf("brought up: %+v, %v", s, err)
	}
	if n := len(link(t, "nic").Attrs().AltNames); n != 0 {
		t.Errorf("%d alternative names are left", n)
	}
	if s, err := links.ByName("none"); err != nil || s != (State{}) {
		t.Errorf("no such NIC: %+v, %v", s, err)
	}
	if s, err := links.ByIndex(1 << 20); err != nil || s != (State{}) {
		t.Errorf("no such index: %+v, %v", s, err)
	}
	if links.TakeDown(1<<20) == nil || links.BringUp(1<<20) == nil {
		t.Error("a NIC that does not exist can be taken down or brought up")
	}
}

// TestNamespaceEnter: another thread finds the NICs of the namespace that was
// remembered.
func TestNamespaceEnter(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	here, err := CurrentNamespace()
	check(t, err)
	defer here.Close()
	check(t, here.Enter()) // a namespace that one is in
	done := make(chan error)
	go func() {
		err := here.Enter()
		if err == nil {
			_, err = netlink.LinkByName("nic")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBringUpRenamed: a NIC is known by its index, whatever its name is now.
func TestBringUpRenamed(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	links, err := NewLinks()
	check(t, err)
	defer links.Close()
	index := link(t, "nic").Attrs().Index
	check(t, links.TakeDown(index))
	check(t, netlink.LinkSetName(link(t, "nic"), "other"))
	check(t, links.BringUp(index))
	if s, err := links.ByName("other"); err != nil || !s.Up || s.LeftDown || s.Index != index {
		t.Errorf("got %+v, %v", s, err)
	}
}
