package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a named network namespace of a Lab.
type Namespace struct {
	lab    *Lab
	name   string // as the lab calls it
	file   string // as ip netns calls it
	handle netns.NsHandle
	links  *netlink.Handle
}

func newNamespace(l *Lab, name string) (*Namespace, error) {
	ns := &Namespace{lab: l, name: name, file: l.id + "-" + fileName(name)}
	err := onOwnThread(func() error {
		var err error
		ns.handle, err = netns.NewNamed(ns.file)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create (needs CAP_SYS_ADMIN): %w", err), removeStale(filepath.Join(netnsDir, ns.file)))
	}
	if ns.links, err = netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE); err == nil {
		err = ns.quiet()
	}
	if err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return ns, nil
}

// quiet brings loopback up and turns IPv6 off.
func (ns *Namespace) quiet() error {
	for _, conf := range []string{"all", "default"} {
		err := ns.Sysctl("net.ipv6.conf."+conf+".disable_ipv6", "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 is quiet already
			return err
		}
	}
	return ns.SetUp("lo")
}

func (ns *Namespace) close() error {
	if ns.links != nil {
		ns.links.Close()
	}
	return errors.Join(ns.handle.Close(), removeStale(filepath.Join(netnsDir, ns.file)))
}

// Name returns the namespace's name in /run/netns, for "ip netns exec".
func (ns *Namespace) Name() string { return ns.file }

// String returns the name it has in its lab.
func (ns *Namespace) String() string { return ns.name }

// Lab returns the lab that the namespace belongs to.
func (ns *Namespace) Lab() *Lab { return ns.lab }

// Netlink returns a handle for what the methods of Namespace do not do. It is
// closed with the lab.
func (ns *Namespace) Netlink() *netlink.Handle { return ns.links }

// Do runs f in the namespace, on a goroutine and thread of its own: sockets
// that f opens stay in the namespace, goroutines that f starts are not in it,
// and f must not call FailNow.
func (ns *Namespace) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(ns.handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", ns.name, err)
		}
		return f()
	})
}

// onOwnThread runs f, which may change the thread's network namespace, where
// it hurts nobody. A thread that cannot go back dies with its goroutine.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("the function called runtime.Goexit (or FailNow)")
		defer func() { result <- err }()
		runtime.LockOSThread()
		home, homeErr := netns.Get()
		if homeErr != nil {
			err = fmt.Errorf("remember the thread's network namespace: %w", homeErr)
			return
		}
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			_ = home.Close()
		}()
		err = f()
	}()
	return <-result
}

// Command prepares a program to run inside the namespace, in a process group
// of its own; the end of ctx kills the group. It is for what ends soon by
// itself: what is to live as long as the lab goes to Start.
func (ns *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	args = append([]string{"netns", "exec", ns.file, name}, args...)
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Env = append(os.Environ(), marker+"="+ns.lab.id)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs a program inside the namespace to its end and returns what it
// wrote. The error has it too.
func (ns *Namespace) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := ns.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s in %s: %w\n%s", strings.Join(append([]string{name}, args...), " "), ns.name, err, out)
	}
	return string(out), nil
}

// Sysctl sets a kernel parameter of the namespace, such as
// "net.ipv4.ip_forward" to "1".
func (ns *Namespace) Sysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return ns.Do(func() error {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl %s=%s in %s: %w", key, value, ns.name, err)
		}
		return nil
	})
}

// Address gives a NIC an address with its prefix length, such as
// "10.77.0.2/24".
func (ns *Namespace) Address(nic, cidr string) error {
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return ns.nicError("address", nic, err)
	}
	return ns.withLink("address "+cidr, nic, func(link netlink.Link) error { return ns.links.AddrAdd(link, addr) })
}

// SetUp brings a NIC up.
func (ns *Namespace) SetUp(nic string) error { return ns.withLink("set up", nic, ns.links.LinkSetUp) }

// SetDown takes a NIC down; the other end of a veth pair loses its carrier.
func (ns *Namespace) SetDown(nic string) error {
	return ns.withLink("set down", nic, ns.links.LinkSetDown)
}

// Delete removes a NIC, and the other end of a veth pair with it.
func (ns *Namespace) Delete(nic string) error {
	return ns.withLink("delete", nic, ns.links.LinkDel)
}

// HardwareAddr returns a NIC's MAC address, nil if there is no such NIC.
func (ns *Namespace) HardwareAddr(nic string) net.HardwareAddr {
	link, err := ns.links.LinkByName(nic)
	if err != nil {
		return nil
	}
	return link.Attrs().HardwareAddr
}

func (ns *Namespace) withLink(what, nic string, f func(netlink.Link) error) error {
	link, err := ns.links.LinkByName(nic)
	if err == nil {
		err = f(link)
	}
	return ns.nicError(what, nic, err)
}

func (ns *Namespace) nicError(what, nic string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s in %s: %w", what, nic, ns.name, err)
}
