package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// group is the sockets of one NIC that share its frames (PACKET_FANOUT_EBPF,
// packet(7)). A frame's socket is the one whose number in the group a program
// says, so that it matters who joins when.
type group struct {
	program int // its file descriptor
	id      int // the group's, once it has a socket
	sockets []int
}

// OpenGroup is Open for n ports that share the NIC's frames: port number
// program(frame) modulo n has them. program is the file descriptor of a loaded
// BPF program of the type socket filter; it may be closed afterwards. No frame
// from before all were there is received, so that none overtakes another. A Filter
// of the Options is not used. Before Linux 6.13 the NIC must be up. Close the ports
// together: without one of them frames take other ways.
func OpenGroup(name string, n, program int, o Options) (ports []*Port, err error) {
	g := &group{program: program}
	o.group, o.Filter = g, nil
	for range n {
		port, err := Open(name, o)
		if err != nil {
			return nil, errors.Join(err, closeAll(ports))
		}
		ports = append(ports, port)
	}
	if err := g.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), closeAll(ports))
	}
	return ports, nil
}

func closeAll(ports []*Port) error {
	var errs []error
	for _, p := range ports {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// nothing is a filter that takes no frame.
var nothing = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}}

// filter is that of a socket when it is opened: one of a group waits until the
// group is complete.
func (o *Options) filter() []bpf.RawInstruction {
	if o.group != nil {
		return nothing
	}
	return o.Filter
}

// join makes a bound socket a member. The kernel chooses the group's number, as
// a group of before may still have its last socket.
func (g *group) join(fd int) error {
	if g == nil {
		return nil
	}
	// Since Linux 6.1 the group has its own say about outgoing frames; before,
	// those that a member sends did not come back to the group, and the source
	// takes out the rest.
	const mode = unix.PACKET_FANOUT_EBPF | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if len(g.sockets) == 0 {
		if err := g.found(fd, mode); err != nil {
			return err
		}
	} else if err := setFanout(fd, mode<<16|g.id); err != nil {
		return err
	}
	g.sockets = append(g.sockets, fd)
	return nil
}

// found makes a group of a socket.
func (g *group) found(fd, mode int) (err error) {
	if err := setFanout(fd, (mode|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16); err != nil {
		return err
	}
	value, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	g.id = value & 0xffff
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, g.program); err != nil {
		return fmt.Errorf("PACKET_FANOUT_DATA: %w", err)
	}
	return nil
}

func setFanout(fd, value int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, value)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("PACKET_FANOUT: %w; before Linux 6.13 the NIC has to be up", err)
	}
	if err != nil {
		return fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	return nil
}

// begin has all sockets of a group receive: none had a frame before.
func (g *group) begin() error {
	for _, fd := range g.sockets {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
			return fmt.Errorf("SO_DETACH_FILTER: %w", err)
		}
	}
	return nil
}
