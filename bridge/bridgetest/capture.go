package bridgetest

import (
	"context"
	"fmt"
	"regexp"
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
	stop    func() error
}

// Capture captures all frames of a NIC, whole, to a pcap file until Stop. It
// returns when tcpdump listens.
func (ns *Namespace) Capture(nic, path string) (*Capture, error) {
	// -Z root: the file may be where no other user can write.
	tcpdump, err := ns.Start("tcpdump", "-Z", "root", "-n", "--immediate-mode", "-U", "-s", "0", "-i", nic, "-w", path)
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
// far are in the file.
func (c *Capture) Stop() error { return c.stop() }

// counts is what tcpdump writes at SIGUSR1: the frames in the file and those
// the kernel gave it.
var counts = regexp.MustCompile(`(\d+) packets? captured, (\d+) packets? received by filter`)

func (c *Capture) drainAndStop() error {
	ctx, cancel := context.WithTimeout(context.Background(), captureWait)
	defer cancel()
	for asked := 1; ; asked++ {
		if err := c.tcpdump.Signal(unix.SIGUSR1); err != nil {
			return fmt.Errorf("capture: %w%s", err, c.tcpdump.out.tail())
		}
		captured, received, err := c.answer(ctx, asked)
		if err != nil {
			return err
		}
		if captured == received {
			break
		}
	}
	if err := c.tcpdump.Signal(unix.SIGINT); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return c.tcpdump.Wait(ctx)
}

// answer waits for tcpdump's n-th line of counts.
func (c *Capture) answer(ctx context.Context, n int) (captured, received string, err error) {
	for {
		written, more := c.tcpdump.out.snapshot()
		if lines := counts.FindAllStringSubmatch(written, -1); len(lines) >= n {
			return lines[n-1][1], lines[n-1][2], nil
		}
		select {
		case <-more:
		case <-c.tcpdump.Done():
			return "", "", fmt.Errorf("capture: tcpdump ended early: %s", strings.TrimSpace(c.tcpdump.Output()))
		case <-ctx.Done():
			return "", "", fmt.Errorf("capture: tcpdump does not answer: %w", ctx.Err())
		}
	}
}
