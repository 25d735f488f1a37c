package receive

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// sysctls have the host take packets from everywhere, answer every SYN without
// keeping it, and not keep fragments for long.
var sysctls = [...][2]string{
	{"net.ipv4.conf.all.rp_filter", "0"}, {"net.ipv4.conf.eth0.rp_filter", "0"},
	{"net.ipv4.tcp_syncookies", "2"},
	{"net.ipv4.ipfrag_time", "1"}, {"net.ipv4.ipfrag_max_dist", "0"}, {"net.ipv4.ipfrag_high_thresh", "67108864"},
	{"net.ipv6.ip6frag_time", "1"}, {"net.ipv6.ip6frag_high_thresh", "67108864"},
	{"net.ipv6.conf.eth0.accept_ra", "0"}, {"net.ipv6.conf.eth0.router_solicitations", "0"},
}

// commands give the host its addresses and a way to everybody.
var commands = [...]string{
	"ip addr add 192.0.2.1/24 dev eth0",
	"ip -6 addr add 2001:db8::1/64 dev eth0 nodad",
	"ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:09 nud permanent dev eth0",
	"ip -6 neigh replace 2001:db8::fe lladdr 02:00:00:00:00:09 nud permanent dev eth0",
	"ip route add default via 192.0.2.254",
	"ip -6 route add default via 2001:db8::fe",
}

var (
	host4 = [4]byte{192, 0, 2, 1}
	host6 = [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}
)

func (l *Linux) configure() error {
	for _, s := range sysctls {
		if err := l.receiver.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, command := range commands {
		words := strings.Fields(command)
		if _, err := l.receiver.Run(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return l.receiver.Do(takeTagsOff)
}

// takeTagsOff attaches a program to the NIC that takes VLAN tags off.
func takeTagsOff() error {
	device, err := net.InterfaceByName(nic)
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "tags", Type: ebpf.SchedCLS, License: "GPL", Instructions: popTags()})
	if err != nil {
		return fmt.Errorf("program that takes VLAN tags off: %w", err)
	}
	defer program.Close()
	// The attachment has no owner and goes with the NIC.
	return link.RawAttachProgram(link.RawAttachProgramOptions{Target: device.Index, Program: program, Attach: ebpf.AttachTCXIngress})
}

// popTags takes off up to two tags that are not of VID 0, and those of VID 0
// before and between them.
func popTags() asm.Instructions {
	const presentAt, tciAt, rounds = 20, 24, 6 // fields of struct __sk_buff
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R7, 0)}
	for range rounds {
		code = append(code,
			asm.LoadMem(asm.R2, asm.R6, presentAt, asm.Word),
			asm.JEq.Imm(asm.R2, 0, "end"),
			asm.LoadMem(asm.R2, asm.R6, tciAt, asm.Word),
			asm.And.Imm(asm.R2, 0xfff),
			asm.Instruction{OpCode: asm.JEq.Op(asm.ImmSource), Dst: asm.R2, Offset: 2},
			asm.JGE.Imm(asm.R7, 2, "end"),
			asm.Add.Imm(asm.R7, 1),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.FnSkbVlanPop.Call(),
		)
	}
	const next = -1 // TCX_NEXT
	return append(code, asm.Mov.Imm(asm.R0, next).WithSymbol("end"), asm.Return())
}

func (l *Linux) openSender() error {
	return l.sender.Do(func() (err error) {
		device, err := net.InterfaceByName(nic)
		if err != nil {
			return err
		}
		if l.plain, err = packetSocket(device.Index, 0); err != nil {
			return err
		}
		if l.offload, err = packetSocket(device.Index, 0); err != nil {
			return err
		}
		if err = unix.SetsockoptInt(l.offload, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return fmt.Errorf("PACKET_VNET_HDR: %w", err)
		}
		if l.answers, err = packetSocket(device.Index, unix.ETH_P_ALL); err != nil {
			return err
		}
		return unix.SetsockoptInt(l.answers, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	})
}

// packetSocket opens a packet socket that receives a protocol, 0 for none.
func packetSocket(index int, protocol uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8, Ifindex: index}
	if err := unix.Bind(fd, to); err != nil {
		return fd, fmt.Errorf("bind packet socket: %w", err)
	}
	return fd, roomy(fd)
}

// roomy lets a socket keep all that comes of some hundred cases.
func roomy(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		return fmt.Errorf("SO_RCVBUFFORCE: %w", err)
	}
	return nil
}

func (l *Linux) openReceiver() error {
	return l.receiver.Do(func() (err error) {
		for i, s := range rawSockets {
			if l.raw[i], err = unix.Socket(s.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, s.protocol); err != nil {
				return fmt.Errorf("raw socket: %w", err)
			}
			if err := roomy(l.raw[i]); err != nil {
				return err
			}
		}
		l.listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
}

// send sends a frame. One that no packet socket takes is no fault: it is as if
// the cable had eaten it.
func (l *Linux) send(f *Frame) error {
	fd, data := l.plain, f.Data
	if f.Offload != nil {
		fd, data = l.offload, slices.Concat(f.Offload, f.Data)
	}
	err := unix.Send(fd, data, 0)
	if err == unix.EINVAL || err == unix.EMSGSIZE {
		return nil
	}
	return err
}
