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
	step("first sleep", u.sleeps, unix.SCHED_FIFO)
	step("awake", func() { u.woke(time.Second) })
	step("a batch", func() { u.works(time.Second + urgentLimit) })
	step("sleeps again", u.sleeps)
	step("looks", u.looks, unix.SCHED_NORMAL)
	step("looks on", u.looks)
	step("sleeps", u.sleeps, unix.SCHED_FIFO)
	step("flood", func() { u.woke(time.Minute); u.works(time.Minute + urgentLimit + 1) }, unix.SCHED_NORMAL)
	step("flood goes on", func() { u.works(2 * time.Minute) })
	step("after the flood", u.sleeps, unix.SCHED_FIFO)

	u = urgency{set: u.set}
	step("nobody asked for it", func() { u.sleeps(); u.looks() })
	asked := 0
	u = urgency{wanted: true, set: func(*unix.SchedAttr) error { asked++; return errors.New("may not") }}
	u.sleeps()
	u.looks()
	u.sleeps()
	if asked != 1 {
		t.Errorf("a process that may not asks %d times", asked)
	}
}

// The kernel does what it is told, where it may be told so.
func TestUrgencyOfThread(t *testing.T) {
	runtime.LockOSThread() // the thread ends with the goroutine: nobody else gets it
	u := newUrgency(true)
	u.sleeps()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if u.failed == (attr.Policy == unix.SCHED_FIFO) {
		t.Errorf("asleep: refused %v, policy %d", u.failed, attr.Policy)
	}
	nice := u.nice
	u.looks()
	if attr, err = unix.SchedGetAttr(0, 0); err != nil || attr.Policy != unix.SCHED_NORMAL || attr.Nice != nice {
		t.Errorf("looking: %v, policy %d, nice %d, want ordinary and %d", err, attr.Policy, attr.Nice, nice)
	}
}
