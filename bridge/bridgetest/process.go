package bridgetest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputLimit bounds what is kept of a process's output, in octets.
const outputLimit = 1 << 20

// killWait bounds how long the pipes of a process are read after its end.
const killWait = 2 * time.Second

// Process is a program that runs inside a namespace until it ends, is stopped,
// or its lab is closed.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error // valid once done is closed
}

// Start starts a program inside the namespace. Its output is kept, see Output
// and WaitOutput.
func (ns *Namespace) Start(name string, args ...string) (*Process, error) {
	return ns.StartCommand(ns.Command(context.Background(), name, args...))
}

// StartCommand starts what Command prepared. Output goes where the command
// says; what it leaves open is kept, see Output.
func (ns *Namespace) StartCommand(cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: programName(cmd), cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.out
	}
	cmd.WaitDelay = killWait
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := onStarter(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", p.name, ns.name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := ns.lab.own(p); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s in %s: %w", p.name, ns.name, err)
	}
	return p, nil
}

// programName is the program behind "ip netns exec NAMESPACE".
func programName(cmd *exec.Cmd) string {
	const wrapped = 4
	if len(cmd.Args) > wrapped {
		return filepath.Base(cmd.Args[wrapped])
	}
	return filepath.Base(cmd.Path)
}

// starter hands functions to a thread that lives as long as this process: the
// signal by which the kernel ends the children of a dead parent is tied to
// the parent's thread (prctl(2), PR_SET_PDEATHSIG), and other threads may end
// at any time.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func onStarter(f func() error) error {
	result := make(chan error)
	starter() <- func() { result <- f() }
	return <-result
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone, not to its group.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the process to end and returns how it did; an error has the
// end of its output.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.name, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w%s", p.name, p.err, p.out.tail())
	}
	return nil
}

// Stop asks the process to end with SIGTERM and waits for it; at the end of
// ctx it kills it.
func (p *Process) Stop(ctx context.Context) error {
	_ = p.Signal(unix.SIGTERM) // it may have ended already: Wait says how
	err := p.Wait(ctx)
	p.Kill()
	return err
}

// Kill ends the process and its group at once and waits until they are gone.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return // its ID may be another's by now
	default:
	}
	_ = unix.Kill(-p.PID(), unix.SIGKILL)
	<-p.done
}

// Output returns what the process wrote so far, the last mebibyte of it.
func (p *Process) Output() string { return p.out.String() }

// WaitOutput waits until the process has written the text. It fails when the
// process ends before.
func (p *Process) WaitOutput(ctx context.Context, text string) error {
	for {
		written, more := p.out.snapshot()
		if strings.Contains(written, text) {
			return nil
		}
		select {
		case <-more:
		case <-p.done:
			if strings.Contains(p.Output(), text) {
				return nil
			}
			return fmt.Errorf("%s ended without writing %q%s", p.name, text, p.out.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to write %q: %w%s", p.name, text, ctx.Err(), p.out.tail())
		}
	}
}

// WaitCount waits until the process has written the text n times.
func (p *Process) WaitCount(ctx context.Context, text string, n int) error {
	for {
		written, more := p.out.snapshot()
		if strings.Count(written, text) >= n {
			return nil
		}
		select {
		case <-more:
		case <-p.done:
			return fmt.Errorf("%s ended before it has written %q %d times%s", p.name, text, n, p.out.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to write %q %d times: %w%s", p.name, text, n, ctx.Err(), p.out.tail())
		}
	}
}

// output keeps what is written to it and wakes those who wait for more. The
// zero value is ready.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed by the next Write; nil if nobody asked
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.buf.Write(b)
	if excess := o.buf.Len() - outputLimit; excess > 0 {
		o.buf.Next(excess)
	}
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return n, err
}

// snapshot returns what was written and a channel that is closed when there
// is more.
func (o *output) snapshot() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.buf.String(), o.more
}

// String returns what was written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail is the end of the output in a form to add to an error.
func (o *output) tail() string {
	const limit = 2000
	text := strings.TrimSpace(o.String())
	if text == "" {
		return ""
	}
	return "\n" + text[max(0, len(text)-limit):]
}
