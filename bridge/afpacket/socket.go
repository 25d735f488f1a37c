package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
)

// openSocket returns a packet socket on the interface with the given index
// which receives from now on, and nothing from before now, and the source that
// its frames come from.
//
// Order matters: the socket is bound to the interface without a protocol, so
// that no frame is queued before the options are set that say how frames are
// queued; naming the protocol (bind, again) starts it.
func openSocket(ifi *net.Interface, o *Options) (int, frameSource, error) {
	fd, err := listen(ifi, o.filter())
	if err != nil {
		return -1, nil, err
	}
	if err := errors.Join(setOptions(fd, o), join(fd, ifi.Index)); err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	from, err := newSource(fd, ifi.MTU, o)
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	all := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: ifi.Index}
	if err = unix.Bind(fd, all); err != nil {
		err = fmt.Errorf("bind: %w", err)
	} else {
		err = o.group.join(fd)
	}
	if err != nil {
		from.close()
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, from, nil
}

// newSource returns the source that the options ask for. Where the kernel has
// no memory for a ring that nobody insists on, the queue does as well.
func newSource(fd, mtu int, o *Options) (frameSource, error) {
	if o.Backend == MMsg {
		return newMMsg(o.frameSize), nil
	}
	r, err := newRing(fd, mtu, o)
	switch {
	case err == nil:
		return r, nil
	case o.Backend == Auto:
		return newMMsg(o.frameSize), nil
	}
	return nil, err
}

// openPlain returns a packet socket for frames that go without a virtio_net_hdr.
// It receives nothing, for it has no protocol.
func openPlain(ifi *net.Interface, o *Options) (int, error) {
	fd, err := listen(ifi, nil)
	if err != nil {
		return -1, err
	}
	if err := setSendOptions(fd, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// listen opens a packet socket and takes a descriptor of our own for it. The
// one of packet.Conn sits in the Go runtime's epoll set, where every arriving
// frame would wake a thread that has nothing to do; closing it takes it out of
// there and leaves the socket to us.
func listen(ifi *net.Interface, filter []bpf.RawInstruction) (int, error) {
	conn, err := packet.Listen(ifi, packet.Raw, 0, &packet.Config{Filter: filter})
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(connFD uintptr) {
		fd, dupErr = unix.FcntlInt(connFD, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, dupErr)
}

func setOptions(fd int, o *Options) error {
	options := []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_AUXDATA", unix.PACKET_AUXDATA, 1},
		{"PACKET_IGNORE_OUTGOING", unix.PACKET_IGNORE_OUTGOING, 1},
	}
	for _, s := range options {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, s.opt, s.value); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	return setSendOptions(fd, o)
}

// setSendOptions sets what goes for a socket that sends.
func setSendOptions(fd int, o *Options) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, boolInt(o.QdiscBypass)); err != nil {
		return fmt.Errorf("PACKET_QDISC_BYPASS: %w", err)
	}
	// Where that is refused (CAP_NET_ADMIN, or from Linux 5.17 on CAP_NET_RAW)
	// no program could have been attached that asks for it.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, bridge.SocketMark); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("SO_MARK: %w", err)
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer); err != nil {
		return fmt.Errorf("send buffer: %w", err)
	}
	return nil
}

// setBuffer sets a buffer size beyond the system's limit if it may
// (CAP_NET_ADMIN) and up to that limit otherwise.
func setBuffer(fd, force, plain, size int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
	return err
}

// join asks for promiscuous mode, and for all multicast, which some drivers filter
// even then. Both end with the socket, also when the process is killed.
func join(fd, index int) error {
	for _, kind := range [...]uint16{unix.PACKET_MR_PROMISC, unix.PACKET_MR_ALLMULTI} {
		mreq := &unix.PacketMreq{Ifindex: int32(index), Type: kind}
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, mreq); err != nil {
			return fmt.Errorf("PACKET_ADD_MEMBERSHIP, type %d: %w", kind, err)
		}
	}
	return nil
}

// networkOrder is htons.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
