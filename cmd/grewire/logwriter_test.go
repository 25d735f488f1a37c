package main

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogWriterNeverWaits gives lines to a reader that takes none.
func TestLogWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, stuck := io.Pipe()
		w := newLogWriter(stuck)
		for range 2 * logBacklog {
			if n, err := io.WriteString(w, "a line\n"); n != 7 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		start := time.Now()
		w.Close(time.Second)
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("Close waited %v for a reader that never comes, want 1s", waited)
		}
		reader.Close() // lets the goroutine go
	})
}

func TestLogWriterWritesAll(t *testing.T) {
	var out strings.Builder
	w := newLogWriter(&out)
	for range 100 {
		io.WriteString(w, "a line\n")
	}
	w.Close(time.Minute)
	if n := strings.Count(out.String(), "a line\n"); n != 100 {
		t.Errorf("%d of 100 lines were written", n)
	}
	if _, err := io.WriteString(w, "late\n"); err != nil {
		t.Errorf("a write after Close fails: %v", err)
	}
}
