package afpacket

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// link asks the kernel about the interface of a packet socket. It goes by
// the socket itself, so that the answer is about the interface in the socket's
// network namespace, under whatever name it has now. It allocates and is for
// rare moments.
type link struct {
	fd    int
	index int
}

// request runs an interface ioctl (netdevice(7)) on the interface.
func (l link) request(req uint) (*unix.Ifreq, error) {
	ifr, err := unix.NewIfreq("-") // any name; SIOCGIFNAME fills in the real one
	if err != nil {
		return nil, err
	}
	ifr.SetUint32(uint32(l.index))
	if err := unix.IoctlIfreq(l.fd, unix.SIOCGIFNAME, ifr); err != nil {
		return nil, fmt.Errorf("interface %d: %w", l.index, err)
	}
	if err := unix.IoctlIfreq(l.fd, req, ifr); err != nil {
		return nil, fmt.Errorf("interface %s: %w", ifr.Name(), err)
	}
	return ifr, nil
}

// mtu returns the interface's MTU.
func (l link) mtu() (int, error) {
	ifr, err := l.request(unix.SIOCGIFMTU)
	if err != nil {
		return 0, err
	}
	return int(ifr.Uint32()), nil
}

// up reports whether the interface is up and has carrier. The error says that
// the interface is gone, for this socket for good: one that comes back under
// the same name is another one.
func (l link) up() (bool, error) {
	ifr, err := l.request(unix.SIOCGIFFLAGS)
	if err != nil {
		return false, err
	}
	const ready = unix.IFF_UP | unix.IFF_RUNNING
	return ifr.Uint16()&ready == ready, nil
}
