package bridge

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNthCPU(t *testing.T) {
	var set unix.CPUSet
	for _, cpu := range []int{1, 2, 7, 63, 64, 200} {
		set.Set(cpu)
	}
	for n, want := range []int{1, 2, 7, 63, 64, 200} {
		if got := nthCPU(&set, n); got != want {
			t.Errorf("CPU number %d of the set is %d, want %d", n, got, want)
		}
	}
}

func TestPinUndone(t *testing.T) {
	var before, pinned, after unix.CPUSet
	get := func(s *unix.CPUSet) {
		if err := unix.SchedGetaffinity(0, s); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread() // all of this is about one thread
	defer runtime.UnlockOSThread()
	get(&before)
	undo := pin(1)
	get(&pinned)
	undo()
	get(&after)
	if pinned.Count() != 1 {
		t.Errorf("pinned to %d CPUs, want 1", pinned.Count())
	}
	if after != before {
		t.Errorf("the thread's CPUs are %v after undo, want %v", after, before)
	}
}
