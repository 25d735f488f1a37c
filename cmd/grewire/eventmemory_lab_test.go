package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// TestLabEventMemory: as many calls as the limits allow are agreed, and ended by
// 64 resets, beside as many readers of events as there may be. They read next to
// nothing, and begin at different events, so that they are behind by different
// ones. The box keeps within its bound.
func TestLabEventMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	const readers, connections, times = 32, 64, 8
	limits := config.Default().Limits
	l := startAttack(t, "")
	dialogs := l.accomplices(connections)
	for some := range slices.Chunk(dialogs, connections/times) {
		for range readers / times {
			l.readLittle()
		}
		l.agreeCalls(some, limits.Calls/connections)
	}
	l.waitUsed(limits.Calls)
	t.Logf("%d calls are agreed; the box has taken %s", limits.Calls, mebibytes(l.peak()))
	if err := l.say(dialogs, track.LAN, wire.RST|wire.ACK); err != nil {
		t.Fatal(err)
	}
	l.waitUsed(1)
	var stats boxStats
	l.get("/stats", &stats)
	t.Logf("all but one have ended; readers have missed %d events", stats.EventsMissed)
	if stats.EventsMissed == 0 {
		t.Error("no reader has missed an event, although they read next to nothing")
	}
	l.checkMemory()
	if n := strings.Count(l.process.Output(), "was too slow and is cut off"); n > 0 {
		t.Errorf("%d readers were cut off, and did not weigh on the box", n)
	}
	l.stop()
}

// readLittle asks for events, and takes no more of the answer than it takes not
// to be cut off.
func (l *attackLab) readLittle() {
	l.t.Helper()
	conn, err := net.Dial("unix", l.socket)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprint(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		l.t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		l.t.Fatalf("%v, %v, want the events", answer, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		for err == nil {
			_, err = io.CopyN(io.Discard, answer.Body, 8<<10)
			<-time.After(time.Second)
		}
	}()
}

// waitUsed waits until the box follows so many calls.
func (l *attackLab) waitUsed(calls int) {
	l.t.Helper()
	l.until(func() error {
		var stats boxStats
		if l.get("/stats", &stats); stats.Limits["calls"].Used != calls {
			return fmt.Errorf("the box follows %d calls, want %d", stats.Limits["calls"].Used, calls)
		}
		return nil
	})
}
