package main

import (
	"context"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// TestLabAdopt stops the box under a real call and starts it anew: with
// adopt = "live-control" it finds the call again, and its ends go on.
func TestLabAdopt(t *testing.T) {
	t.Parallel()
	b := startLab(t, bridgetest.InlineOption{})
	server, err := bridgetest.StartServer(b.top.Server)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client, err := bridgetest.Dial(b.top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{
		EchoInterval: echoOften, Pings: bridgetest.Pings{Count: -1, Interval: 20 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.waitFor("call-active")
	var before []track.Call
	if b.ask(&before, "calls"); len(before) != 1 {
		t.Fatalf("%d calls, want 1", len(before))
	}
	b.stop()
	b.configure("[policy]\nadopt = \"live-control\"\n")
	b.start()
	b.waitFor("call-active")
	var after []track.Call
	if b.ask(&after, "calls"); len(after) != 1 || after[0].PNS != before[0].PNS || after[0].PAC != before[0].PAC {
		t.Fatalf("the calls were %+v and are %+v", before, after)
	}
	b.waitAnswered(ctx, client, 50)
	if _, err := client.Hangup(ctx); err != nil {
		t.Error(err)
	}
	b.waitNoCalls(ctx)
	server.Kill()
	b.stop()
}

// waitAnswered waits until so many more pings of a call are answered.
func (b *labBox) waitAnswered(ctx context.Context, client *bridgetest.Client, more int) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for first := -1; ; <-tick.C {
		report, err := client.Ask(ctx)
		if err != nil {
			b.t.Fatalf("not %d more pings answered: %+v, %v\n%s\nthe box said: %s", more, report, err, client.Log(), b.said())
		}
		if first < 0 {
			first = report.Answered
		}
		if report.Answered >= first+more {
			b.t.Logf("%d of %d pings answered", report.Answered, report.Sent)
			return
		}
	}
}
