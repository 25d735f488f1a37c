package status

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openToAll serves source on a socket that every user may connect to.
func openToAll(t *testing.T, source Source, change ...func(*Server)) (socket string, stop func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("other users need root: run this test with sudo")
	}
	socket, stop = running(t, source, change...)
	for dir := filepath.Dir(socket); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	return socket, stop
}

// as does something as another user, in a thread that ends with it.
func as(t *testing.T, user int, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else gets the thread
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(user), uintptr(user), uintptr(user)); errno != 0 {
			done <- errno
			return
		}
		done <- do()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// dialAs connects as another user.
func dialAs(t *testing.T, user int, socket string) (conn net.Conn) {
	t.Helper()
	as(t, user, func() (err error) { conn, err = net.Dial("unix", socket); return err })
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestUsersShare: users who connect and say nothing, or half a request, as often
// as they can, keep neither root nor each other out, and are told why.
func TestUsersShare(t *testing.T) {
	socket, _ := openToAll(t, newFakeSource())
	for user := 1001; user < 1005; user++ {
		for range connections.each {
			fmt.Fprint(dialAs(t, user, socket), "GET /stats HTTP/1.1\r\n")
		}
		refused := dialAs(t, user, socket)
		if answer, err := io.ReadAll(refused); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "too many connections") {
			t.Errorf("one too many of user %d: %v: %s", user, err, answer)
		}
	}
	began := time.Now()
	if err := (&Client{Socket: socket}).Get(within(t), "/version", new(any)); err != nil {
		t.Errorf("root is shut out: %v", err)
	}
	if took := time.Since(began); took > requestTimeout/2 {
		t.Errorf("root has waited for %v", took)
	}
}

// TestUserComesBack: who lets go of a connection may have another.
func TestUserComesBack(t *testing.T) {
	socket, _ := openToAll(t, newFakeSource())
	for range 3 * connections.each {
		conn := dialAs(t, 1001, socket)
		fmt.Fprint(conn, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
			t.Fatalf("%v: %s", err, answer)
		}
	}
}

// TestReadersShare: users who read events, or take no list, leave places to root.
func TestReadersShare(t *testing.T) {
	source := newLongSource(t)
	socket, _ := openToAll(t, source, func(s *Server) { s.turn = time.Hour })
	for user := 1001; user < 1004; user++ {
		for range streams.each {
			conn := dialAs(t, user, socket)
			fmt.Fprint(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
				t.Fatalf("%q %v", line, err)
			}
		}
		for range lists.each {
			fmt.Fprint(dialAs(t, user, socket), "GET /calls HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	for range lists.others {
		arrives(t, source.asked, "the making of a list")
	}
	conn := dial(t, socket)
	fmt.Fprint(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("events for root: %q %v", line, err)
	}
	var calls []any
	if err := (&Client{Socket: socket}).Get(within(t), "/calls", &calls); err != nil || len(calls) != source.length {
		t.Errorf("a list for root: %d calls, %v", len(calls), err)
	}
}

// TestTrickle: a reader of a list that takes a little now and then is cut off.
func TestTrickle(t *testing.T) {
	source := newLongSource(t)
	socket, _ := running(t, source, func(s *Server) { s.patience, s.whole = time.Hour, time.Second })
	conn := dial(t, socket)
	fmt.Fprint(conn, "GET /calls HTTP/1.1\r\nHost: x\r\n\r\n")
	arrives(t, source.asked, "the making of a list")
	var calls []any
	for range lists.all - 1 {
		fmt.Fprint(dial(t, socket), "GET /calls HTTP/1.1\r\nHost: x\r\n\r\n")
		arrives(t, source.asked, "the making of a list")
	}
	if err := (&Client{Socket: socket}).Get(within(t), "/calls", &calls); err != nil {
		t.Errorf("behind readers that are slow: %v", err)
	}
}

// TestLockedDirectory: a user who can read the socket's directory, and locks it,
// keeps no box from starting; and there is nothing else that he could lock.
func TestLockedDirectory(t *testing.T) {
	socket, stop := openToAll(t, newFakeSource()) // it has made what it locks
	dir := filepath.Dir(socket)
	var locked []*os.File
	as(t, 1001, func() error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, name := range append([]string{"."}, names(entries)...) {
			file, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
				return err
			}
			locked = append(locked, file)
		}
		return nil
	})
	if len(locked) == 0 {
		t.Fatal("the user could open nothing: the test sees nothing")
	}
	stop()
	server, err := Listen(Options{Socket: socket, Source: newFakeSource(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Errorf("a box is kept from starting: %v", err)
	} else if err := server.Close(); err != nil {
		t.Error(err)
	}
	for _, file := range locked {
		file.Close()
	}
}

func names(entries []os.DirEntry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestLockOfAnother: a lock that another user has put there is refused by name.
func TestLockOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users need root: run this test with sudo")
	}
	socket := filepath.Join(t.TempDir(), "s.sock")
	if err := os.WriteFile(socket+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(socket+".lock", 1001, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Options{Socket: socket}); err == nil || !strings.Contains(err.Error(), "belongs to user 1001") || !strings.Contains(err.Error(), "s.sock.lock") {
		t.Errorf("got %v", err)
	}
}
