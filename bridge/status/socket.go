package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another box answers on the socket.
var ErrInUse = errors.New("another grewire is running there")

var errInUse = fmt.Errorf("%w: stop it, or choose another status.socket", ErrInUse)

const (
	socketMode = 0o660
	maxPath    = len(unix.RawSockaddrUnix{}.Path) - 1
	// dialTimeout is for a local connect, which answers at once or hangs on a
	// full backlog.
	dialTimeout = time.Second
)

// listen makes the socket. Whoever else starts on the same path meanwhile
// waits for the lock on the directory, and then finds a socket that answers.
func listen(path string) (*net.UnixListener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("control socket %s: the path is %d bytes long, a Unix socket's has at most %d: choose a shorter status.socket", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("control socket %s: cannot make its directory: %w", path, advise(dir, err))
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, advise(dir, err))
	}
	defer unlock()
	if err := clearStale(path); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	listener, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, advise(dir, err))
	}
	return listener, nil
}

// advise adds to an error of permission what to do about it.
func advise(dir string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: create %s for this user (so that it may write there), or set status.socket to another path", err, dir)
}

// lock takes an advisory lock on a directory.
func lock(dir string) (unlock func(), err error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("another grewire is starting in %s: %w", dir, err)
	}
	return func() { file.Close() }, nil
}

// clearStale removes a socket on which nobody listens.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file that is no socket has this name: remove it or choose another status.socket")
	}
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	switch {
	case err == nil:
		conn.Close()
		return errInUse
	case errors.Is(err, syscall.EAGAIN): // its backlog is full
		return errInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}

// bind makes the socket so that at no instant others than its owner and group
// may connect: unix(7) takes the mode of the new file from the socket's own,
// less the umask, and what the umask took is given back afterwards.
func bind(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if failed := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); failed != nil {
			return failed
		}
		return err
	}}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		listener.Close()
		return nil, err
	}
	return listener.(*net.UnixListener), nil
}

// limited is a listener with at most so many connections at a time; the next
// one waits in the kernel's backlog.
type limited struct {
	net.Listener
	tokens chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, most int) *limited {
	return &limited{Listener: l, tokens: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.tokens <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.tokens
		return nil, err
	}
	return &counted{Conn: conn, release: sync.OnceFunc(func() { <-l.tokens })}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
