package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// reloadable is a box without NICs that can be told to reload.
type reloadable struct {
	*reloader
	socket string
	events []track.Event
}

func newReloadable(t *testing.T, text string) *reloadable {
	t.Helper()
	path := write(t, "grewire.toml", text)
	conf, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	b := new(reloadable)
	b.reloader = &reloader{
		path: path, made: conf.Limits, running: conf, level: new(slog.LevelVar), clock: bridge.NewClock(),
		engine:  bridge.NewEngine(trackOptions(conf), func(track.Event) {}),
		publish: func(e track.Event) { b.events = append(b.events, e) },
		telling: func(reload func() error) error { return reload() },
	}
	b.socket = serving(t, status.Options{Source: &boxOf{}, Actions: map[string]status.Action{reloadPath: b.action}})
	return b
}

func (b *reloadable) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const twoNICs = "bridge.lan = 'eth0'\nbridge.wan = 'eth1'\n"

func TestReload(t *testing.T) {
	b := newReloadable(t, twoNICs)
	var called []string
	b.telling = func(reload func() error) error {
		called = append(called, "begin")
		defer func() { called = append(called, "done") }()
		return reload()
	}
	reload := func(want result, args ...string) {
		t.Helper()
		got := grewire(t, append([]string{"reload", "-socket", b.socket}, args...)...)
		want.errors = strings.ReplaceAll(want.errors, "FILE", b.path)
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	reload(result{out: "nothing has changed\n"})
	b.rewrite(t, twoNICs+"policy.pptp = 'deny'\nlimits.calls = 7\nlog.level = 'debug'\n")
	reload(result{out: "policy.pptp: \"allow\", now \"deny\"\nlimits.calls: 65536, now 7\nlog.level: \"info\", now \"debug\"\n"})
	if b.level.Level() != slog.LevelDebug || b.engine.Stats().Limits["calls"].Limit != 7 {
		t.Errorf("level %s, limits %+v", b.level.Level(), b.engine.Stats().Limits)
	}
	b.rewrite(t, twoNICs+"policy.pptp = 'allow'\nlimits.calls = 65537\nlog.format = 'text'\ntimeouts.tcp_syn = 5\n")
	reload(result{code: 1, errors: `FILE:4: limits.calls: 65537 needs a restart: the running box has made its table for 65536, and takes less
FILE:5: log.format: "text" needs a restart: the running box has "json"
FILE:6: timeouts.tcp_syn: must be a duration in quotes, such as "60s", "5m" or "120h", not an integer
`})
	if b.engine.Stats().Limits["calls"].Limit != 7 || b.running.Policy.PPTP != config.Deny {
		t.Errorf("a refused file took effect: %+v", b.running)
	}
	b.rewrite(t, twoNICs)
	got := grewire(t, "reload", "-json", "-socket", b.socket)
	var answer reloadAnswer
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || !answer.Reloaded || len(answer.Changes) != 3 || answer.Changes[0].Key != "policy.pptp" {
		t.Errorf("%+v: %v", got, err)
	}
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	reload(result{code: 1, errors: "cannot read the configuration: open FILE: no such file or directory\n"})

	var events []string
	for _, e := range b.events {
		events = append(events, e.Kind.String())
	}
	if diff := cmp.Diff([]string{"reloaded", "reloaded", "reload-refused", "reloaded", "reload-refused"}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Split(strings.Repeat("begin done ", 5), " ")[:10], called); diff != "" {
		t.Errorf("the service manager was told (-want +got):\n%s", diff)
	}
}

// TestReloadManyFaults: an event has few of them, the command all.
func TestReloadManyFaults(t *testing.T) {
	b := newReloadable(t, twoNICs)
	var text strings.Builder
	for i := range 50 {
		text.WriteString("x" + strings.Repeat("y", i) + " = 1\n")
	}
	b.rewrite(t, twoNICs+text.String())
	got := grewire(t, "reload", "-socket", b.socket)
	if n := strings.Count(got.errors, "unknown"); n != 50 || got.code != exitFailed {
		t.Errorf("%d faults printed, exit code %d", n, got.code)
	}
	detail := b.events[0].Detail
	if len(detail) != maxDetail+1 || detail[maxDetail] != "and 30 more" {
		t.Errorf("the event has %d lines: %q", len(detail), detail)
	}
}

// TestHangup: a reload by signal is the same one.
func TestHangup(t *testing.T) {
	b := newReloadable(t, twoNICs)
	b.rewrite(t, twoNICs+"log.level = 'warn'\n")
	reloaded := make(chan track.Event, 1)
	b.publish = func(e track.Event) { reloaded <- e }
	hangups := make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.onHangup(ctx, hangups) }()
	hangups <- os.Interrupt
	if e := <-reloaded; e.Kind != track.EventReloaded || b.level.Level() != slog.LevelWarn {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
