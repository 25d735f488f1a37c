package nic

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Claim is a NIC that is kept from other boxes.
type Claim struct{ socket *net.UnixConn }

// Take claims a NIC of the calling thread's network namespace. Two boxes on
// one NIC would send every frame twice. The claim is an abstract socket
// (unix(7)): it belongs to the namespace, and the kernel lets go of it with
// the process, however that ends.
func Take(name string) (*Claim, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	socket, err := net.ListenUnixgram("unixgram", claimOn(ifi.Index))
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("%s: another grewire carries frames on this NIC; stop that one first", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Claim{socket}, nil
}

// claimOn is the address of a claim.
func claimOn(ifindex int) *net.UnixAddr {
	return &net.UnixAddr{Name: fmt.Sprintf("@grewire/nic/%d", ifindex), Net: "unixgram"}
}

// Taken reports whether somebody has claimed a NIC of the calling thread's
// network namespace. It takes nothing itself, not even for a moment: a box may
// be starting.
func Taken(ifindex int) bool {
	conn, err := net.DialUnix("unixgram", nil, claimOn(ifindex))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Release gives the NIC back.
func (c *Claim) Release() error { return c.socket.Close() }
