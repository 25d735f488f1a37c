package bypass_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/track"
)

// TestKilledPromiscuous: whoever is killed right when a NIC was made promiscuous
// leaves a note of it, without a program that would keep the state.
func TestKilledPromiscuous(t *testing.T) {
	for name, user := range map[string]func(*exec.Cmd){
		"an ordinary user": func(*exec.Cmd) {},
		"root":             func(c *exec.Cmd) { c.SysProcAttr.Credential = nil },
	} {
		t.Run(name, func(t *testing.T) {
			l := newUserLab(t)
			command := l.command(order{Open: true})
			user(command)
			l.killWhenPromiscuous(command)
			if !l.promiscuous() {
				t.Fatal("the NIC is not promiscuous: the test would see nothing")
			}
			if l.box(order{Stop: true}); l.promiscuous() {
				t.Error("the NIC stays promiscuous after the stop of the next box")
			}
		})
	}
}

// killWhenPromiscuous runs a box until the LAN NIC is promiscuous by its doing.
func (l *userLab) killWhenPromiscuous(command *exec.Cmd) {
	l.t.Helper()
	l.inBox(func() error {
		updates, done := make(chan netlink.LinkUpdate, 64), make(chan struct{})
		defer close(done)
		if err := netlink.LinkSubscribe(updates, done); err != nil {
			return err
		}
		in, err := command.StdinPipe() // it waits for its end
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			return err
		}
		defer in.Close()
		for deadline, seen := time.After(patience), false; !seen && err == nil; {
			select {
			case u := <-updates:
				seen = u.Attrs().Name == bridgetest.LANNIC && u.IfInfomsg.Flags&unix.IFF_PROMISC != 0
			case <-deadline:
				err = errors.New("the NIC never became promiscuous")
			}
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		return err
	})
}

// TestForcedWithoutNICs: a forced bypass outlives NICs that are made anew while no
// box runs, for a box that may look as for one that may not.
func TestForcedWithoutNICs(t *testing.T) {
	l := newUserLab(t)
	l.box(order{Force: "on"})
	l.replug()
	if got := l.box(order{}); !got.Forced {
		t.Errorf("an ordinary user's: %+v, want forced", got)
	}
	l.replug()
	l.inBox(func() error {
		b, err := bypass.Open(bypass.Options{NICs: nics, Record: l.record}, false)
		if err != nil {
			return err
		}
		err = errors.Join(b.Attach(track.LAN), b.Attach(track.WAN))
		if s, failed := b.Status(); failed != nil || !s.Forced {
			t.Errorf("root's: %+v, %v, want forced", s, failed)
		}
		return errors.Join(err, b.Force(false), b.Detach(), b.Close())
	})
	l.replug()
	if got := l.box(order{}); got.Forced {
		t.Errorf("%+v, want no bypass that was ended", got)
	}
}

// replug makes both NICs of the box anew.
func (l *userLab) replug() {
	l.t.Helper()
	for side, host := range map[track.Side]*bridgetest.Namespace{track.LAN: l.top.Client, track.WAN: l.top.Server} {
		err := l.top.Box.Delete(nics[side])
		if err == nil {
			err = l.top.Lab.Veth(host, bridgetest.HostNIC, l.top.Box, nics[side])
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// TestForcedMeanwhile: a bypass that begins and ends between the moment when a NIC
// is made anew and its Attach leaves the NIC alone; one that goes on has it
// promiscuous, and leaves it as it was.
func TestForcedMeanwhile(t *testing.T) {
	l := newUserLab(t)
	l.attach(false)
	force := func(on bool) { l.inBox(func() error { return l.bypass.Force(on) }) }
	l.replug()
	for _, on := range []bool{true, false, true} {
		if force(on); l.promiscuous() {
			t.Error("a NIC without programs is promiscuous")
		}
	}
	l.inBox(func() error { return errors.Join(l.bypass.Attach(track.LAN), l.bypass.Attach(track.WAN)) })
	if !l.promiscuous() {
		t.Error("the NIC is not promiscuous though frames go past the box")
	}
	if force(false); l.promiscuous() {
		t.Error("the NIC stays promiscuous")
	}
}

// TestExchanged: while the sides of NICs with programs are being exchanged no frame
// goes back to where it came from, and then they go past the box as before.
func TestExchanged(t *testing.T) {
	l := newUserLab(t)
	l.attach(true)
	l.until("past", (*bypass.Status).Bypassing)
	if !l.reaches(bridgetest.ServerAddr) {
		t.Error("nothing passes before")
	}
	var now *bypass.Bypass
	l.inBox(func() (err error) {
		now, err = bypass.Open(bypass.Options{NICs: [2]string{nics[track.WAN], nics[track.LAN]}}, true)
		if err == nil {
			err = now.Attach(track.LAN)
		}
		return err
	})
	defer now.Close()
	captured := filepath.Join(l.top.Lab.Dir(), "server.pcap")
	capture, err := l.top.Server.Capture(bridgetest.HostNIC, captured)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = l.top.Server.Run(t.Context(), "ping", "-q", "-c", "3", "-i", "0.1", "-W", "1", bridgetest.ClientAddr(0))
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	sent, err := l.top.Server.Run(t.Context(), "tcpdump", "-Z", "root", "-nr", captured)
	if err != nil {
		t.Fatal(err)
	}
	if n, requests := strings.Count(sent, "echo request"), 3; n != requests {
		t.Errorf("the server sees %d requests, want its own %d\n%s", n, requests, sent)
	}
	l.inBox(func() error { return now.Attach(track.WAN) })
	if !l.reaches(bridgetest.ServerAddr) {
		t.Error("nothing passes afterwards")
	}
}

// TestRenamed: a NIC that has another name now is left as it was found, too.
func TestRenamed(t *testing.T) {
	const renamed = "renamed"
	l := newUserLab(t)
	l.options.Record = l.record
	l.attach(true)
	nic, err := l.top.Box.Netlink().LinkByName(bridgetest.LANNIC)
	if err == nil {
		err = l.top.Box.Netlink().LinkSetName(nic, renamed)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := l.status(); !s.Sides["lan"].Attached {
		t.Errorf("%+v, want the NIC attached", s)
	}
	l.inBox(l.bypass.Detach)
	if nic, err = l.top.Box.Netlink().LinkByName(renamed); err != nil {
		t.Fatal(err)
	}
	if nic.Attrs().RawFlags&unix.IFF_PROMISC != 0 {
		t.Error("it stays promiscuous")
	}
	for _, hook := range bothHooks {
		if left := l.programs(renamed, hook); len(left) > 0 {
			t.Errorf("programs %v stay on it at %v", left, hook)
		}
	}
}
