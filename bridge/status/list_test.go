package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
)

// longSource has more calls than the kernel takes for a reader that reads
// nothing.
type longSource struct {
	*fakeSource
	t      *testing.T
	busy   sync.Mutex
	asked  chan struct{} // gets a token for every list made
	length int
}

func newLongSource(t *testing.T) *longSource {
	return &longSource{fakeSource: newFakeSource(), t: t, asked: make(chan struct{}, 10*connections.all), length: 4000}
}

func (s *longSource) Calls() []track.Call {
	if !s.busy.TryLock() {
		s.t.Error("two lists are made at a time")
	} else {
		defer s.busy.Unlock()
	}
	calls := make([]track.Call, s.length)
	for i := range calls {
		calls[i] = track.Call{ID: uint64(i + 1), State: track.CallActive, Kind: track.Outgoing, PNS: track.Party{Addr: netip.MustParseAddr("192.0.2.1")}}
		runtime.Gosched()
	}
	s.asked <- struct{}{}
	return calls
}

func TestWriteList(t *testing.T) {
	type row struct {
		A string `json:"a"`
	}
	for _, rows := range [][]row{nil, {}, {{"x"}}, {{"<"}, {"é"}, {strings.Repeat("long", listBuffer)}}} {
		var want, got bytes.Buffer
		if err := json.NewEncoder(&want).Encode(append([]row{}, rows...)); err != nil {
			t.Fatal(err)
		}
		if err := writeList(&got, rows); err != nil || got.String() != want.String() {
			t.Errorf("%d rows: got %.50q, %v, want %.50q", len(rows), &got, err, &want)
		}
	}
}

// TestManyLists: every client gets its list, and one is made at a time.
func TestManyLists(t *testing.T) {
	source := newLongSource(t)
	source.length = 500
	socket, _ := running(t, source)
	var group sync.WaitGroup
	for range connections.all {
		group.Go(func() {
			var calls []struct{ ID int }
			err := (&Client{Socket: socket}).Get(within(t), "/calls", &calls)
			if err != nil || len(calls) != source.length || calls[source.length-1].ID != source.length {
				t.Errorf("%d calls, %v", len(calls), err)
			}
		})
	}
	group.Wait()
	if n := len(source.asked); n != connections.all {
		t.Errorf("%d lists were made, want %d", n, connections.all)
	}
}

// stall asks for lists and takes none, with as many clients as may be sent one.
func stall(t *testing.T, socket string, source *longSource) {
	t.Helper()
	for range lists.all {
		fmt.Fprintf(dial(t, socket), "GET /calls HTTP/1.1\r\nHost: x\r\n\r\n")
		arrives(t, source.asked, "the making of a list")
	}
}

// TestStalledLists: clients that ask for a list and take nothing keep others
// from one for a while only.
func TestStalledLists(t *testing.T) {
	source := newLongSource(t)
	socket, _ := running(t, source, func(s *Server) { s.patience = time.Second })
	stall(t, socket, source)
	var calls []any
	if err := (&Client{Socket: socket}).Get(within(t), "/calls", &calls); err != nil || len(calls) != source.length {
		t.Errorf("behind clients that take nothing: %d calls, %v", len(calls), err)
	}
}

// TestListRefused: a list that has to wait for too long is refused; other
// requests are not.
func TestListRefused(t *testing.T) {
	source := newLongSource(t)
	socket, _ := running(t, source, func(s *Server) { s.turn = time.Millisecond })
	stall(t, socket, source)
	client := &Client{Socket: socket}
	for _, path := range []string{"/calls", "/expectations"} {
		if err := client.Get(within(t), path, new(any)); err == nil || !strings.Contains(err.Error(), errNoTurn.Error()) {
			t.Errorf("%s: %v, want %v", path, err, errNoTurn)
		}
	}
	for _, path := range []string{"/stats", "/version"} {
		if err := client.Get(within(t), path, new(any)); err != nil {
			t.Error(err)
		}
	}
}

// TestListClientsLeave: clients that leave while they wait for their turn make
// room for others, and no list is made for them.
func TestListClientsLeave(t *testing.T) {
	source := newLongSource(t)
	var server *Server
	socket, _ := running(t, source, func(s *Server) {
		server = s
		s.turn = time.Hour
		for range lists.all {
			s.lists.take(0)
		}
	})
	for range connections.all {
		conn := dial(t, socket)
		fmt.Fprintf(conn, "GET /calls HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.Close()
	}
	if err := (&Client{Socket: socket}).Get(within(t), "/version", new(any)); err != nil {
		t.Error(err)
	}
	for range lists.all {
		server.lists.give(0)
	}
	if n := len(source.asked); n != 0 {
		t.Errorf("%d lists made for nobody", n)
	}
}
