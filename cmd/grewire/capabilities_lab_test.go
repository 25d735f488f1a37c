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
	t.Parallel()
	l, by := newUserLab(t, "open")
	for range 5 {
		l.start(by...)
		l.programs(1)
		l.passes()
		l.kill()
	}
	l.passes() // past the box
	l.start(by...)
	l.bypass("on")
	l.kill()
	l.start(by...)
	l.until("in the forced bypass of before", bothBecause(bypass.CauseForced))
	l.passes()
	l.stop() // which leaves all in place
	l.programs(1)
	l.start(by...)
	l.bypass("off")
	l.kill()
	l.start(by...)
	l.until("carrying again", carried)
	l.programs(1)
	l.passes()
	l.stop()
	if s := l.bypass("off"); s.Sides["lan"].Attached {
		t.Errorf("bypass off without a box: %+v", s)
	}
	l.programs(0)
}

// TestLabKeptAsUser: with what a service manager keeps for it the next box goes
// on with the counters, and knows since when frames go past and why; a manager
// that gives it something else does no harm.
func TestLabKeptAsUser(t *testing.T) {
	t.Parallel()
	l, by := newUserLab(t, "open")
	l.start(by...)
	if len(l.manager.kept) != 2 {
		t.Fatalf("the manager keeps %v", l.manager.kept)
	}
	l.passes()
	l.kill()
	l.until("past a killed box", bothBecause(bypass.CauseNoHeartbeat))
	l.passes()
	before := l.bypass("status").Sides["lan"].Redirected.Frames
	for range 3 {
		l.start(by...)
		l.programs(1)
		if log := l.process.Output(); !strings.Contains(log, "frames went past the box") || !strings.Contains(log, "cause=no-heartbeat") {
			t.Errorf("the box does not know that it was missing: %s", log)
		}
		if now := l.bypass("status").Sides["lan"].Redirected.Frames; now < before || before == 0 {
			t.Errorf("%d frames redirected, were %d", now, before)
		}
		l.passes()
		l.kill()
		l.until("past a killed box", bothBecause(bypass.CauseNoHeartbeat))
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	l.manager.kept["grewire_state"].Close()
	l.manager.kept["grewire_state"] = null
	l.start(by...)
	l.programs(1)
	l.passes()
	l.stop()
}

// TestLabStoppedAsUser: a box that fails closed leaves nothing when it is
// stopped, whatever those before it left.
func TestLabStoppedAsUser(t *testing.T) {
	t.Parallel()
	l, by := newUserLab(t, "closed")
	for range 2 {
		l.start(by...)
		l.passes()
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
	t.Parallel()
	l, by := newUserLab(t, "open")
	l.start(by...)
	l.passes()
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
		l.passes()
		l.programs(1)
		l.until("carrying again", func(s bypassStatus) bool { return carried(s) && s.Sides["wan"].Attached })
	}
	log := strings.ReplaceAll(l.process.Output(), "SCHED_FIFO: operation not permitted", "") // that one is to be so
	if !strings.Contains(log, "landlock=") || strings.Contains(log, "operation not permitted") {
		t.Errorf("the box said %s", log)
	}
	l.kill()
	l.until("past a killed box", bothBecause(bypass.CauseNoHeartbeat))
	l.passes()
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

// until asks for the status until it is so.
func (l *serviceLab) until(what string, is func(bypassStatus) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		s := l.bypass("status")
		if is(s) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("never %s: %+v\nthe box said: %s", what, s, l.process.Output())
		}
	}
}

// passes waits until some frames got through: a box that fails open loses those
// that it has queued when it does not get its turn for 100 ms.
func (l *serviceLab) passes() {
	l.t.Helper()
	if out, err := l.top.Client.Run(l.t.Context(), "ping", "-q", "-c", "5", "-i", "0.05", "-w", "20", bridgetest.ServerAddr); err != nil {
		l.t.Fatalf("no frames pass: %v: %s\nthe box said: %s", err, out, l.process.Output())
	}
}
