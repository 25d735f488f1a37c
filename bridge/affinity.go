package bridge

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/track"
)

// turn says which CPU in turn is that of worker i of n that take frames from a
// side. Those of a direction have different ones, as far as there are; so have
// those of the two directions if there are enough for all, or where there are
// only as many as a direction has workers: both directions of a call have
// workers of the same number.
func turn(side track.Side, i, n int) int {
	if side == track.LAN {
		return i
	}
	return 2*n - 1 - i
}

// pin keeps the calling goroutine on one CPU of those that the process may
// use, the n-th going round. A virtual NIC queues what a thread sends on the
// CPU that the thread runs on: one that moves can overtake itself, and the far
// end sees frames out of order. undo gives the thread back as it was; one that
// has become another kind since (a real-time one) ends with the goroutine.
func pin(n int) (undo func()) {
	runtime.LockOSThread()
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil || allowed.Count() == 0 {
		return runtime.UnlockOSThread
	}
	var one unix.CPUSet
	one.Set(nthCPU(&allowed, n%allowed.Count()))
	if unix.SchedSetaffinity(0, &one) != nil {
		return runtime.UnlockOSThread
	}
	before := policy()
	return func() {
		if policy() == before && unix.SchedSetaffinity(0, &allowed) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine
	}
}

// nthCPU returns the n-th CPU of a set that has more than n.
func nthCPU(set *unix.CPUSet, n int) int {
	cpu := 0
	for ; n > 0 || !set.IsSet(cpu); cpu++ {
		if set.IsSet(cpu) {
			n--
		}
	}
	return cpu
}

// policy is how the kernel schedules the calling thread (sched(7)).
func policy() uint32 {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return unix.SCHED_NORMAL
	}
	return attr.Policy
}
