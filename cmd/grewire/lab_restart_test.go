package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// echoOften is how often pptp asks for an echo. It ends the call if one is not
// answered in the same time (--max-echo-wait has no effect), which must be longer
// than a restart beside other load takes.
const echoOften = 8 * time.Second

// TestLabRestart starts the box anew under a real call, once after SIGTERM and
// once after SIGKILL: the call goes on, with its number, without being dialled
// again, and hangs up in good order at last.
func TestLabRestart(t *testing.T) {
	t.Parallel()
	b := startLab(t, bridgetest.InlineOption{})
	b.stop()
	b.state = filepath.Join(b.top.Lab.Dir(), "state")
	b.configure("")
	b.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := bridgetest.StartServer(b.top.Server); err != nil {
		t.Fatal(err)
	}
	client, err := bridgetest.Dial(b.top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{
		Pings: bridgetest.Pings{Count: -1, Interval: 20 * time.Millisecond}, EchoInterval: echoOften,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, b.process.Output())
	}
	before := b.onlyCall(ctx, 20)

	b.stop()
	b.configure("")
	b.start()
	b.waitFor("state-restored 1 connection, 1 call")
	stopped := b.onlyCall(ctx, before.LANToWAN.Packets+20)
	b.wantSame(before, stopped)
	b.waitFor("(restored)") // an echo was seen

	b.waitWritten(ctx)
	b.process.Kill()
	b.configure("")
	b.start()
	b.waitFor("state-restored 1 connection, 1 call")
	killed := b.onlyCall(ctx, stopped.LANToWAN.Packets+20)
	b.wantSame(before, killed)
	b.waitFor("(restored)")

	report, err := client.Hangup(ctx)
	if err != nil {
		t.Error(err)
	}
	if report.Answered == 0 || report.BadFrames != 0 {
		t.Errorf("the client says %+v", report)
	}
	b.waitFor("call-ended call 1,")
	t.Logf("%d pings in the call, %d answered, over a stop and a kill", report.Sent, report.Answered)
	b.stop()

	if err := os.Truncate(b.state, 99); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.waitFor("state-refused (broken)")
	b.stop()

	const letter = "what nobody wants to lose"
	if err := os.WriteFile(b.state, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.waitFor("state-refused (foreign)")
	b.stop()
	if text, err := os.ReadFile(b.state); err != nil || string(text) != letter {
		t.Errorf("the file has %q now: %v", text, err)
	}
}

// onlyCall waits until the one call that the box lists has had so many packets
// each way, and returns it.
func (b *labBox) onlyCall(ctx context.Context, packets uint64) track.Call {
	b.t.Helper()
	for {
		var calls []track.Call
		if b.ask(&calls, "calls"); len(calls) != 1 {
			b.t.Fatalf("calls %+v\nthe box said: %s", calls, b.process.Output())
		}
		if c := calls[0]; c.LANToWAN.Packets >= packets && c.WANToLAN.Packets >= packets {
			return c
		}
		if ctx.Err() != nil {
			b.t.Fatalf("not %d packets each way: %+v\nthe box said: %s", packets, calls[0], b.process.Output())
		}
	}
}

// wantSame fails the test unless two calls are one, at two times.
func (b *labBox) wantSame(a, c track.Call) {
	b.t.Helper()
	if c.ID != a.ID || c.State != track.CallActive || !c.Started.Equal(a.Started) || c.PNS != a.PNS || c.PAC != a.PAC || c.Control != a.Control {
		b.t.Errorf("call %+v\nis not %+v", c, a)
	}
}

// waitWritten waits until the running box has written its state.
func (b *labBox) waitWritten(ctx context.Context) {
	b.t.Helper()
	inode := func() uint64 {
		info, err := os.Stat(b.state)
		if errors.Is(err, os.ErrNotExist) {
			return 0
		}
		if err != nil {
			b.t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for first := inode(); inode() == first; { // it is a new file every time
		select {
		case <-again.C:
		case <-ctx.Done():
			b.t.Fatalf("the state is not written\nthe box said: %s", strings.TrimSpace(b.process.Output()))
		}
	}
}
