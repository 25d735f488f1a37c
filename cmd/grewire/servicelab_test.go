package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// nobody is an ordinary user and its group.
const nobody = 65534

// serviceLab runs the built box as a service manager would, in files that an
// ordinary user can reach, and is its manager: it listens to it and ends it if
// it is not fed in time.
type serviceLab struct {
	t        *testing.T
	top      *bridgetest.Topology
	manager  *managerSocket
	dir      string
	program  string
	watchdog time.Duration
	process  *bridgetest.Process
	stderr   *os.File // nil: kept by the process
}

func newServiceLab(t *testing.T) *serviceLab {
	t.Helper()
	lab := openLab(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	l := &serviceLab{t: t, top: top, dir: lab.Dir(), program: filepath.Join(lab.Dir(), "grewire"), watchdog: 2 * time.Second}
	built, err := lab.Build("cmd/grewire")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n[status]\nsocket = %q\n[log]\nformat = \"text\"\n", bridgetest.LANNIC, bridgetest.WANNIC, l.socket())
	err = errors.Join(
		os.Chmod(l.dir, 0o755), copyFile(built, l.program), os.Mkdir(filepath.Join(l.dir, "run"), 0o755),
		os.WriteFile(filepath.Join(l.dir, "grewire.toml"), []byte(text), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	l.listen(fmt.Sprintf("@%s/notify", l.dir))
	return l
}

// in makes t the test that faults are told to, until undo.
func (l *serviceLab) in(t *testing.T) (undo func()) {
	before := l.t
	l.t, l.manager.t = t, t
	return func() { l.t, l.manager.t = before, before }
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func (l *serviceLab) socket() string { return filepath.Join(l.dir, "run", "grewire.sock") }

// listen makes the socket of the manager where the box runs.
func (l *serviceLab) listen(addr string) {
	l.t.Helper()
	l.manager = &managerSocket{t: l.t, addr: addr}
	err := l.top.Box.Do(func() (err error) {
		l.manager.conn, err = listenAsManager(addr)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { l.manager.forget(); l.manager.conn.Close() })
}

// launch starts the box by way of another program, such as setpriv, with the
// environment that systemd gives it.
func (l *serviceLab) launch(by ...string) {
	l.t.Helper()
	// What follows takes the shell's place, and its process ID with it.
	line := append([]string{"sh", "-c", `ulimit -c 0; WATCHDOG_PID=$$ LISTEN_PID=$$ exec "$@"`, "sh"}, by...)
	command := l.top.Box.Command(context.Background(), line[0], append(line[1:], l.program, "run", "-config", filepath.Join(l.dir, "grewire.toml"))...)
	command.Env = append(command.Env, "NOTIFY_SOCKET="+l.manager.addr, fmt.Sprintf("WATCHDOG_USEC=%d", l.watchdog.Microseconds()), "GOTRACEBACK=crash")
	names := slices.Sorted(maps.Keys(l.manager.kept))
	for _, name := range names {
		command.ExtraFiles = append(command.ExtraFiles, l.manager.kept[name])
	}
	command.Env = append(command.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	if l.stderr != nil {
		command.Stderr = l.stderr
	}
	var err error
	if l.process, err = l.top.Box.StartCommand(command); err != nil {
		l.t.Fatal(err)
	}
}

// start launches the box and waits until it says that it is ready.
func (l *serviceLab) start(by ...string) {
	l.t.Helper()
	l.launch(by...)
	for deadline := time.Now().Add(patience); ; {
		switch m := l.manager.next(100 * time.Millisecond); {
		case m["READY"] == "1":
			return
		case l.ended() || time.Now().After(deadline):
			l.t.Fatalf("the box is not ready: %s", l.process.Output())
		}
	}
}

func (l *serviceLab) ended() bool {
	select {
	case <-l.process.Done():
		return true
	default:
		return false
	}
}

// watch waits until the box has ended, and ends it as systemd does when it does
// not feed the watchdog. It returns how it ended and its last status.
func (l *serviceLab) watch() (how syscall.WaitStatus, status string) {
	l.t.Helper()
	for start, fed := time.Now(), time.Now(); !l.ended(); {
		if time.Since(start) > patience {
			l.t.Fatalf("the box goes on and is fed for: %s", status)
		}
		m := l.manager.next(50 * time.Millisecond)
		if m["STATUS"] != "" {
			status = m["STATUS"]
		}
		if m["WATCHDOG"] == "1" {
			fed = time.Now()
		} else if time.Since(fed) > l.watchdog {
			l.abort()
		}
	}
	return l.how(), status
}

// abort ends the box: it gets the chance to say where it is (WatchdogSignal=,
// TimeoutAbortSec=).
func (l *serviceLab) abort() {
	l.t.Helper()
	if err := l.process.Signal(unix.SIGABRT); err != nil {
		l.t.Error(err)
	}
	select {
	case <-l.process.Done():
	case <-time.After(500 * time.Millisecond):
		l.process.Kill()
	}
}

// how returns how the box, which has ended, did so.
func (l *serviceLab) how() syscall.WaitStatus {
	l.t.Helper()
	err := l.process.Wait(l.t.Context())
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.Sys().(syscall.WaitStatus)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return 0
}

// ping sends some frames both ways through the box.
func (l *serviceLab) ping() {
	l.t.Helper()
	out, err := l.top.Client.Run(l.t.Context(), "ping", "-q", "-c", "5", "-i", "0.05", "-W", "5", bridgetest.ServerAddr)
	if err != nil {
		l.t.Errorf("no frames are carried: %v\nthe box said: %s", err, l.process.Output())
	}
	l.t.Log(lastLine(out))
}

// stop ends the box as systemd does and checks that it took its leave.
func (l *serviceLab) stop() {
	l.t.Helper()
	if err := l.process.Signal(unix.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	l.manager.wait("STOPPING")
	select {
	case <-l.process.Done():
	case <-time.After(patience):
		l.t.Error("it does not stop")
		l.process.Kill()
	}
	if how := l.how(); how != 0 {
		l.t.Errorf("it stopped with status %#x: %s", how, l.process.Output())
	}
	if _, err := os.Stat(l.socket()); !errors.Is(err, os.ErrNotExist) {
		l.t.Errorf("the control socket is left: %v", err)
	}
}

// threadStatus returns lines of /proc/PID/task/TID/status for each thread of
// the box, "NAME VALUE…" in the order of the names; threads that have the same
// are one.
func (l *serviceLab) threadStatus(names ...string) (texts map[string]int) {
	l.t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", l.process.PID()))
	if err != nil || len(paths) < 3 {
		l.t.Fatalf("threads %v, %v", paths, err)
	}
	texts = make(map[string]int)
	for _, path := range paths {
		status, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		var lines []string
		for _, name := range names {
			_, rest, _ := strings.Cut(string(status), "\n"+name+":")
			value, _, _ := strings.Cut(rest, "\n")
			lines = append(lines, name+" "+strings.Join(strings.Fields(value), " "))
		}
		texts[strings.Join(lines, "\n")]++
	}
	return texts
}
