package bridgetest

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// captureWait bounds how long tcpdump may take to start and to finish.
const captureWait = 10 * time.Second

// Capture is a running tcpdump that writes to a file.
type Capture struct {
	tcpdump *Process
	asked   int // how often tcpdump was asked for its counts
	stop    func() error
}

// Capture captures all frames of a NIC, whole, to a pcap file until Stop. It
// returns when tcpdump listens.
func (ns *Namespace) Capture(nic, path string) (*Capture, error) {
	// -Z root: the file may be where no other user can write.
	tcpdump, err := ns.Start("tcpdump", "-Z", "root", "-n", "--immediate-mode", "-U", "-B", captureBuffer, "-s", captureSnaplen, "-i", nic, "-w", path)
	if err != nil {
		return nil, fmt.Errorf("capture on %s in %s: %w", nic, ns.name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), captureWait)
	defer cancel()
	if err := tcpdump.WaitOutput(ctx, "listening on"); err != nil {
		tcpdump.Kill()
		return nil, fmt.Errorf("capture on %s in %s: %w", nic, ns.name, err)
	}
	c := &Capture{tcpdump: tcpdump}
	c.stop = sync.OnceValue(c.drainAndStop)
	return c, nil
}

// Stop ends the capture when all frames that the kernel has seen on the NIC so
// far are in the file. It is an error if some are not, because the kernel had
// no room for them.
func (c *Capture) Stop() error { return c.stop() }

// counts is what tcpdump writes at SIGUSR1: the frames in the file, those that
// the kernel saw, and those of them that it had no room for.
var counts = regexp.MustCompile(`(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel`)

const (
	// captureBuffer is the kernel's buffer in KiB: room for what a fast sender
	// puts on a NIC while tcpdump is off the CPU.
	captureBuffer = "262144"
	// captureSnaplen is what the longest super-frame has, and what every frame
	// takes of the buffer.
	captureSnaplen = "65600"
)

// Wait waits until so many frames are in the file: a sender that waits for
// what it has sent stays within the capture's buffer.
func (c *Capture) Wait(ctx context.Context, frames int) error {
	return c.wait(ctx, func(n tally) bool { return n.captured >= frames })
}

func (c *Capture) wait(ctx context.Context, enough func(tally) bool) error {
	for {
		if err := c.tcpdump.Signal(unix.SIGUSR1); err != nil {
			return fmt.Errorf("capture: %w%s", err, c.tcpdump.out.tail())
		}
		c.asked++
		n, err := c.answer(ctx, c.asked)
		if err != nil {
			return err
		}
		if n.dropped > 0 {
			c.tcpdump.Kill()
			return fmt.Errorf("capture: the kernel dropped %d of %d frames", n.dropped, n.received)
		}
		if enough(n) {
			return nil
		}
	}
}

func (c *Capture) drainAndStop() error {
	ctx, cancel := context.WithTimeout(context.Background(), captureWait)
	defer cancel()
	if err := c.wait(ctx, func(n tally) bool { return n.captured == n.received }); err != nil {
		return err
	}
	if err := c.tcpdump.Signal(unix.SIGINT); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return c.tcpdump.Wait(ctx)
}

// tally is what counts matched.
type tally struct{ captured, received, dropped int }

// answer waits for tcpdump's n-th line of counts.
func (c *Capture) answer(ctx context.Context, n int) (tally, error) {
	for {
		written, more := c.tcpdump.out.snapshot()
		if lines := counts.FindAllStringSubmatch(written, -1); len(lines) >= n {
			var number [3]int
			for i := range number {
				number[i], _ = strconv.Atoi(lines[n-1][i+1]) // digits, by the expression
			}
			return tally{number[0], number[1], number[2]}, nil
		}
		select {
		case <-more:
		case <-c.tcpdump.Done():
			return tally{}, fmt.Errorf("capture: tcpdump ended early: %s", strings.TrimSpace(c.tcpdump.Output()))
		case <-ctx.Done():
			return tally{}, fmt.Errorf("capture: tcpdump does not answer: %w", ctx.Err())
		}
	}
}
