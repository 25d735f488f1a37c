package afpacket

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// MayBeRealTime returns why the threads of this process may not be what
// Options.RealTime makes of them; nil if they may. It tries, on a thread of its
// own: beside CAP_SYS_NICE and RLIMIT_RTPRIO, a control group has a say in it.
func MayBeRealTime() error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		result <- unix.SchedSetAttr(0, &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Policy: unix.SCHED_FIFO, Priority: 1,
		}, 0)
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("SCHED_FIFO: %w", err)
	}
	return nil
}
