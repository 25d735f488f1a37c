package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses inside the tunnel that a Server gives.
const (
	tunnelServer  = "192.168.99.1"
	tunnelClients = "192.168.99.10-250"
)

const (
	pptpPort   = 1723
	listenWait = 10 * time.Second
	pollEvery  = 10 * time.Millisecond
)

// Server is a running pptpd.
type Server struct {
	ns      *Namespace
	process *Process
	reports string
}

// ServerOptions are the options of StartServer.
type ServerOptions struct {
	Pings Pings // which every call's server end sends
}

// StartServer starts pptpd in the namespace and returns when it listens on TCP
// port 1723 of all its addresses. PPP at its calls' end is hack/pppstub.
func StartServer(ns *Namespace, opts ...ServerOptions) (*Server, error) {
	var o ServerOptions
	for _, opt := range opts {
		o = opt
	}
	s, err := startServer(ns, o)
	if err != nil {
		return nil, fmt.Errorf("pptpd in %s: %w", ns, err)
	}
	return s, nil
}

func startServer(ns *Namespace, o ServerOptions) (*Server, error) {
	stub, err := ns.lab.Build("hack/pppstub")
	if err != nil {
		return nil, err
	}
	base := ns.lab.newFile("pptpd")
	s := &Server{ns: ns, reports: base + ".reports"}
	// pptpd takes the path of a pppd, without arguments.
	ppp := fmt.Sprintf("#!/bin/sh\nexec '%s' -report '%s' %s \"$@\"\n", stub, s.reports, strings.Join(o.Pings.flags(), " "))
	conf := fmt.Sprintf("ppp %s.ppp\nlocalip %s\nremoteip %s\npidfile %s.pid\n", base, tunnelServer, tunnelClients, base)
	if err := errors.Join(os.WriteFile(base+".ppp", []byte(ppp), 0o755), os.WriteFile(base+".conf", []byte(conf), 0o644)); err != nil {
		return nil, err
	}
	program, err := find("pptpd", "pptpd")
	if err != nil {
		return nil, err
	}
	s.process, err = ns.StartCommand(ns.privateCommand("", "", program, "-f", "-c", base+".conf", "-s", "115200"))
	if err != nil {
		return nil, err
	}
	return s, s.waitListening()
}

// waitListening looks at the namespace's sockets until one listens; a
// connection to find out would be taken for a client.
func (s *Server) waitListening() error {
	ctx, cancel := context.WithTimeout(context.Background(), listenWait)
	defer cancel()
	err := s.poll(ctx, func() (bool, error) { return s.ns.listening(pptpPort) })
	if err != nil {
		return fmt.Errorf("does not listen: %w", err)
	}
	return nil
}

// poll asks until the answer is yes; for what sends no notice.
func (s *Server) poll(ctx context.Context, ask func() (bool, error)) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		yes, err := ask()
		if err != nil || yes {
			return err
		}
		select {
		case <-again.C:
		case <-s.process.Done():
			return fmt.Errorf("pptpd has ended%s", s.process.out.tail())
		case <-ctx.Done():
			return fmt.Errorf("%w%s", ctx.Err(), s.process.out.tail())
		}
	}
}

// listening reports whether a TCP/IPv4 socket of the namespace listens on the
// port.
func (ns *Namespace) listening(port int) (found bool, err error) {
	const stateListen = "0A" // TCP_LISTEN
	want := fmt.Sprintf(":%04X", port)
	err = ns.Do(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/tcp")
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			found = found || len(fields) > 3 && strings.HasSuffix(fields[1], want) && fields[3] == stateListen
		}
		return err
	})
	return found, err
}

// HangUp ends the server's calls the way an administrator does: SIGTERM to
// pptpd's control processes, which send Call-Disconnect-Notify and
// Stop-Control-Connection-Request.
func (s *Server) HangUp() error {
	pids := s.controlProcesses()
	if len(pids) == 0 {
		return errors.New("hang up: pptpd has no control connection")
	}
	var errs []error
	for _, pid := range pids {
		errs = append(errs, unix.Kill(pid, unix.SIGTERM))
	}
	return errors.Join(errs...)
}

// controlProcesses finds pptpd's children, one for each control connection.
func (s *Server) controlProcesses() []int {
	return slices.DeleteFunc(s.ns.lab.named("pptpctrl"), func(pid int) bool { return parent(pid) != s.process.PID() })
}

// Reports returns what the server's ends of the calls have said so far.
func (s *Server) Reports() ([]Report, error) {
	text, err := os.ReadFile(s.reports)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseReports(string(text)), nil
}

// WaitReports waits until n of the server's ends have reported the event, such
// as "pinged", and returns their reports.
func (s *Server) WaitReports(ctx context.Context, event string, n int) ([]Report, error) {
	var found []Report
	err := s.poll(ctx, func() (bool, error) {
		reports, err := s.Reports()
		found = slices.DeleteFunc(reports, func(r Report) bool { return r.Event != event })
		return len(found) >= n, err
	})
	if err != nil {
		return found, fmt.Errorf("wait for %d times %q of the server, have %d: %w", n, event, len(found), err)
	}
	return found, nil
}

// Kill ends pptpd and its calls at once, without a word to its clients.
func (s *Server) Kill() {
	pids := s.controlProcesses()
	s.process.Kill()
	for _, pid := range pids {
		_ = killOne(pid, s.ns.lab.id)
	}
}
