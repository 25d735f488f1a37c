package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const (
	writeWait  = 5 * time.Second // for pptp to take what is written to it
	hangupWait = 5 * time.Second // for pptp to end after SIGTERM
)

var errNotUp = errors.New("PPP did not come up")

func clientMain(args []string) error {
	flags := flag.NewFlagSet("pppstub client", flag.ContinueOnError)
	plan := pingFlags(flags)
	wait := flags.Duration("timeout", 30*time.Second, "how long PPP may take to come up")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("client: the server's address is missing")
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGTERM, syscall.SIGINT)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	return dial(flags.Args(), *plan, *wait, hangup, asked)
}

// dial runs pptp and PPP over it until either ends, a hangup is asked for, or
// PPP is not up in time.
func dial(pptpArgs []string, plan pingPlan, wait time.Duration, hangup, asked <-chan os.Signal) error {
	master, pptp, err := startPPTP(pptpArgs)
	if err != nil {
		return err
	}
	defer master.Close()

	up, stop := make(chan struct{}), make(chan struct{})
	write := writeReports(os.Stdout)
	l := &line{session: newSession(deadlineWriter{master}, rand.Uint32()), plan: plan, asked: asked}
	l.report = func(r report) {
		if r.Event == "up" {
			close(up)
		}
		write(r)
	}
	go func() {
		waitEnd(pptp, up, wait, hangup)
		close(stop)
	}()
	input := readChunks(master)
	l.run(input, stop)
	return l.hangUp(pptp, input)
}

// waitEnd returns when there is a reason to end the call.
func waitEnd(pptp *child, up <-chan struct{}, wait time.Duration, hangup <-chan os.Signal) {
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-hangup:
		return
	case <-pptp.done:
		return
	case <-late.C:
		return
	case <-up:
	}
	select {
	case <-hangup:
	case <-pptp.done:
	}
}

// hangUp ends pptp, which clears the call, and reports.
func (l *line) hangUp(pptp *child, input <-chan []byte) error {
	go func() {
		for range input { // so that pptp never waits for its terminal
		}
	}()
	end := l.state("end")
	end.Exit = pptp.end()
	l.report(end)
	if !l.wasUp {
		return errNotUp
	}
	return l.session.err
}

// child is a running pptp.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startPPTP starts pptp on a new pseudo-terminal and returns the other end
// of that.
func startPPTP(args []string) (*os.File, *child, error) {
	path, err := findPPTP()
	if err != nil {
		return nil, nil, err
	}
	master, slave, err := openPTY()
	if err != nil {
		return nil, nil, err
	}
	defer slave.Close()
	args = append([]string{args[0], "--nolaunchpppd", "--nohostroute", "--loglevel", "2"}, args[1:]...)
	c := &child{cmd: exec.Command(path, args...), done: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, os.Stderr
	if err := c.cmd.Start(); err != nil {
		_ = master.Close()
		return nil, nil, fmt.Errorf("start pptp: %w", err)
	}
	go func() {
		_ = c.cmd.Wait() // end reads the state
		close(c.done)
	}()
	return master, c, nil
}

// findPPTP finds pptp also where an ordinary user's PATH does not lead.
func findPPTP() (string, error) {
	if path, err := exec.LookPath("pptp"); err == nil {
		return path, nil
	}
	path, err := exec.LookPath("/usr/sbin/pptp")
	if err != nil {
		return "", errors.New("no pptp program: install pptp-linux")
	}
	return path, nil
}

// end ends the process if it has not ended, and returns how it did.
func (c *child) end() string {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case <-c.done:
	case <-time.After(hangupWait):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	return c.cmd.ProcessState.String()
}

// deadlineWriter gives up writing to a terminal that nobody reads.
type deadlineWriter struct{ tty *os.File }

func (w deadlineWriter) Write(b []byte) (int, error) {
	if err := w.tty.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return 0, err
	}
	return w.tty.Write(b)
}
