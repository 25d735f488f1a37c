package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// DialAtOnce asks for n more calls on the control connection of a client that is
// Ready, all in one instant: the process that speaks on it is held until all of
// them have told it what they want, and the one that is to answer until then,
// too. So TCP has several requests to send before the first is acknowledged, and
// puts them into one segment.
//
// pptpd keeps the last call of a connection only, and has no socket for GRE while
// it goes over to the next. Of that the others' clients must not hear, or they
// hang up, at which pptpd closes the connection.
func DialAtOnce(ctx context.Context, first *Client, s *Server, server string, o DialOptions, n int) ([]*Client, error) {
	speakers := slices.DeleteFunc(first.ns.lab.named("pptpcm"), func(pid int) bool { return !first.ns.has(pid) })
	listeners := s.controlProcesses()
	if _, err := s.ns.Run(ctx, "iptables", strings.Fields("-A OUTPUT -p icmp --icmp-type protocol-unreachable -j DROP")...); err != nil {
		return nil, err
	}
	err := errors.Join(signal(syscall.SIGSTOP, speakers), signal(syscall.SIGSTOP, listeners))
	if err != nil {
		return nil, err
	}
	calls, err := dialBeside(ctx, first, server, o, n)
	err = errors.Join(err, signal(syscall.SIGCONT, speakers))
	if err == nil {
		err = first.ns.poll(ctx, func(sockets string) bool { return unread(sockets) == 0 })
	}
	return calls, errors.Join(err, signal(syscall.SIGCONT, listeners))
}

func signal(sig syscall.Signal, pids []int) error {
	if len(pids) == 0 {
		return fmt.Errorf("signal %v: there is no such process", sig)
	}
	var errs []error
	for _, pid := range pids {
		errs = append(errs, syscall.Kill(pid, sig))
	}
	return errors.Join(errs...)
}

func dialBeside(ctx context.Context, first *Client, server string, o DialOptions, n int) (calls []*Client, err error) {
	o.Beside = first
	for range n {
		c, err := Dial(first.ns, server, o)
		if err != nil {
			return calls, err
		}
		calls = append(calls, c)
	}
	return calls, first.ns.poll(ctx, func(sockets string) bool { return unread(sockets) >= n })
}

// has reports whether a process is in the namespace.
func (ns *Namespace) has(pid int) bool {
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	own, ownErr := os.Stat(filepath.Join(netnsDir, ns.file))
	return err == nil && ownErr == nil && os.SameFile(its, own)
}

// poll waits until the namespace's Unix sockets, as ss lists them, are as wanted.
func (ns *Namespace) poll(ctx context.Context, wanted func(sockets string) bool) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		sockets, err := ns.Run(ctx, "ss", "-xaH")
		if err != nil || wanted(sockets) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for requests for calls in %s: %w", ns, ctx.Err())
		}
	}
}

// unread counts the sockets of which what was written has not been read: the
// fourth column of ss.
func unread(sockets string) (n int) {
	for line := range strings.Lines(sockets) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == "ESTAB" && f[3] != "0" {
			n++
		}
	}
	return n
}
