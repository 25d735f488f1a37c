package receive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Delivered says what of a case came out of Linux's receive path.
type Delivered struct {
	GRE bool // at a raw socket of protocol 47
	TCP bool // at one of protocol 6: whole header, to port 1723
	SYN bool // the same, and it opens a connection
	// Answered says that the listener at port 1723 answered a SYN.
	Answered bool
}

// Denied reports whether something was delivered that pptp = "deny" must drop.
func (d Delivered) Denied() bool { return d.GRE || d.SYN || d.Answered }

// Linux is a host that receives frames:
//
//	sender eth0 --- eth0 receiver
//
// It is for one goroutine, which must stay on one CPU: a virtual NIC queues
// frames on the CPU of the thread that sends.
type Linux struct {
	sender, receiver *bridgetest.Namespace
	mac              [6]byte
	plain, offload   int    // packet sockets that send, without and with virtio_net_hdr
	answers          int    // one that receives what the host sends
	raw              [4]int // see rawSockets
	listener         net.Listener
	buffer           []byte
}

const (
	nic = "eth0"
	mtu = 9000
	// patience bounds every wait for the kernel.
	patience = 20 * time.Second
)

// rawSockets are what the host receives with.
var rawSockets = [...]struct{ family, protocol int }{
	{unix.AF_INET, unix.IPPROTO_GRE}, {unix.AF_INET, unix.IPPROTO_TCP},
	{unix.AF_INET6, unix.IPPROTO_GRE}, {unix.AF_INET6, unix.IPPROTO_TCP},
}

// Open makes a host in a lab.
func Open(lab *bridgetest.Lab, name string) (*Linux, error) {
	l := &Linux{plain: -1, offload: -1, answers: -1, raw: [4]int{-1, -1, -1, -1}, buffer: make([]byte, 1<<17)}
	for _, step := range []func() error{
		func() error { return l.wire(lab, name) }, l.configure, l.openSender, l.openReceiver,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("receiving host %s: %w", name, err), l.Close())
		}
	}
	return l, nil
}

func (l *Linux) wire(lab *bridgetest.Lab, name string) (err error) {
	if l.sender, err = lab.Namespace(name + "-sender"); err != nil {
		return err
	}
	if l.receiver, err = lab.Namespace(name); err != nil {
		return err
	}
	if err := l.receiver.Sysctl("net.ipv6.conf.default.disable_ipv6", "0"); err != nil {
		return err
	}
	if err := lab.Veth(l.sender, nic, l.receiver, nic, bridgetest.VethOption{MTU: mtu}); err != nil {
		return err
	}
	l.mac = [6]byte(l.receiver.HardwareAddr(nic))
	return nil
}

// Close closes the sockets; the rest goes with the lab.
func (l *Linux) Close() error {
	var errs []error
	for _, fd := range append(l.raw[:], l.plain, l.offload, l.answers) {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if l.listener != nil {
		errs = append(errs, l.listener.Close())
	}
	return errors.Join(errs...)
}

// Deliver sends the frames of cases, in order, and returns what the host
// delivered, by the number of the case.
func (l *Linux) Deliver(cases []Case) (map[uint32]Delivered, error) {
	for i := range cases {
		for j := range cases[i].Frames {
			if err := l.send(&cases[i].Frames[j]); err != nil {
				return nil, fmt.Errorf("send frame %d of case %d: %w", j+1, cases[i].Number, err)
			}
		}
	}
	for i := range rawSockets {
		if err := l.send(&Frame{Data: l.marker(i)}); err != nil {
			return nil, fmt.Errorf("send a marker: %w", err)
		}
	}
	found := make(map[uint32]Delivered)
	for i := range l.raw {
		if err := l.collect(i, found); err != nil {
			return nil, err
		}
	}
	return found, l.collectAnswers(found)
}

// markerNumber is the number of no case: it is behind all of them.
const markerNumber = 1<<24 - 2

// marker is a frame that the i-th raw socket gets for certain.
func (l *Linux) marker(i int) []byte {
	s := rawSockets[i]
	payload := []byte{0, 0, 8, 0}
	b := builder{number: markerNumber, six: s.family == unix.AF_INET6, proto: uint8(s.protocol)}
	if s.protocol == unix.IPPROTO_TCP {
		payload = b.syn(40000, 1723)
	}
	return l.ethernet(b.etherType(), b.ip(payload))
}

func (l *Linux) ethernet(ether uint16, body []byte) []byte {
	frame := append(l.mac[:], 2, 0, 0, 0, 0, 9)
	return append(binary.BigEndian.AppendUint16(frame, ether), body...)
}

// collect reads what the i-th raw socket got, up to the marker.
func (l *Linux) collect(i int, found map[uint32]Delivered) error {
	for {
		n, from, err := l.receive(l.raw[i])
		if err != nil {
			return fmt.Errorf("raw socket %d: %w", i+1, err)
		}
		number, data := l.read(n, from)
		d := found[number]
		switch {
		case number == markerNumber:
			return nil
		case rawSockets[i].protocol == unix.IPPROTO_GRE:
			d.GRE = true
		case isControl(data):
			d.TCP, d.SYN = true, d.SYN || data[13]&(syn|ack|rst|fin) == syn
		}
		found[number] = d
	}
}

// receive waits for a datagram, and leaves it in l.buffer.
func (l *Linux) receive(fd int) (n int, from unix.Sockaddr, err error) {
	for deadline := time.Now().Add(patience); ; {
		n, from, err = unix.Recvfrom(fd, l.buffer, unix.MSG_DONTWAIT)
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, from, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return 0, nil, fmt.Errorf("the marker did not come within %v", patience)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return 0, nil, err
		}
	}
}

// read returns the case that a datagram in l.buffer is of, and what IP carried.
func (l *Linux) read(n int, from unix.Sockaddr) (number uint32, data []byte) {
	data = l.buffer[:n]
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return numberOf(a.Addr[:]), data[int(data[0]&0xf)*4:]
	case *unix.SockaddrInet6:
		return numberOf(a.Addr[:]), data
	}
	return 0, nil
}

// isControl reports whether Linux's TCP takes a segment, whose checksum may be
// wrong, and whether it is to port 1723.
func isControl(tcp []byte) bool {
	if len(tcp) < 20 {
		return false
	}
	header := int(tcp[12]>>4) * 4
	return header >= 20 && header <= len(tcp) && binary.BigEndian.Uint16(tcp[2:]) == port
}

const port = 1723

// TCP flags.
const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

// collectAnswers reads whom the listener answered, up to the markers.
func (l *Linux) collectAnswers(found map[uint32]Delivered) error {
	for markers := 0; markers < 2; {
		n, _, err := l.receive(l.answers)
		if err != nil {
			return fmt.Errorf("answers of the listener: %w", err)
		}
		number, ok := answered(l.buffer[:n])
		switch {
		case !ok:
		case number == markerNumber:
			markers++
		default:
			d := found[number]
			d.Answered = true
			found[number] = d
		}
	}
	return nil
}

// answered returns the case that a SYN-ACK from the listener is for.
func answered(frame []byte) (number uint32, ok bool) {
	if len(frame) < 14 {
		return 0, false
	}
	packet, tcp, to := frame[14:], []byte(nil), []byte(nil)
	switch ether := binary.BigEndian.Uint16(frame[12:]); {
	case ether == unix.ETH_P_IP && len(packet) >= 40 && packet[9] == unix.IPPROTO_TCP:
		tcp, to = packet[20:], packet[16:20]
	case ether == unix.ETH_P_IPV6 && len(packet) >= 60 && packet[6] == unix.IPPROTO_TCP:
		tcp, to = packet[40:], packet[24:40]
	default:
		return 0, false
	}
	return numberOf(to), tcp[13]&(syn|ack) == syn|ack && binary.BigEndian.Uint16(tcp) == port
}

// readdressed is a case as it comes from the box to this host.
func (l *Linux) readdressed(c Case) Case {
	for i, f := range c.Frames {
		data := bytes.Clone(f.Data)
		copy(data, l.mac[:])
		c.Frames[i] = Frame{data, f.Offload}
	}
	return c
}
