package afpacket

import (
	"time"

	"golang.org/x/sys/unix"
)

// A thread that sleeps and is woken gets its CPU at once if it is a real-time
// thread (sched(7)); an ordinary one waits behind whoever else wants that CPU,
// milliseconds long for each of them. But whoever takes a CPU from others so
// must not take much of it: they would get nothing done, not even send the
// next frame, so that each is carried alone (TCP is a quarter slower). And one
// that looks for frames without sleeping would leave the CPU to nobody. So the
// thread that calls Receive is real-time while it sleeps, and from then on until
// it looks in vain or has been awake for urgentLimit; and not at all while it
// works for more than a part of the time.
const (
	// urgentPeriod is how long its work is summed up, urgentShare the part of
	// that (a fourth) beyond which it is ordinary in the next.
	urgentPeriod = 10 * time.Millisecond
	urgentShare  = 4
	urgentLimit  = urgentPeriod / urgentShare
	// urgentPriority is the least: above all ordinary threads, below those that
	// somebody has made real-time on purpose.
	urgentPriority = 1
	// resetOnFork is SCHED_FLAG_RESET_ON_FORK: threads that it starts are ordinary.
	resetOnFork = 1
)

// urgency is the policy by which the kernel schedules the thread that calls
// Receive. The zero value leaves it alone.
type urgency struct {
	wanted bool // Options.RealTime
	failed bool // the process may not
	known  bool // what follows is so
	urgent bool
	nice   int32         // of the thread when it is ordinary
	since  time.Duration // when it woke or last looked in vain
	from   time.Duration // when the period began
	worked time.Duration // for how long in this period
	busy   bool          // it worked too much in the last

	attr unix.SchedAttr // what set is given
	set  func(*unix.SchedAttr) error
}

func newUrgency(wanted bool) urgency {
	return urgency{wanted: wanted, set: func(a *unix.SchedAttr) error { return unix.SchedSetAttr(0, a, 0) }}
}

// sleeps is told that the thread goes to sleep, woke that it is awake.
func (u *urgency) sleeps(now time.Duration) {
	u.worked += now - u.since
	if all := now - u.from; all >= urgentPeriod {
		u.busy = u.worked > all/urgentShare
		u.from, u.worked = now, 0
	}
	u.be(!u.busy)
}

func (u *urgency) woke(now time.Duration) { u.since = now }

// looks is told that the thread looks again rather than sleep. Its work is no
// burden then: it is ordinary.
func (u *urgency) looks(now time.Duration) {
	u.since = now
	u.be(false)
}

// works is told that the thread has frames in hands.
func (u *urgency) works(now time.Duration) {
	if u.urgent && now-u.since > urgentLimit {
		u.be(false)
	}
}

// be makes the thread urgent or ordinary. A process that may not (it has neither
// CAP_SYS_NICE nor an RLIMIT_RTPRIO) is not asked again.
func (u *urgency) be(urgent bool) {
	if !u.wanted || u.failed || u.known && u.urgent == urgent {
		return
	}
	if !u.known {
		u.learn()
	}
	u.attr = unix.SchedAttr{Size: unix.SizeofSchedAttr, Flags: resetOnFork, Policy: unix.SCHED_NORMAL, Nice: u.nice}
	if urgent {
		u.attr.Policy, u.attr.Nice, u.attr.Priority = unix.SCHED_FIFO, 0, urgentPriority
	}
	u.failed = u.set(&u.attr) != nil
	u.known, u.urgent = true, urgent
}

// learn asks how nice the thread is. One that another port's Receive has left
// real-time does not say, and is taken for what the process is.
func (u *urgency) learn() {
	attr, err := unix.SchedGetAttr(0, 0)
	if err == nil && attr.Policy == unix.SCHED_NORMAL {
		u.nice = attr.Nice
		return
	}
	if attr, err = unix.SchedGetAttr(unix.Getpid(), 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		u.nice = attr.Nice
	}
}
