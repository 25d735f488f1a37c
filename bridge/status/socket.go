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

// listen makes the socket. Another box that starts on the same path meanwhile
// finds the lock beside it taken, and later a socket that answers.
func listen(path string) (*net.UnixListener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("control socket %s: the path is %d bytes long, a Unix socket's has at most %d: choose a shorter status.socket", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("control socket %s: cannot make its directory: %w", path, advise(dir, err))
	}
	unlock, err := lock(path)
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

// lock locks a socket's path against others who start, by a file beside it that
// nobody else may open: a user who can open a file can lock it, and hold the lock.
func lock(path string) (unlock func(), err error) {
	name := path + ".lock"
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err = ours(file); err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another grewire is starting there: %w", err)
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return func() { file.Close() }, nil
}

// ours returns an error if others may have the file open.
func ours(file *os.File) error {
	var info unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &info); err != nil {
		return err
	}
	switch {
	case info.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is no plain file: remove it, or choose another status.socket")
	case int(info.Uid) != os.Geteuid() && info.Uid != 0:
		return fmt.Errorf("%w: it belongs to user %d: remove it, and choose a directory for status.socket in which others may not write", fs.ErrPermission, info.Uid)
	case info.Mode&0o077 != 0:
		return fmt.Errorf("%w: others may open it (mode %#o): remove it", fs.ErrPermission, info.Mode&0o777)
	}
	return nil
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

// limited is a listener whose connections have places. One of a user who has his
// share is refused at once; one of root, or of the user of the box, waits.
type limited struct {
	net.Listener
	places *places
	ctx    context.Context // done when it is closed
	close  context.CancelFunc
}

func newLimited(l net.Listener, s share) *limited {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &limited{Listener: l, places: newPlaces(s), ctx: ctx, close: func() { cancel(net.ErrClosed) }}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		user := userOf(conn)
		if privileged(user) {
			err = l.places.wait(l.ctx, user)
		} else if !l.places.take(user) {
			turnAway(conn)
			continue
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return &counted{Conn: conn, user: user, release: sync.OnceFunc(func() { l.places.give(user) })}, nil
	}
}

// turnAway refuses a connection. It never waits: what it says fits into the
// buffer of a new socket.
func turnAway(conn net.Conn) {
	const why = `{"error":"too many connections of this user, or of all but root; end some"}` + "\n"
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(why), why)
	_ = conn.Close()
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.close()
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	user    int
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
