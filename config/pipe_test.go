package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSilentPipe: a file that is a pipe is not waited for without end, whether
// its writer says nothing or stops in the middle; one that is written whole is read.
func TestSilentPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.toml")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "[bridge]\nlan = 'a'\nwan"} {
		writer, err := os.OpenFile(path, os.O_RDWR, 0) // which waits for no reader
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		loaded := make(chan error, 1)
		go func() {
			running := Default()
			_, _, err := Reload(path, &running, running.Limits)
			loaded <- err
		}()
		select {
		case err := <-loaded:
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "pipe") {
				t.Errorf("after %q: %v", text, err)
			}
		case <-time.After(5 * readTimeout):
			t.Errorf("after %q it waits", text)
		}
		writer.Close()
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // keeps what is written
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.WriteFile(path, []byte("[bridge]\nlan = 'a'\nwan = 'b'\n"), 0); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Bridge.WAN != "b" {
		t.Errorf("a pipe that is written whole: %+v, %v", c, err)
	}
}
