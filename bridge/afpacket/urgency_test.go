package afpacket

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A thread is real-time while it sleeps and for a while after; it is ordinary
// while it looks, and under a flood. The kernel is told of changes only.
func TestUrgency(t *testing.T) {
	var told []uint32
	u := urgency{wanted: true, set: func(a *unix.SchedAttr) error { told = append(told, a.Policy); return nil }}
	step := func(what string, do func(), want ...uint32) {
		t.Helper()
		told = nil
		do()
		if len(told) != len(want) || len(want) > 0 && told[0] != want[0] {
			t.Errorf("%s: the kernel was told %v, want %v", what, told, want)
		}
	}
	const at = time.Second
	step("first sleep", func() { u.woke(at); u.sleeps(at) }, unix.SCHED_FIFO)
	step("awake", func() { u.woke(at) })
	step("a batch", func() { u.works(at + urgentLimit) })
	step("sleeps again", func() { u.woke(at); u.sleeps(at) })
	step("looks", func() { u.looks(at) }, unix.SCHED_NORMAL)
	step("looks on", func() { u.looks(at) })
	step("sleeps", func() { u.sleeps(at) }, unix.SCHED_FIFO)
	step("flood", func() { u.woke(time.Minute); u.works(time.Minute + urgentLimit + 1) }, unix.SCHED_NORMAL)
	step("flood goes on", func() { u.works(2 * time.Minute) })
	step("after the flood", func() { u.sleeps(2 * time.Minute) })
	step("a wait later", func() { u.woke(3 * time.Minute); u.sleeps(3 * time.Minute) }, unix.SCHED_FIFO)

	u = urgency{set: u.set}
	step("nobody asked for it", func() { u.sleeps(at); u.looks(at) })
	asked := 0
	u = urgency{wanted: true, set: func(*unix.SchedAttr) error { asked++; return errors.New("may not") }}
	for range 3 {
		u.sleeps(at)
		u.looks(at)
		u.woke(at)
	}
	if asked != 1 {
		t.Errorf("a process that may not asks %d times", asked)
	}
}

// A thread that works for more than a fourth of the time is ordinary, whether it
// looks for frames meanwhile or not; looking is no work.
func TestUrgencyHasItsShare(t *testing.T) {
	tests := []struct {
		name               string
		work, looks, sleep time.Duration // in turn
		urgent             bool
	}{
		{"nothing to do", 50 * time.Microsecond, 0, 40 * time.Millisecond, true},
		{"10,000 frames a second", 15 * time.Microsecond, 0, 85 * time.Microsecond, true},
		{"a fourth", 25 * time.Microsecond, 0, 75 * time.Microsecond, true},
		{"more", 26 * time.Microsecond, 0, 74 * time.Microsecond, false},
		{"long waits between long work", 300 * time.Millisecond, 0, 700 * time.Millisecond, false},
		{"looking", 10 * time.Microsecond, 2 * time.Millisecond, 3 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := urgency{wanted: true, set: func(*unix.SchedAttr) error { return nil }}
			now := time.Hour
			for range 2000 {
				u.woke(now)
				if now += tt.work; tt.looks > 0 {
					now += tt.looks
					u.looks(now)
				}
				u.sleeps(now)
				now += tt.sleep
			}
			if u.urgent != tt.urgent {
				t.Errorf("urgent %v in the end, want %v", u.urgent, tt.urgent)
			}
		})
	}
}

// The kernel does what it is told, where it may be told so.
func TestUrgencyOfThread(t *testing.T) {
	runtime.LockOSThread() // the thread ends with the goroutine: nobody else gets it
	u := newUrgency(true)
	u.woke(time.Second)
	u.sleeps(time.Second)
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if u.failed == (attr.Policy == unix.SCHED_FIFO) {
		t.Errorf("asleep: refused %v, policy %d", u.failed, attr.Policy)
	}
	nice := u.nice
	u.looks(time.Second)
	if attr, err = unix.SchedGetAttr(0, 0); err != nil || attr.Policy != unix.SCHED_NORMAL || attr.Nice != nice {
		t.Errorf("looking: %v, policy %d, nice %d, want ordinary and %d", err, attr.Policy, attr.Nice, nice)
	}
}
