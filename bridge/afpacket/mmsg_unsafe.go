package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// recvmmsg and sendmmsg take what there is and never block (MSG_DONTWAIT),
// which is why they may keep the P (RawSyscall6): telling the scheduler about
// a call that returns at once costs more than it gives.

// recvmmsg receives up to len(msgs) frames, which must be at least one. It
// returns how many it got, none with an error.
func recvmmsg(fd int, msgs []unix.Mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// sendmmsg sends msgs, of which there must be at least one, in their order.
// It returns how many went; an error is about the first one.
func sendmmsg(fd int, msgs []unix.Mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// ppoll waits, and keeps the P all the same (bridge.guardWait and idleWait bound
// how long): a thread that has given it up needs the Go scheduler's locks when it
// wakes, which may be held by a thread that waits for a CPU. Whoever stops the
// world ends the wait by the signal that preempts goroutines (EINTR). left is
// what the kernel says is left of the wait.
func ppoll(fds []unix.PollFd, left *unix.Timespec) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(left)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// yield lets whoever waits for this CPU have it, and returns at once if nobody
// does. It keeps the P, as ppoll does.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) } // always succeeds

// packetStatistics reads the counters of a packet socket, which clears them.
func packetStatistics(fd int, stats *unix.TpacketStats) unix.Errno {
	size := uint32(unix.SizeofTpacketStats)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS,
		uintptr(unsafe.Pointer(stats)), uintptr(unsafe.Pointer(&size)), 0)
	return errno
}
