package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// logBacklog is how many lines of log may wait for a reader that is slow.
const logBacklog = 4096

// logWriter passes lines on without ever waiting for who reads them: a box
// must neither stop nor refuse to stop because of its log. Lines that find no
// room are lost.
type logWriter struct {
	mu     sync.Mutex
	lines  chan []byte
	done   chan struct{}
	closed bool
}

func newLogWriter(to io.Writer) *logWriter {
	w := &logWriter{lines: make(chan []byte, logBacklog), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for line := range w.lines {
			_, _ = to.Write(line) // nobody may be reading any more
		}
	}()
	return w
}

// Write implements io.Writer. It never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		select {
		case w.lines <- bytes.Clone(line):
		default:
		}
	}
	return len(line), nil
}

// Close takes no more lines and waits up to limit for those it has to be
// written.
func (w *logWriter) Close(limit time.Duration) {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(limit):
	}
}
