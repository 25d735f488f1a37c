package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grewire/grewire/track"
	"golang.org/x/sys/unix"
)

// deadline bounds every wait of the tests.
const deadline = 20 * time.Second

// fakeSource is a Source whose events come from a test.
type fakeSource struct {
	calls  []track.Call
	events chan track.Event
	left   chan struct{} // gets a token when a subscription ends
}

func newFakeSource() *fakeSource {
	return &fakeSource{events: make(chan track.Event), left: make(chan struct{}, streams.all)}
}

func (f *fakeSource) Calls() []track.Call               { return f.calls }
func (f *fakeSource) Expectations() []track.Expectation { return nil }
func (f *fakeSource) Stats() any                        { return map[string]int{"frames": 7} }
func (f *fakeSource) Subscribe() (Next, func()) {
	next := func(ctx context.Context) (track.Event, error) {
		select {
		case e := <-f.events:
			return e, nil
		case <-ctx.Done():
			return track.Event{}, ctx.Err()
		}
	}
	return next, func() { f.left <- struct{}{} }
}

// running serves source on a new socket until the test ends.
func running(t *testing.T, source Source, change ...func(*Server)) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "s.sock")
	server, err := Listen(Options{Socket: socket, Source: source, Version: "v1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(server)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return socket, stop
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func TestGet(t *testing.T) {
	source := newFakeSource()
	source.calls = []track.Call{{ID: 3, State: track.CallActive, Kind: track.Outgoing, PNS: track.Party{Addr: netip.MustParseAddr("192.0.2.1"), CallID: 9}}}
	socket, _ := running(t, source)
	client := &Client{Socket: socket}
	for path, want := range map[string]string{
		"/expectations": `[]`, "/stats": `{"frames":7}`, "/version": `"v1"`,
	} {
		var got json.RawMessage
		if err := client.Get(within(t), path, &got); err != nil || string(got) != want {
			t.Errorf("%s: %s %v, want %s", path, got, err, want)
		}
	}
	var calls json.RawMessage
	if err := client.Get(within(t), "/calls", &calls); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(source.calls)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(calls)); diff != "" {
		t.Errorf("/calls (-want +got):\n%s", diff)
	}
}

func TestEvents(t *testing.T) {
	source := newFakeSource()
	socket, stop := running(t, source)
	sent := []track.Event{{Time: 1e9, Kind: track.EventLinkUp, Cause: "lan0"}, {Time: 2e9, Kind: track.EventLimitReached, Cause: "limits.calls"}}
	go func() {
		for _, e := range sent {
			source.events <- e
		}
	}()
	var got []string
	err := (&Client{Socket: socket}).Events(within(t), func(line []byte) error {
		if got = append(got, string(line)); len(got) == len(sent) {
			go stop() // ends the stream
		}
		return nil
	})
	if err != io.EOF {
		t.Errorf("at the box's stop: %v, want EOF", err)
	}
	var want []string
	for _, e := range sent {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(line))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	arrives(t, source.left, "the end of the subscription")
}

// TestEventsClientLeaves: the subscription of a client that goes away ends,
// also when nothing happens.
func TestEventsClientLeaves(t *testing.T) {
	source := newFakeSource()
	socket, _ := running(t, source)
	conn := dial(t, socket)
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	arrives(t, source.left, "the end of the subscription")
}

// TestSlowReader: a client that asks for events and takes none is cut off.
func TestSlowReader(t *testing.T) {
	source := newFakeSource()
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := newServer(Options{Source: source, Log: slog.New(slog.DiscardHandler)}, listener)
	server.patience = time.Second // far longer than the test takes to read what it reads
	ctx, cancel := context.WithCancel(within(t))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-served })
	ours, theirs := net.Pipe()
	defer ours.Close()
	listener.conns <- theirs
	fmt.Fprintf(ours, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := bufio.NewReaderSize(ours, 16).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case source.events <- track.Event{Kind: track.EventLinkUp}:
		case <-source.left:
			return
		case <-ctx.Done():
			t.Fatal("the reader was not cut off")
		}
	}
}

func TestStreamLimit(t *testing.T) {
	source := newFakeSource()
	socket, _ := running(t, source)
	for range streams.all {
		conn := dial(t, socket)
		fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
	}
	err := (&Client{Socket: socket}).Events(within(t), nil)
	if err == nil || !strings.Contains(err.Error(), "32 clients read events already") {
		t.Errorf("one stream too many: %v", err)
	}
	if err := (&Client{Socket: socket}).Get(within(t), "/version", new(any)); err != nil {
		t.Errorf("other requests: %v", err)
	}
}

func arrives(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-within(t).Done():
		t.Fatalf("%s did not come", what)
	}
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBadRequests(t *testing.T) {
	socket, _ := running(t, newFakeSource())
	tests := []struct{ name, request, status, body string }{
		{"path", "GET /call HTTP/1.1\r\nHost: x\r\n\r\n", "404", `{"error":"no such path`},
		{"path up", "GET /../calls HTTP/1.1\r\nHost: x\r\n\r\n", "404", `{"error":"no such path`},
		{"method", "DELETE /calls HTTP/1.1\r\nHost: x\r\n\r\n", "405", `{"error":"only GET`},
		{"body", "GET /calls HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "400", `{"error":"the request must have no body"}`},
		{"chunked body", "GET /calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", `{"error":"the request must have no body"}`},
		{"long header", "GET /calls HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431", ""},
		{"no HTTP", "hello\r\n\r\n", "400", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, socket)
			if _, err := io.WriteString(conn, test.request); err != nil && !errors.Is(err, unix.EPIPE) {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if len(answer) == 0 {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+test.status)) || !bytes.Contains(answer, []byte(test.body)) {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestSocketMode(t *testing.T) {
	socket, stop := running(t, newFakeSource())
	info, err := os.Lstat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|socketMode {
		t.Errorf("mode %v, want srw-rw----", info.Mode())
	}
	stop()
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: %v, want the socket gone", err)
	}
}

func TestListenOverALiveSocket(t *testing.T) {
	socket, _ := running(t, newFakeSource())
	_, err := Listen(Options{Socket: socket})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), socket) {
		t.Errorf("got %v, want ErrInUse with the path", err)
	}
	if err := (&Client{Socket: socket}).Get(within(t), "/version", new(any)); err != nil {
		t.Errorf("the first server: %v", err)
	}
}

func TestListenOverAStaleSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if err := (&Client{Socket: socket}).Get(within(t), "/version", new(any)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the client: %v, want ErrNotRunning", err)
	}
	server, err := Listen(Options{Socket: socket, Source: newFakeSource(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	for path, want := range map[string]string{
		file:                          "a file that is no socket",
		long:                          "a Unix socket's has at most 107",
		filepath.Join(file, "s.sock"): "cannot make its directory",
	} {
		if _, err := Listen(Options{Socket: path}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "precious" {
		t.Errorf("the file: %q %v", kept, err)
	}
}

func TestClientWithoutBox(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody.sock")
	err := (&Client{Socket: socket}).Get(within(t), "/calls", new(any))
	if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "grewire run") {
		t.Errorf("got %v", err)
	}
}

// pipeListener hands out connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// FuzzRequest sends any bytes as a request. net/http recovers panics of a
// handler and logs them: the log must stay silent about panics.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /calls HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST /events?since=1 HTTP/1.0\r\nContent-Length: 9\r\n\r\nx"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nGET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"))
	var log safeBuffer
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := newServer(Options{Source: newFakeSource(), Version: "v1", Log: slog.New(slog.NewTextHandler(&log, nil))}, listener)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	f.Cleanup(func() { cancel(); <-served })
	f.Fuzz(func(t *testing.T, request []byte) {
		offer(t, listener, request)
		if answer := ask(t, listener, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.Contains(answer, `"v1"`) {
			t.Fatalf("afterwards: %q", answer)
		}
		if said := log.String(); strings.Contains(said, "panic") {
			t.Fatal(said)
		}
	})
}

// offer writes a request, as much as the server takes of it within a moment,
// and hangs up.
func offer(t *testing.T, listener *pipeListener, request []byte) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := ours.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	listener.conns <- theirs
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	_, _ = ours.Write(request)
}

// ask returns the whole answer to a request.
func ask(t *testing.T, listener *pipeListener, request string) string {
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := ours.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	listener.conns <- theirs
	if _, err := io.WriteString(ours, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
