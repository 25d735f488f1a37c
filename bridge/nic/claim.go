package nic

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// claimProtocol is the ethertype that a claim's socket is bound to. Values
// below 0x0600 are lengths on the wire, and the kernel has no use for this one:
// no frame ever has it.
const claimProtocol = 0x0172

// Claim is a NIC that is kept from other boxes.
type Claim struct{ socket *os.File }

// Take claims a NIC of the calling thread's network namespace. Two boxes on
// one NIC would send every frame twice. The claim is a packet socket that is
// bound to the NIC and receives nothing: only a process that could run a box
// (CAP_NET_RAW in the namespace) can have one, and the kernel closes it with
// the process, however that ends. Each box binds its own before it looks for
// others. Of two that start in the same moment both may be refused; both never
// run.
func Take(name string) (*Claim, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c, err := bindClaim(ifi.Index)
	if err == nil {
		err = c.alone(ifi.Index)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// bindClaim makes the socket of a claim.
func bindClaim(ifindex int) (*Claim, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	const bigEndian = claimProtocol>>8 | claimProtocol&0xff<<8
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian, Ifindex: ifindex}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a packet socket: %w", err), unix.Close(fd))
	}
	return &Claim{os.NewFile(uintptr(fd), "claim")}, nil
}

// alone gives the claim up unless it is the only one on its NIC.
func (c *Claim) alone(ifindex int) error {
	n, err := claimsOn(ifindex)
	switch {
	case err == nil && n == 1:
		return nil
	case err == nil && n == 0:
		err = errors.New("the kernel does not list this process's own packet socket")
	case err == nil:
		err = errors.New("another grewire carries frames on this NIC; stop that one first")
	}
	return errors.Join(err, c.Release())
}

// Taken reports whether somebody has claimed a NIC of the calling thread's
// network namespace. It takes nothing itself, not even for a moment: a box may
// be starting.
func Taken(ifindex int) bool {
	n, err := claimsOn(ifindex)
	return err == nil && n > 0
}

// claimsOn counts the claims on a NIC. Any user may.
func claimsOn(ifindex int) (n int, err error) {
	file, err := os.Open("/proc/thread-self/net/packet")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var socket string
		var references, kind, protocol, index int
		// The first line has the names of the columns, and does not scan.
		_, err := fmt.Sscanf(lines.Text(), "%s %d %d %x %d", &socket, &references, &kind, &protocol, &index)
		if err == nil && protocol == claimProtocol && index == ifindex {
			n++
		}
	}
	return n, lines.Err()
}

// Release gives the NIC back.
func (c *Claim) Release() error { return c.socket.Close() }
