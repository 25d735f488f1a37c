package bypass

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLockedRecord: a record that another process has locked, and does not let go
// of, holds nobody up for long; one that is not to be trusted does not at all.
func TestLockedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grewire.bypass")
	locked, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	if err := unix.Flock(int(locked.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	soon := func(what string, do func() error) (err error) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err = <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s waits", what)
		}
		return err
	}
	r := record{path}
	read := func() error { _, err := r.read(); return err }
	update := func() error { return r.update(func(*traces) {}) }
	if err := soon("reading", read); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("reading: %v", err)
	}
	if err := soon("writing", update); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("writing: %v", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := soon("writing what others may write", update); !errors.Is(err, os.ErrPermission) {
		t.Errorf("writing what others may write: %v", err)
	}
	locked.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(update(), read()); err != nil {
		t.Error(err)
	}
}
