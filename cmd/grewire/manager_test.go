package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// managed is a service manager, as the box sees it, with its socket, with ticks
// and with workers' cycles that the test gives.
type managed struct {
	*serviceManager
	*managerSocket
	given     chan time.Time
	cycles    chan [2][]uint64
	intervals chan time.Duration // those that were asked for
	log       bytes.Buffer
	stop      func()
}

// newManaged sets the environment as a manager would.
func newManaged(t *testing.T, addr string, variables map[string]string) *managed {
	t.Helper()
	t.Setenv("NOTIFY_SOCKET", addr)
	for name, value := range variables {
		t.Setenv(name, value)
	}
	m := &managed{managerSocket: newManagerSocket(t, addr), given: make(chan time.Time), cycles: make(chan [2][]uint64), intervals: make(chan time.Duration, 2)}
	m.serviceManager = newServiceManager(slog.New(slog.NewTextHandler(&m.log, nil)))
	m.ticks = func(interval time.Duration) <-chan time.Time { m.intervals <- interval; return m.given }
	return m
}

// start runs follow until stop.
func (m *managed) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- m.follow(ctx, watched{func() [2][]uint64 { return <-m.cycles }, func() string { return "fine\nso far" }})
		close(done)
	}()
	m.stop = func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
	}
	m.t.Cleanup(m.stop)
}

// beat gives one tick, at which the workers have come so far.
func (m *managed) beat(lan, wan uint64) {
	m.given <- time.Time{}
	m.cycles <- [2][]uint64{{lan}, {wan}}
}

// got checks what the manager is told next.
func (m *managed) got(want string) {
	m.t.Helper()
	if told := fmt.Sprint(map[string]string(m.next(patience))); told != want {
		m.t.Errorf("the manager was told %s, want %s", told, want)
	}
}

// gotNothing checks that the manager has been told nothing more.
func (m *managed) gotNothing() {
	m.t.Helper()
	if told := m.there(); told != nil {
		m.t.Errorf("the manager was told %v", told)
	}
}

func addresses(t *testing.T) map[string]string {
	return map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@grewire/test/%d/%s", os.Getpid(), t.Name()),
	}
}

// TestManager: a box is ready when both workers have moved, feeds the watchdog
// while they do, and is quiet when one of them does not, whichever it is.
func TestManager(t *testing.T) {
	for name, addr := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, addr, map[string]string{"WATCHDOG_USEC": "400000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())})
			m.start()
			m.cycles <- [2][]uint64{{0}, {0}}
			m.beat(1, 0)
			m.beat(2, 0)
			m.given <- time.Time{}
			m.gotNothing() // one worker has not begun yet
			m.cycles <- [2][]uint64{{2}, {1}}
			m.got("map[READY:1 STATUS:fine; so far]")
			for _, want := range []time.Duration{startInterval, 100 * time.Millisecond} {
				if got := <-m.intervals; got != want {
					t.Errorf("looks every %v, want %v", got, want)
				}
			}
			m.feedWhileMoving()
			m.stop()
			m.got("map[STOPPING:1]")
		})
	}
}

func (m *managed) feedWhileMoving() {
	m.t.Helper()
	const fed = "map[STATUS:fine; so far WATCHDOG:1]"
	const lan, wan = "map[STATUS:stuck: no frames are taken from the lan side]", "map[STATUS:stuck: no frames are taken from the wan side]"
	const both = "map[STATUS:stuck: no frames are taken from the lan side and the wan side]"
	for _, step := range []struct {
		lan, wan uint64
		want     string
	}{
		{3, 2, fed}, {4, 2, wan}, {5, 2, wan}, {5, 3, fed},
		{5, 9, lan}, {5, 9, lan}, {5, 9, lan}, {6, 9, fed},
		{6, 9, both}, {7, 10, fed},
	} {
		m.beat(step.lan, step.wan)
		m.got(step.want)
	}
	if n := strings.Count(m.log.String(), "stuck"); n != 2 {
		m.t.Errorf("%d lines about workers that are stuck, want one each time:\n%s", n, &m.log)
	}
}

// TestPulse: of several workers in a direction each must move, however far ahead
// of the others it is.
func TestPulse(t *testing.T) {
	var p pulse
	for i, step := range []struct {
		cycles [2][]uint64
		stuck  string
	}{
		{[2][]uint64{{0, 0}, {0, 0}}, "the lan side by 2 of 2 workers and the wan side by 2 of 2 workers"},
		{[2][]uint64{{1, 1}, {1, 0}}, "the wan side by 1 of 2 workers"},
		{[2][]uint64{{1, 1}, {1, 1}}, ""},
		{[2][]uint64{{2, 9}, {2, 2}}, ""},
		{[2][]uint64{{3, 9}, {3, 3}}, "the lan side by 1 of 2 workers"},
		{[2][]uint64{{4, 10}, {3, 3}}, ""},
	} {
		standing := p.standing(step.cycles)
		if beats := p.beats(step.cycles); beats != (step.stuck == "") || !beats && standing != "stuck: no frames are taken from "+step.stuck {
			t.Errorf("step %d, %v: beats %v, %q", i, step.cycles, beats, standing)
		}
	}
}

// TestManagerStopEarly: a box that is stopped before it carries frames was
// never ready.
func TestManagerStopEarly(t *testing.T) {
	m := newManaged(t, addresses(t)["path"], nil)
	m.start()
	m.cycles <- [2][]uint64{{1}, {0}}
	m.stop()
	m.got("map[STOPPING:1]")
}

func TestManagerWatchdog(t *testing.T) {
	me, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()+1)
	for _, test := range []struct {
		usec, pid string
		interval  time.Duration
		log       string
	}{
		{"", "", statusInterval, ""},
		{"2000000", "", 500 * time.Millisecond, ""},
		{"2000000", me, 500 * time.Millisecond, ""},
		{"2000000", other, statusInterval, ""},
		{"86400000000", me, statusInterval, ""},
		{"soon", me, statusInterval, "the watchdog will not be fed"},
	} {
		m := newManaged(t, addresses(t)["path"], map[string]string{"WATCHDOG_USEC": test.usec, "WATCHDOG_PID": test.pid})
		if got := m.interval(); got != test.interval {
			t.Errorf("%+v: looks every %v", test, got)
		}
		if !strings.Contains(m.log.String(), test.log) || test.log == "" && m.log.Len() > 0 {
			t.Errorf("%+v: logged %s", test, &m.log)
		}
		m.conn.Close()
	}
}

// TestManagerReload: the manager gets to know when a reload begins, by the
// clock of the machine, and when it is over, however it ended.
func TestManagerReload(t *testing.T) {
	m := newManaged(t, addresses(t)["abstract"], nil)
	fine, wrong := func() error { return nil }, func() error { return errors.New("line 1: one\nline 2: two") }
	if err := errors.Join(m.reloading(fine), m.reloading(wrong)); err == nil {
		t.Error("the error is lost")
	}
	m.gotNothing() // not ready yet
	m.ready.Store(true)
	for _, step := range []struct {
		f      func() error
		status string
	}{{fine, "reloaded"}, {wrong, "reload refused: line 1: one; line 2: two"}} {
		before := monotonic(t)
		failed := m.reloading(step.f) != nil
		if failed != (step.status != "reloaded") {
			t.Errorf("%s: failed %v", step.status, failed)
		}
		told := m.wait("RELOADING")
		if at, err := strconv.ParseInt(told["MONOTONIC_USEC"], 10, 64); err != nil || at < before || at > monotonic(t) {
			t.Errorf("reloads at %v, which is not since %d", told, before)
		}
		m.got("map[READY:1 STATUS:" + step.status + "]")
	}
}

func monotonic(t *testing.T) (microseconds int64) {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// TestManagerGone: a manager that is not there, or hangs, is said once in the
// log, and holds up nothing.
func TestManagerGone(t *testing.T) {
	m := newManaged(t, addresses(t)["path"], nil)
	m.conn.Close()
	for range 3 {
		m.tell("READY=1")
	}
	if n := strings.Count(m.log.String(), "cannot be told"); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, &m.log)
	}
	m = newManaged(t, addresses(t)["abstract"], nil)
	start := time.Now()
	for range 10_000 { // more than a socket queues
		if m.tell("STATUS=" + strings.Repeat("x", 1000)); time.Since(start) > managerPatience {
			return
		}
	}
	t.Error("a manager that hangs takes all there is")
}
