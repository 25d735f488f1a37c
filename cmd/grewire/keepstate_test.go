package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/state"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// kept is a stateKeeper of a box without NICs, with what it says.
type kept struct {
	*stateKeeper
	events []track.Event
	log    bytes.Buffer
	now    track.Time
}

func keep(t *testing.T, path string) *kept {
	t.Helper()
	conf := config.Default()
	conf.Bridge.LAN, conf.Bridge.WAN, conf.Status.State = "lan", "wan", path
	k := &kept{now: tracktest.Epoch}
	hub := new(bridge.Hub)
	early, done := hub.Subscribe()
	k.stateKeeper = openState(&runningBox{
		conf: &conf, hub: hub, engine: bridge.NewEngine(trackOptions(&conf), func(track.Event) {}),
		clock: func() track.Time { return k.now }, log: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
	done()
	if e, err := early(t.Context()); err == nil {
		k.events = append(k.events, e)
	}
	if k.stateKeeper != nil {
		k.publish = func(e track.Event) { k.events = append(k.events, e) }
		t.Cleanup(func() { k.file.Close() })
	}
	return k
}

// withCall is the state of a box with a call.
func withCall(t *testing.T) *track.Saved {
	w := tracktest.New(t)
	w.Dial(w.Client, w.Server).OutCall(1, 11).Both()
	return w.Save()
}

func TestStateRestored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	k := keep(t, path)
	k.restore()
	k.write(true)
	if len(k.events) != 0 {
		t.Errorf("nothing was saved: %+v", k.events)
	}
	k.engine.Restore(withCall(t), k.now, 0)
	before := k.engine.Calls()
	k.close()

	k = keep(t, path)
	k.now = k.now.Add(time.Millisecond) // while the file was written and read
	k.restore()
	if after := k.engine.Calls(); len(after) != 1 || after[0] != before[0] {
		t.Errorf("calls %+v, want %+v", after, before)
	}
	if len(k.events) != 1 || k.events[0].Kind != track.EventStateRestored || !strings.HasPrefix(k.events[0].Detail[0], "1 connection, 1 call, written ") {
		t.Errorf("events %+v", k.events)
	}
}

// TestStateRefused: the box starts empty, says why, and writes a new one.
func TestStateRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	old := keep(t, path)
	contents := &state.Contents{Written: state.Now(), Saved: *withCall(t)}
	contents.Written.Since -= int64(time.Hour)
	contents.Written.Wall -= int64(time.Hour)
	if err := old.file.Write(contents); err != nil {
		t.Fatal(err)
	}
	old.file.Close()
	for _, test := range []struct {
		cause string
		spoil func() error
	}{
		{"old", func() error { return nil }},
		{"broken", func() error { return os.Truncate(path, 99) }},
	} {
		if err := test.spoil(); err != nil {
			t.Fatal(err)
		}
		k := keep(t, path)
		k.restore()
		if len(k.events) != 1 || k.events[0].Kind != track.EventStateRefused || k.events[0].Cause != test.cause || len(k.engine.Calls()) != 0 {
			t.Errorf("events %+v, want state-refused by %q", k.events, test.cause)
		}
		k.close()
		k = keep(t, path)
		if _, _, err := k.file.Read(state.Now()); err != nil {
			t.Errorf("after %q: %v", test.cause, err)
		}
		k.file.Close()
	}
}

// TestStateForeign: a file that is no state is refused and stays as it is.
func TestStateForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter")
	const letter = "what nobody wants to lose"
	if err := os.WriteFile(path, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	k := keep(t, path)
	if got := k.log.String(); k.stateKeeper != nil || !strings.Contains(got, "calls will not outlive a restart") || !strings.Contains(got, "no state of a box") {
		t.Errorf("log %q", got)
	}
	if len(k.events) != 1 || k.events[0].Kind != track.EventStateRefused || k.events[0].Cause != "foreign" {
		t.Errorf("events %+v", k.events)
	}
	k.restore()
	k.close()
	if text, err := os.ReadFile(path); err != nil || string(text) != letter {
		t.Errorf("the file has %q now: %v", text, err)
	}
}

// TestStateWritten: what has not changed is written once a minute, and not at
// all if it is nothing.
func TestStateWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	k := keep(t, path)
	k.log.Reset()
	writes := func(want bool) {
		t.Helper()
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		k.write(false)
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("written: %v, want %v", err == nil, want)
		}
	}
	writes(true) // the first, so that an older one is gone
	k.now = k.now.Add(time.Hour)
	writes(false)
	k.engine.Restore(withCall(t), k.now, 0)
	writes(true)
	writes(false)
	k.now = k.now.Add(stateRefresh)
	writes(true)
	k.engine.Tick(k.now.Add(time.Hour)) // ends the call
	k.engine.Tick(k.now.Add(time.Hour + time.Second))
	writes(true)
	writes(false)
	if k.log.Len() > 0 {
		t.Error(k.log.String())
	}
}

// TestStateNowhere: a box that cannot keep its state says so once, and runs.
func TestStateNowhere(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none", "state")
	k := keep(t, nowhere)
	if got := k.log.String(); k.stateKeeper != nil || !strings.Contains(got, "no such file") || !strings.Contains(got, "make the directory "+filepath.Dir(nowhere)) {
		t.Errorf("log %q", got)
	}
	k.restore()
	k.close()
	if k := keep(t, ""); k.stateKeeper != nil || k.log.Len() > 0 {
		t.Errorf("status.state = \"\": %q", k.log.String())
	}
	path := filepath.Join(t.TempDir(), "state")
	k = keep(t, path)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	k.write(true)
	k.write(true)
	if n := strings.Count(k.log.String(), "calls will not outlive a restart"); n != 1 {
		t.Errorf("said %d times: %s", n, k.log.String())
	}
}
