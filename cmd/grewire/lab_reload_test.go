package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// TestLabReload reloads good and bad configurations, by command and by signal,
// while a real call and other traffic cross the box: no frame is lost, the call
// goes on, and when policy denies it at last it ends.
func TestLabReload(t *testing.T) {
	t.Parallel()
	b := startLab(t, bridgetest.InlineOption{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := bridgetest.StartServer(b.top.Server); err != nil {
		t.Fatal(err)
	}
	const pings = 300
	client, err := bridgetest.Dial(b.top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{
		Pings: bridgetest.Pings{Count: pings, Interval: 10 * time.Millisecond}, EchoInterval: echoOften,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, b.process.Output())
	}
	flood, err := b.top.Client.Start("ping", "-q", "-c", "2000", "-i", "0.002", bridgetest.ServerAddr)
	if err != nil {
		t.Fatal(err)
	}
	b.reloadAll(ctx)
	if err := flood.Wait(ctx); err != nil || !strings.Contains(flood.Output(), " 0% packet loss") {
		t.Errorf("beside the call: %v\n%s", err, flood.Output())
	}
	report, err := client.Pinged(ctx)
	if err != nil || report.Sent != pings || report.Answered != pings {
		t.Errorf("in the call: %d pings of %d answered: %v", report.Answered, report.Sent, err)
	}
	t.Log(lastLine(flood.Output()))
	var calls []track.Call
	if b.ask(&calls, "calls"); len(calls) != 1 || calls[0].State != track.CallActive {
		t.Errorf("calls %+v", calls)
	}
	b.checkNothingLost()

	b.configure("[policy]\npptp = 'deny'\n")
	if out := b.command(b.top.Box, 10*time.Second, b.binary, "reload", "-socket", b.socket); !strings.Contains(out, `policy.pptp: "allow", now "deny"`) {
		t.Errorf("reload says %q", out)
	}
	if err := b.process.WaitOutput(ctx, "(denied)"); err != nil {
		t.Error(err)
	}
	if b.ask(&calls, "calls"); len(calls) != 0 {
		t.Errorf("calls %+v", calls)
	}
	client.Kill()
	b.stop()
}

// reloadAll reloads in turn all kinds of configurations, fewer times than the
// log has lines for in a second. Each is waited for.
func (b *labBox) reloadAll(ctx context.Context) {
	b.t.Helper()
	good := []string{
		"[policy]\nclients = ['10.77.0.0/24']\nother = 'forward'\n[log]\nlevel = 'debug'\n",
		"[limits]\ncalls = 1\nconnections = 1\nexpectations = 1\nfragments = 1\nhold_bytes = 2048\n[timeouts]\ngre_stream = '1h'\n",
		"",
		"[policy]\ngre = 'any'\nstrict_gre = 'drop'\n",
	}
	bad := []string{"[policy]\npptp = 'deny'\nclient = []\n", "[limits]\ncalls = 1000000\n[policy]\npptp = 'deny'\n", "[log]\nformat = 'text'\n[policy]\npptp = 'deny'\n"}
	for n := range 12 {
		b.configure(good[n%len(good)])
		if n%2 == 0 {
			b.hangUp(ctx)
		} else {
			b.command(b.top.Box, 10*time.Second, b.binary, "reload", "-socket", b.socket)
		}
		b.configure(bad[n%len(bad)])
		if out, err := b.top.Box.Run(ctx, b.binary, "reload", "-socket", b.socket); err == nil {
			b.t.Errorf("a bad configuration is taken: %s", out)
		}
	}
}

// hangUp sends SIGHUP and waits for the reload that follows.
func (b *labBox) hangUp(ctx context.Context) {
	b.t.Helper()
	const reloaded = `"event":"reloaded"`
	had := strings.Count(b.process.Output(), reloaded)
	if err := b.process.Signal(syscall.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
	if err := b.process.WaitCount(ctx, reloaded, had+1); err != nil {
		b.t.Fatal(err)
	}
}
