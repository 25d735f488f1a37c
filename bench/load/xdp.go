package load

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// xdpRuns is how often the kernel runs the program per system call. Once the
	// load is over the rest of them do nothing, some 10 ns each.
	xdpRuns = 1 << 17
	// xdpBatch is how many frames go to the NIC together.
	xdpBatch = 64
	// gapShift: load.c counts the time between frames in 1/1024 ns.
	gapShift = 10
)

// sendXDP has the kernel run bench_send until it says that it is done.
func (p *Path) sendXDP(ctx context.Context, l *Load) (sent Sent, err error) {
	sender := kernelPace{
		Limit: l.Limit, Nic: uint32(p.nics[0].Index), First: uint32(l.First), Count: uint32(l.Count), Timed: uint32(b2i(l.Timed)),
	}
	if l.Rate > 0 {
		sender.Gap = uint64(math.Round(float64(time.Second) / l.Rate * (1 << gapShift)))
	}
	began := monotonic()
	sender.Start, sender.Deadline = uint64(began), uint64(began+int64(l.Lasting))
	if err := p.kernel.Sender.Set(sender); err != nil {
		return sent, err
	}
	run := &ebpf.RunOptions{Data: p.template, Repeat: xdpRuns, BatchSize: xdpBatch, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES}
	for sender.Over == 0 && sender.Sent < l.Limit && ctx.Err() == nil {
		if _, err := p.kernel.BenchSend.Run(run); err != nil {
			return sent, fmt.Errorf("run the XDP program (needs Linux 5.18): %w", err)
		}
		if err := p.kernel.Sender.Get(&sender); err != nil {
			return sent, err
		}
	}
	lasting := min(time.Duration(monotonic()-began), l.Lasting)
	return Sent{Frames: sender.Sent, Octets: sender.Octets, Lasting: lasting, Slipped: time.Duration(sender.Slipped)}, nil
}
