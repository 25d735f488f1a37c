package nic

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that is remembered, so that what happens
// later, on another thread, happens in it.
type Namespace struct{ handle netns.NsHandle }

// CurrentNamespace returns the network namespace of the calling thread.
func CurrentNamespace() (*Namespace, error) {
	handle, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("remember the network namespace: %w", err)
	}
	return &Namespace{handle}, nil
}

// Enter binds the calling goroutine to its thread, which is in the namespace
// from then on, until the goroutine ends. A process lives in one namespace, as
// a rule, and there is nothing to enter; else it needs CAP_SYS_ADMIN, and the
// thread ends with the goroutine.
func (n *Namespace) Enter() error {
	runtime.LockOSThread()
	here, err := n.isCurrent()
	if err == nil && !here {
		err = netns.Set(n.handle)
	}
	if err != nil || here {
		runtime.UnlockOSThread()
	}
	if err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return nil
}

// isCurrent compares by inode: it opens nothing, which may be forbidden by now.
func (n *Namespace) isCurrent() (bool, error) {
	var here, there unix.Stat_t
	err := errors.Join(unix.Stat("/proc/thread-self/ns/net", &here), unix.Fstat(int(n.handle), &there))
	return here.Dev == there.Dev && here.Ino == there.Ino, err
}

// Close forgets the namespace.
func (n *Namespace) Close() error { return n.handle.Close() }
