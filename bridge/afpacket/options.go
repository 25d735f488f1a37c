package afpacket

import (
	"golang.org/x/net/bpf"

	"github.com/grewire/grewire/bridge"
)

// Backend is how a Port receives. Both send alike, with sendmmsg(2).
type Backend string

// The backends. The zero value is Auto.
const (
	// Auto is Ring, and MMsg where the kernel has no memory for a ring.
	Auto Backend = "auto"
	// MMsg copies frames out of the socket's queue with recvmmsg(2).
	MMsg Backend = "mmsg"
	// Ring reads frames where the kernel put them, in a TPACKET_V2 ring.
	Ring Backend = "ring"
)

// Options are the choices one has about a port. The zero value is the default.
type Options struct {
	// Backend is how frames are received; "" means Auto.
	Backend Backend
	// RingSlots is how many frames the ring has room for that wait for
	// Receive; 0 means 8192. It is rounded up to whole blocks of 64 KiB. See
	// Memory for what they cost.
	RingSlots int
	// ReceiveBuffer is how many octets of kernel memory frames may take that
	// wait for Receive in the socket's queue: all of them with MMsg, those
	// longer than a slot with Ring. 0 means 16 MiB. The kernel doubles it for
	// its own bookkeeping and charges a small frame with about 800 octets.
	// Without CAP_NET_ADMIN net.core.rmem_max is the limit.
	ReceiveBuffer int
	// SendBuffer is the same for sent frames that the NIC has not done with;
	// 0 means 8 MiB. Without CAP_NET_ADMIN net.core.wmem_max is the limit.
	SendBuffer int
	// QdiscBypass hands sent frames to the driver without a queueing
	// discipline (PACKET_QDISC_BYPASS): fewer cycles, but a burst that the
	// driver cannot take is dropped, and tcpdump does not see what is sent.
	QdiscBypass bool
	// RealTime makes the thread that calls Receive a real-time one while it
	// sleeps (SCHED_FIFO, priority 1), so that it is let in at once when a frame
	// wakes it, whoever else computes; as long as it works for less than a
	// fourth of the time. The caller must hold the thread
	// (runtime.LockOSThread) and not give it back. It needs an RLIMIT_RTPRIO of
	// 1 or CAP_SYS_NICE; without, the thread stays ordinary.
	RealTime bool
	// Filter leaves only those frames to be received that it takes, none from
	// before it was set; nil is all. The outer VLAN tag is out of the frame when
	// the filter sees it. Such a port is no worker's: Receive sleeps in every gap.
	Filter []bpf.RawInstruction

	group     *group // that the socket joins, see OpenGroup
	frameSize int    // longest frame that is received whole, 0 = defaultFrameSize
}

// What the zero values of Options mean.
const (
	DefaultRingSlots     = 8192
	DefaultReceiveBuffer = 16 << 20 // octets
	DefaultSendBuffer    = 8 << 20  // octets
)

func (o Options) withDefaults() Options {
	if o.Backend == "" {
		o.Backend = Auto
	}
	o.RingSlots = defaultTo(o.RingSlots, DefaultRingSlots)
	o.ReceiveBuffer = defaultTo(o.ReceiveBuffer, DefaultReceiveBuffer)
	o.SendBuffer = defaultTo(o.SendBuffer, DefaultSendBuffer)
	o.frameSize = defaultTo(o.frameSize, defaultFrameSize)
	return o
}

func defaultTo(value, def int) int {
	if value <= 0 {
		return def
	}
	return value
}

// Memory is what a Port may take, in octets.
type Memory struct {
	Ring    int // the kernel's, taken when the port is opened, never swapped out; 0 without a ring
	Receive int // the kernel's, the most that frames in the receive queue may take
	Send    int // the kernel's, the most that sent frames may take
	Frames  int // the process's, taken page by page as frames are that long
}

// Memory returns what a Port with these options may take on a NIC of that MTU.
func (o Options) Memory(mtu int) Memory {
	o = o.withDefaults()
	m := Memory{
		Receive: 2 * o.ReceiveBuffer, Send: 2 * 2 * o.SendBuffer, // see socket(7), SO_RCVBUF; two sockets send
		Frames: bridge.BatchSize * (headroom + o.frameSize),
	}
	if o.Backend != MMsg {
		m.Ring = o.geometry(mtu).size()
	}
	return m
}
