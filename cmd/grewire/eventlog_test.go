package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// TestEventLog: events are logged in words, and in JSON in full.
func TestEventLog(t *testing.T) {
	var text, object strings.Builder
	texts, objects := newEventLog(slog.New(slog.NewTextHandler(&text, nil))), newEventLog(slog.New(slog.NewJSONHandler(&object, nil)))
	for _, e := range allEvents() {
		texts.event(&e)
		objects.event(&e)
	}
	if n := strings.Count(text.String(), "\n"); n != len(allEvents()) || !strings.Contains(text.String(), "level=WARN msg=\"link-down (eth0)\" event=link-down") {
		t.Errorf("%d lines:\n%s", n, text.String())
	}
	lines := strings.Split(strings.TrimSpace(object.String()), "\n")
	for i, line := range lines {
		var entry struct {
			Event  string
			Detail json.RawMessage
		}
		want, err := json.Marshal(allEvents()[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Event != allEvents()[i].Kind.String() || string(entry.Detail) != string(want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// messageLog is a log that keeps the messages alone.
func messageLog(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key != slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// flood logs so many events of a kind, all of one instant.
func flood(l *eventLog, kind track.EventKind, at time.Duration, n int) {
	e := track.Event{Kind: kind, Time: track.Time(moment.UnixNano()).Add(at)}
	if kind == track.EventFrameDropped {
		e.Frame = &track.DroppedFrame{Reason: track.ReasonPause}
	}
	for range n {
		l.event(&e)
	}
}

// count returns how often each message was logged.
func count(log string) map[string]int {
	counts := make(map[string]int)
	for line := range strings.Lines(log) {
		counts[strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "msg="), `"`)]++
	}
	return counts
}

// TestEventLogFlood: of a flood of one kind some lines a second are logged, and
// how many were not; other kinds are logged all the same.
func TestEventLogFlood(t *testing.T) {
	var out strings.Builder
	l := newEventLog(messageLog(&out, slog.LevelInfo))
	check := func(step string, want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, count(out.String())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
		out.Reset()
	}
	flood(l, track.EventCallRefused, 0, linesPerSecond+50)
	flood(l, track.EventCallRequested, 0, linesPerSecond)
	flood(l, track.EventCallRefused, time.Second-1, 7)
	check("a second", map[string]int{"call-refused": linesPerSecond, "call-requested": linesPerSecond})
	flood(l, track.EventCallRefused, time.Second, 1)
	check("the next event", map[string]int{"call-refused: 57 more not logged": 1, "call-refused": 1})
	flood(l, track.EventCallRefused, time.Second, linesPerSecond)
	check("the next second", map[string]int{"call-refused": linesPerSecond - 1})
	now := track.Time(moment.UnixNano())
	l.tick(now.Add(2*time.Second - 1))
	check("a tick too early", map[string]int{})
	l.tick(now.Add(2 * time.Second))
	l.tick(now.Add(3 * time.Second))
	check("ticks", map[string]int{"call-refused: 1 more not logged": 1})
	flood(l, track.EventCallActive, 5*time.Second, linesPerSecond+2)
	l.finish()
	check("the end", map[string]int{"call-active": linesPerSecond, "call-active: 2 more not logged": 1})
	flood(l, track.EventFrameDropped, 0, 3*linesPerSecond)
	if n := strings.Count(out.String(), "frame-dropped from lan: pause"); n != 3*linesPerSecond {
		t.Errorf("%d dropped frames are logged, want all %d: they are limited where they come from", n, 3*linesPerSecond)
	}
}

// TestEventLogLevel: what is below the level is neither logged nor counted.
func TestEventLogLevel(t *testing.T) {
	var out strings.Builder
	l := newEventLog(messageLog(&out, slog.LevelWarn))
	flood(l, track.EventCallRefused, 0, 3*linesPerSecond)
	flood(l, track.EventLimitReached, 0, linesPerSecond+1)
	l.finish()
	if diff := cmp.Diff(map[string]int{"limit-reached": linesPerSecond, "limit-reached: 1 more not logged": 1}, count(out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFollowEvents: the log says within a second or so what it left out, and
// everything once it is finished; the subscribers of the hub get all.
func TestFollowEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		hub := new(bridge.Hub)
		all, cancel := hub.Subscribe()
		defer cancel()
		clock := func() track.Time { return track.Time(time.Now().UnixNano()) }
		finish := followEvents(hub, messageLog(&out, slog.LevelInfo), clock)
		publish := func(n int) {
			for range n {
				hub.Publish(track.Event{Kind: track.EventCallRefused, Time: clock()})
			}
			synctest.Wait()
		}
		publish(linesPerSecond + 3)
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := count(out.String()); got["call-refused: 3 more not logged"] != 1 {
			t.Errorf("after two seconds: %v", got)
		}
		publish(linesPerSecond + 4)
		finish()
		want := map[string]int{"call-refused": 2 * linesPerSecond, "call-refused: 3 more not logged": 1, "call-refused: 4 more not logged": 1}
		if diff := cmp.Diff(want, count(out.String())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		cancel()
		got, sent := 0, 2*linesPerSecond+7
		for _, err := all(t.Context()); err == nil; _, err = all(t.Context()) {
			got++
		}
		if got != sent {
			t.Errorf("the other subscriber got %d events, want %d", got, sent)
		}
	})
}

// TestStatsEventsMissed: the table tells of missed events only if there are.
func TestStatsEventsMissed(t *testing.T) {
	for missed, want := range map[uint64]bool{0: false, 12345: true} {
		var out strings.Builder
		if err := printStats(&out, fmt.Appendf(nil, `{"events_missed":%d}`, missed)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "EVENTS MISSED\n12345\n"); got != want {
			t.Errorf("%d missed:\n%s", missed, out.String())
		}
	}
}
