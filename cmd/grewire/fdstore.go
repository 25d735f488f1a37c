package main

import (
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// keptFiles are what the service manager has kept for this box
// (sd_listen_fds(3)), named as they were given to it, to be closed.
func keptFiles() []*os.File { return activation.Files(true) }

// keep has the service manager keep a file descriptor for the next box, under a
// name and in place of what it has kept under that (FDSTORE=1 in
// sd_notify(3)). It does nothing if there is no manager.
func (m *serviceManager) keep(name string, fd int) error {
	manager := os.Getenv("NOTIFY_SOCKET")
	if manager == "" {
		return nil
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	patience := unix.NsecToTimeval(int64(managerPatience))
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return err
	}
	to := &unix.SockaddrUnix{Name: manager}
	if err := unix.Sendmsg(socket, []byte("FDSTOREREMOVE=1\nFDNAME="+name), nil, to, 0); err != nil {
		return err
	}
	return unix.Sendmsg(socket, []byte("FDSTORE=1\nFDNAME="+name), unix.UnixRights(fd), to, 0)
}

// keepBypass leaves the state of the kernel programs to the next box, which may
// not be allowed to look for it on the NICs.
func (b *runningBox) keepBypass() {
	if err := b.bypass.Keep(b.manager.keep); err != nil {
		b.log.Warn("the counters of what goes past the box will begin anew with the next box", "error", err)
	}
}
