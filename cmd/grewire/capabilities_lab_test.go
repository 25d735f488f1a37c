package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
)

// newUserLab is the service of an ordinary user with the capabilities of the
// unit.
func newUserLab(t *testing.T, fail string) (l *serviceLab, by []string) {
	t.Helper()
	l = newServiceLab(t)
	path := filepath.Join(l.dir, "grewire.toml")
	text, err := os.ReadFile(path)
	if err == nil {
		text = []byte(strings.Replace(string(text), "[bridge]\n", "[bridge]\nfail = \""+fail+"\"\n", 1))
		err = os.WriteFile(path, text, 0o644)
	}
	if err == nil {
		err = os.Chown(filepath.Dir(l.socket()), nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l, asNobody("net_raw", "net_admin", "bpf")
}

// bypass runs the command as root.
func (l *serviceLab) bypass(what string) (s bypassStatus) {
	l.t.Helper()
	out, err := l.top.Box.Run(l.t.Context(), l.program, "bypass", what, "-json", "-config", filepath.Join(l.dir, "grewire.toml"))
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		l.t.Fatalf("bypass %s: %v: %s\nthe box said: %s", what, err, out, l.process.Output())
	}
	return s
}

// programs checks how many tc programs every hook of both NICs has.
func (l *serviceLab) programs(want int) {
	l.t.Helper()
	for _, name := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		nic, err := l.top.Box.Netlink().LinkByName(name)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			err := l.top.Box.Do(func() error {
				list, err := link.QueryPrograms(link.QueryOptions{Target: nic.Attrs().Index, Attach: hook})
				if err == nil && len(list.Programs) != want {
					l.t.Errorf("%s has %d programs at %v, want %d", name, len(list.Programs), hook, want)
				}
				return err
			})
			if err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// kill ends the box without a chance to clean up.
func (l *serviceLab) kill() {
	l.t.Helper()
	if err := l.process.Signal(unix.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
	<-l.process.Done()
}

// TestLabKilledAsUser: the service of an ordinary user is killed and started
// over and over: one program a hook, frames pass, and a forced bypass stays
// until it is ended.
func TestLabKilledAsUser(t *testing.T) {
	l, by := newUserLab(t, "open")
	for range 5 {
		l.start(by...)
		l.programs(1)
		l.ping()
		l.kill()
	}
	l.ping() // past the box
	l.start(by...)
	l.bypass("on")
	l.kill()
	l.start(by...)
	if s := l.bypass("status"); !s.Running || !s.Forced || !bothBecause(bypass.CauseForced)(s) {
		t.Errorf("a forced bypass after a restart: %+v", s)
	}
	l.ping()
	l.stop() // which leaves all in place
	l.programs(1)
	l.start(by...)
	l.bypass("off")
	l.kill()
	l.start(by...)
	if s := l.bypass("status"); !s.Running || s.Forced || s.Bypassing() {
		t.Errorf("an ended bypass after a restart: %+v", s)
	}
	l.programs(1)
	l.ping()
	l.stop()
	if s := l.bypass("off"); s.Sides["lan"].Attached {
		t.Errorf("bypass off without a box: %+v", s)
	}
	l.programs(0)
}

// TestLabStoppedAsUser: a box that fails closed leaves nothing when it is
// stopped, whatever those before it left.
func TestLabStoppedAsUser(t *testing.T) {
	l, by := newUserLab(t, "closed")
	for range 2 {
		l.start(by...)
		l.ping()
		l.programs(1)
		l.kill()
		l.programs(1)
	}
	l.start(by...)
	l.stop()
	l.programs(0)
}

// TestLabNICBackAsUser: the box takes a NIC that was deleted and made anew back
// into its work, with a program on it, after it has given up its privileges.
func TestLabNICBackAsUser(t *testing.T) {
	l, by := newUserLab(t, "open")
	l.start(by...)
	l.ping()
	const rounds = 3
	for round := 1; round <= rounds; round++ {
		if err := l.top.Box.Delete(bridgetest.WANNIC); err != nil {
			t.Fatal(err)
		}
		l.says("nic-gone", round)
		if err := l.top.Lab.Veth(l.top.Server, bridgetest.HostNIC, l.top.Box, bridgetest.WANNIC); err != nil {
			t.Fatal(err)
		}
		if err := l.top.Server.Address(bridgetest.HostNIC, bridgetest.ServerAddr+"/24"); err != nil {
			t.Fatal(err)
		}
		l.says("nic-back", round)
		if _, err := l.top.Client.Run(t.Context(), "ip", "neigh", "flush", "all"); err != nil { // the server has a new MAC address
			t.Fatal(err)
		}
		l.ping()
		l.programs(1)
		if s := l.bypass("status"); !s.Running || !s.Sides["wan"].Attached || s.Bypassing() {
			t.Errorf("after the NIC is back: %+v", s)
		}
	}
	if log := l.process.Output(); !strings.Contains(log, "landlock=") || strings.Contains(log, "operation not permitted") {
		t.Errorf("the box said %s", log)
	}
	l.kill()
	deadline := time.Now().Add(patience)
	for !bothBecause(bypass.CauseNoHeartbeat)(l.bypass("status")) {
		if time.Now().After(deadline) {
			t.Fatalf("frames do not go past the box: %+v", l.bypass("status"))
		}
	}
	l.ping()
}

// says waits until the log of the box has a text so many times.
func (l *serviceLab) says(text string, times int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := l.process.WaitCount(ctx, text, times); err != nil {
		l.t.Fatalf("%v\nthe box said: %s", err, l.process.Output())
	}
}
