package afpacket

import "golang.org/x/sys/unix"

// SendMMsg is sendmmsg(2) for sockets that are not a Port: it hands msgs, of which
// there must be at least one, to the kernel in their order, without blocking. It
// returns how many went; an error, a unix.Errno, is about the first one.
func SendMMsg(fd int, msgs []unix.Mmsghdr) (int, error) {
	n, errno := sendmmsg(fd, msgs)
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}
