package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Sender is a way to make frames.
type Sender string

// The senders.
const (
	// Packet is a packet socket: sendmmsg(2), past the queueing discipline
	// (PACKET_QDISC_BYPASS). Making the frames takes most of a CPU.
	Packet Sender = "packet"
	// XDP is bench_send in load.c: several times faster, so that the device is
	// what is measured. The NIC must take redirected frames (ndo_xdp_xmit); a veth
	// does if there is GRO or an XDP program at its other end.
	XDP Sender = "xdp"
)

// MaxRate is the highest pace of a sender, in frames a second.
const MaxRate = 1e9

// Load is what is to be sent.
type Load struct {
	Sender Sender
	// Rate is frames a second; 0: as fast as possible.
	Rate float64
	// Lasting is how long; Limit, if not 0, how many frames at most.
	Lasting time.Duration
	Limit   uint64
	// First and Count say which flows take turns.
	First, Count int
	// Timed frames bear the time at which they were made, for Delays.
	Timed bool
	// CPU is where the sender runs.
	CPU int
}

// Sent is what has left.
type Sent struct {
	Frames, Octets uint64 // octets without check sequences
	Lasting        time.Duration
	// Slipped is by how much the sender was too late for its pace, in all: what
	// it could not send in time it has not sent in a burst later.
	Slipped time.Duration
	// Refused is how many times the NIC's queue or the socket's had no room.
	Refused uint64
}

// Rate is frames a second.
func (s Sent) Rate() float64 {
	if s.Lasting <= 0 {
		return 0
	}
	return float64(s.Frames) / s.Lasting.Seconds()
}

func (l *Load) check(p *Path) error {
	switch {
	case l.Count < 1 || l.First < 0 || l.First+l.Count > len(p.flows):
		return fmt.Errorf("flows %d to %d of %d", l.First, l.First+l.Count-1, len(p.flows))
	case !(l.Rate >= 0 && l.Rate <= MaxRate): // what is no number neither
		return fmt.Errorf("%g frames a second", l.Rate)
	case l.Sender == XDP && len(p.template)+FCS > MaxXDPSize:
		return fmt.Errorf("the XDP sender makes frames of %d octets at most", MaxXDPSize)
	}
	return nil
}

// Send sends until the load is over, or ctx is, which is no error.
func (p *Path) Send(ctx context.Context, l Load) (sent Sent, err error) {
	if err := l.check(p); err != nil {
		return sent, fmt.Errorf("send: %w", err)
	}
	if l.Limit == 0 {
		l.Limit = 1 << 62
	}
	if l.Sender == XDP {
		sent, err = p.sendXDP(ctx, &l)
	} else {
		err = p.from.Do(func() error {
			return onCPU(l.CPU, func() (err error) {
				sent, err = p.sendPacket(ctx, &l)
				return err
			})
		})
	}
	if err != nil {
		return sent, fmt.Errorf("send from %s: %w", p.from.NIC, err)
	}
	return sent, nil
}

// onCPU calls f on a CPU. Timers of ordinary threads may be 50 us late; those of
// this one are not meanwhile.
func onCPU(cpu int, f func() error) error {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	one.Set(cpu)
	err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &one), unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
	if err != nil {
		return fmt.Errorf("keep the sender on CPU %d: %w", cpu, err)
	}
	err = f()
	if errors.Join(unix.SchedSetaffinity(0, &before), unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)) == nil {
		runtime.UnlockOSThread()
	} // else the thread ends with the goroutine
	return err
}
