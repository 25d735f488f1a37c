package status

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asNobody calls f with the file permissions of a user that owns nothing.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			const nobody = 65534
			if _, err := unix.SetfsuidRetUid(nobody); err != nil {
				t.Error(err)
				return
			}
		}
		f()
	}()
	<-done
}

// TestListenWithoutPermission: what to do is said, for a directory that cannot
// be made and for one that cannot be written in.
func TestListenWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		for path, missing := range map[string]string{
			filepath.Join(dir, "run", "s.sock"): filepath.Join(dir, "run"),
			filepath.Join(dir, "s.sock"):        dir,
		} {
			_, err := Listen(Options{Socket: path})
			if err == nil {
				t.Errorf("%s was made", path)
				continue
			}
			for _, want := range []string{path, "permission denied", "create " + missing + " for this user", "status.socket"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q in it", path, err, want)
				}
			}
		}
	})
}

// stoppedBox is a box whose kernel takes connections that nobody answers.
func stoppedBox(t *testing.T) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &Client{Socket: socket}
}

func TestGetFromAStoppedBox(t *testing.T) {
	client := stoppedBox(t)
	client.Timeout = 10 * time.Millisecond
	err := client.Get(within(t), "/calls", new(json.RawMessage))
	if err == nil {
		t.Fatal("an answer")
	}
	for _, want := range []string{client.Socket, "/calls", "10ms", "stopped", "start it anew"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

func TestGetInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stoppedBox(t).Get(ctx, "/calls", new(json.RawMessage)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
