package main

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// managerSocket is where a service manager is told how its services are.
type managerSocket struct {
	t    *testing.T
	conn *net.UnixConn
	addr string // as NOTIFY_SOCKET has it
	kept map[string]*os.File
}

// listenAsManager makes the socket in the calling thread's network namespace,
// to which abstract addresses ("@...") belong.
func listenAsManager(addr string) (*net.UnixConn, error) {
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
}

func newManagerSocket(t *testing.T, addr string) *managerSocket {
	t.Helper()
	conn, err := listenAsManager(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &managerSocket{t: t, conn: conn, addr: addr}
}

// message is what came in one datagram.
type message map[string]string

// next returns the next message, nil if none comes in time.
func (s *managerSocket) next(wait time.Duration) message {
	s.t.Helper()
	buffer := make([]byte, 4096)
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		s.t.Fatal(err)
	}
	rights := make([]byte, unix.CmsgSpace(4))
	n, with, _, _, err := s.conn.ReadMsgUnix(buffer, rights)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	m := s.parse(buffer[:n])
	s.keep(m, rights[:with])
	return m
}

// keep does what FDSTORE and FDSTOREREMOVE ask for.
func (s *managerSocket) keep(m message, rights []byte) {
	s.t.Helper()
	name := m["FDNAME"]
	if m["FDSTOREREMOVE"] == "1" && s.kept[name] != nil {
		s.kept[name].Close()
		delete(s.kept, name)
	}
	if m["FDSTORE"] != "1" {
		return
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 || s.kept[name] != nil {
		s.t.Fatalf("FDSTORE of %q: %v, %d control messages", name, err, len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		s.t.Fatalf("FDSTORE of %q: %v, file descriptors %v", name, err, fds)
	}
	unix.CloseOnExec(fds[0])
	if s.kept == nil {
		s.kept = make(map[string]*os.File)
	}
	s.kept[name] = os.NewFile(uintptr(fds[0]), name)
}

// forget closes what was kept, as when the service is stopped.
func (s *managerSocket) forget() {
	for name, file := range s.kept {
		file.Close()
		delete(s.kept, name)
	}
}

// there returns the next message if it is there already, else nil.
func (s *managerSocket) there() (m message) {
	s.t.Helper()
	raw, err := s.conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			buffer := make([]byte, 4096)
			if n, _, err := unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT); err == nil {
				m = s.parse(buffer[:n])
			}
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *managerSocket) parse(text []byte) message {
	s.t.Helper()
	m := make(message)
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if _, twice := m[name]; !ok || twice {
			s.t.Fatalf("not the form of sd_notify(3): %q", text)
		}
		m[name] = value
	}
	return m
}

// wait returns the next message that has the variable and passes over others.
func (s *managerSocket) wait(name string) message {
	s.t.Helper()
	for {
		m := s.next(patience)
		if m == nil {
			s.t.Fatalf("the manager was not told %s", name)
		}
		if _, ok := m[name]; ok {
			return m
		}
	}
}
