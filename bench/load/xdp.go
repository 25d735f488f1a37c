package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// xdpRuns is how often the kernel runs the program per system call: some
	// milliseconds, if nothing is due. Once the load is over the rest of them does
	// nothing.
	xdpRuns = 1 << 17
	// xdpBatch is how many frames go to the NIC together.
	xdpBatch = 64
	// xdpThreads take turns, on one CPU: a system call waits for grace periods
	// of RCU before it returns, some 10 ms in which others send.
	xdpThreads = 6
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
	sender.Lasting = uint64(l.Lasting)
	if err := p.kernel.Sender.Set(sender); err != nil {
		return sent, err
	}
	ended := make(chan error)
	for range xdpThreads {
		go func() {
			ended <- p.from.Do(func() error { return onCPU(l.CPU, func() error { return p.runXDP(ctx, l) }) })
		}()
	}
	for range xdpThreads {
		err = errors.Join(err, <-ended)
	}
	now := monotonic()
	err = errors.Join(err, p.kernel.Sender.Get(&sender))
	began := int64(sender.Until) - int64(l.Lasting) // Start moves with what slips
	lasting := min(time.Duration(now-began), l.Lasting)
	return Sent{Frames: sender.Sent, Octets: sender.Octets, Lasting: lasting, Slipped: time.Duration(sender.Slipped)}, err
}

// runXDP is one of the threads. That there are several is nothing that the
// program notices: they are on one CPU, and none is interrupted within it.
func (p *Path) runXDP(ctx context.Context, l *Load) error {
	run := &ebpf.RunOptions{Data: p.template, Repeat: xdpRuns, BatchSize: xdpBatch, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES}
	var sender kernelPace
	for sender.Over == 0 && sender.Sent < l.Limit && ctx.Err() == nil {
		if _, err := p.kernel.BenchSend.Run(run); err != nil {
			return fmt.Errorf("run the XDP program (needs Linux 5.18): %w", err)
		}
		if err := p.kernel.Sender.Get(&sender); err != nil {
			return err
		}
	}
	return nil
}
