package bridgetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Client is a running pptp with PPP over it.
type Client struct {
	process *Process
	reports output
	ns      *Namespace
	manager string // the directory of its call manager's socket
}

// DialOptions are the options of Dial; the zero value is an ordinary call
// without pings.
type DialOptions struct {
	Pings        Pings
	CallID       *uint16       // the PNS's call ID; nil: random
	EchoInterval time.Duration // of Echo-Requests on an idle control connection, whole seconds; default 60 s
	Timeout      time.Duration // for PPP to come up; default 30 s
	Args         []string      // more arguments for pptp
	Beside       *Client       // whose control connection is to be used; it must be to the same server
}

// Dial starts a pptp in the namespace that calls the server; it does not wait
// for the call, see Ready. Every Dial makes a control connection of its own,
// unless it is one beside another's call.
func Dial(ns *Namespace, server string, o DialOptions) (*Client, error) {
	c, err := dial(ns, server, o)
	if err != nil {
		return nil, fmt.Errorf("pptp in %s to %s: %w", ns, server, err)
	}
	return c, nil
}

func dial(ns *Namespace, server string, o DialOptions) (*Client, error) {
	stub, err := ns.lab.Build("hack/pppstub")
	if err != nil {
		return nil, err
	}
	if _, err := find("pptp", "pptp-linux"); err != nil {
		return nil, err
	}
	random, err := ns.lab.randomFile(o.CallID)
	if err != nil {
		return nil, err
	}
	args := append([]string{"client"}, o.Pings.flags()...)
	if o.Timeout > 0 {
		args = append(args, "-timeout", o.Timeout.String())
	}
	args = append(args, "--", server)
	if o.EchoInterval > 0 {
		args = append(args, "--idle-wait", strconv.Itoa(max(1, int(o.EchoInterval/time.Second))))
	}
	c := &Client{ns: ns}
	if c.manager, err = ns.lab.managerDir(o.Beside); err != nil {
		return nil, err
	}
	cmd := ns.privateCommand(random, c.manager, stub, append(args, o.Args...)...)
	cmd.Stdout = &c.reports
	c.process, err = ns.StartCommand(cmd)
	return c, err
}

// randomFile makes what pptp reads in place of /dev/random: its call ID, in
// the machine's byte order.
func (l *Lab) randomFile(callID *uint16) (string, error) {
	if callID == nil {
		return "", nil
	}
	const copies = 64 // it is read anew for every call
	var octets []byte
	for range copies {
		octets = binary.NativeEndian.AppendUint16(octets, *callID)
	}
	path := l.newFile("call-id")
	return path, os.WriteFile(path, octets, 0o644)
}

// managerDir is where the call manager listens: of another's call, or a new one.
func (l *Lab) managerDir(beside *Client) (string, error) {
	if beside != nil {
		return beside.manager, nil
	}
	dir := l.newFile("pptp-run")
	return dir, os.Mkdir(dir, 0o755)
}

// Ready waits until PPP is up, so that both ends have sent GRE.
func (c *Client) Ready(ctx context.Context) (Report, error) { return c.wait(ctx, "up") }

// Pinged waits until all pings are sent, and answered or lost.
func (c *Client) Pinged(ctx context.Context) (Report, error) { return c.wait(ctx, "pinged") }

// Wait waits until the call has ended.
func (c *Client) Wait(ctx context.Context) (Report, error) { return c.wait(ctx, "end") }

// Ask asks a client that is Ready how its pings do right now.
func (c *Client) Ask(ctx context.Context) (Report, error) {
	had := len(eventReports(c.reports.String(), "asked"))
	if err := c.process.Signal(syscall.SIGUSR1); err != nil {
		return Report{}, fmt.Errorf("ask the pptp client: %w", err)
	}
	return c.waitNext(ctx, "asked", had)
}

// Done is closed when the client's process has ended.
func (c *Client) Done() <-chan struct{} { return c.process.Done() }

// Hangup ends the call with SIGTERM to pptp, which sends Call-Clear-Request
// and closes the control connection, and waits for its end.
func (c *Client) Hangup(ctx context.Context) (Report, error) {
	if err := c.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return Report{}, fmt.Errorf("hang up: %w", err)
	}
	return c.Wait(ctx)
}

// Pause stops the PPP end of the client, so that the call goes on but no more
// pings are sent or answered, until Resume.
func (c *Client) Pause() error { return c.process.Signal(syscall.SIGSTOP) }

// Resume lets a paused client go on.
func (c *Client) Resume() error { return c.process.Signal(syscall.SIGCONT) }

// Kill ends the PPP end of the client at once; pptp then finds its terminal
// gone.
func (c *Client) Kill() { c.process.Kill() }

// Log returns what pptp wrote.
func (c *Client) Log() string { return c.process.Output() }

func (c *Client) wait(ctx context.Context, event string) (Report, error) {
	return c.waitNext(ctx, event, 0)
}

// waitNext waits until there is a report of the event behind the first ones.
func (c *Client) waitNext(ctx context.Context, event string, first int) (Report, error) {
	for {
		text, more := c.reports.snapshot()
		if r := eventReports(text, event); len(r) > first {
			return r[first], nil
		}
		select {
		case <-more:
		case <-c.process.Done():
			if r := eventReports(c.reports.String(), event); len(r) > first {
				return r[first], nil
			}
			return Report{}, fmt.Errorf("pptp client ended before %q%s", event, c.process.out.tail())
		case <-ctx.Done():
			return Report{}, fmt.Errorf("wait for %q of the pptp client: %w%s", event, ctx.Err(), c.process.out.tail())
		}
	}
}

// eventReports are the reports of an event, oldest first.
func eventReports(text, event string) []Report {
	return slices.DeleteFunc(parseReports(text), func(r Report) bool { return r.Event != event })
}
