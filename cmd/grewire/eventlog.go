package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/track"
)

// linesPerSecond is how many events of a kind are logged at most: whoever
// floods the box with connections and calls must not fill the log. The control
// socket has all of them.
const linesPerSecond = 20

// followEvents logs events in a goroutine of its own: a log that blocks must
// not hold up frames. The returned function waits until what happened so far
// is logged.
func followEvents(hub *bridge.Hub, log *slog.Logger, clock bridge.Clock) (finish func()) {
	next, cancel := hub.Subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l := newEventLog(log)
		for !errors.Is(l.follow(next), io.EOF) {
			l.tick(clock())
		}
		l.finish()
	}()
	return func() { cancel(); <-done }
}

// eventLog logs events, so many a second of each kind, and how many more there
// were.
type eventLog struct {
	log   *slog.Logger
	kinds map[track.EventKind]*lineCount
}

// lineCount is what was logged of a kind of event in a second.
type lineCount struct {
	since   track.Time
	lines   int
	leftOut int
}

func newEventLog(log *slog.Logger) *eventLog {
	return &eventLog{log: log, kinds: make(map[track.EventKind]*lineCount)}
}

// follow logs events for a second. The error is io.EOF when there are no more.
func (l *eventLog) follow(next status.Next) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	for ctx.Err() == nil {
		e, err := next(ctx)
		if err != nil {
			return err
		}
		l.event(&e)
	}
	return nil
}

// event logs an event, unless there were too many of its kind. Dropped frames
// come in moderation already, a few a second for each reason: none of the
// reasons may silence another.
func (l *eventLog) event(e *track.Event) {
	level := levelOf(e.Kind)
	switch {
	case !l.log.Enabled(context.Background(), level):
	case e.Kind == track.EventFrameDropped || l.admit(e):
		logEvent(l.log, level, e)
	}
}

// admit reports whether one more event of its kind may be logged.
func (l *eventLog) admit(e *track.Event) bool {
	c := l.kinds[e.Kind]
	if c == nil {
		c = &lineCount{since: e.Time}
		l.kinds[e.Kind] = c
	}
	l.renew(e.Kind, c, e.Time)
	if c.lines == linesPerSecond {
		c.leftOut++
		return false
	}
	c.lines++
	return true
}

// tick says what was left out of the seconds that are over.
func (l *eventLog) tick(now track.Time) {
	for kind, c := range l.kinds {
		l.renew(kind, c, now)
	}
}

// finish says what was left out at last.
func (l *eventLog) finish() {
	for kind, c := range l.kinds {
		l.sayLeftOut(kind, c)
	}
}

// renew begins a new second for a kind of event if the last is over.
func (l *eventLog) renew(kind track.EventKind, c *lineCount, now track.Time) {
	if now.Sub(c.since) >= time.Second {
		l.sayLeftOut(kind, c)
		*c = lineCount{since: now}
	}
}

func (l *eventLog) sayLeftOut(kind track.EventKind, c *lineCount) {
	if c.leftOut > 0 {
		l.log.LogAttrs(context.Background(), levelOf(kind), fmt.Sprintf("%s: %d more not logged", kind, c.leftOut),
			slog.String("event", kind.String()), slog.Int("left_out", c.leftOut))
	}
}

func levelOf(kind track.EventKind) slog.Level {
	switch kind {
	case track.EventLimitReached, track.EventLinkDown, track.EventNICGone, track.EventControlDesync, track.EventControlNotPPTP, track.EventCallOtherAddress, track.EventCallIDTaken, track.EventControlSilent,
		track.EventReloadRefused, track.EventStateRefused, track.EventBypassOn, track.EventAddressConflict:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// logEvent logs an event: in words, and as JSON has it.
func logEvent(log *slog.Logger, level slog.Level, e *track.Event) {
	line, err := json.Marshal(e)
	var row eventRow
	if err = errors.Join(err, json.Unmarshal(line, &row)); err != nil {
		log.Error("an event cannot be shown", "event", e.Kind.String(), "error", fmt.Sprint(err))
		return
	}
	attributes := []slog.Attr{slog.String("event", e.Kind.String())}
	if _, isJSON := log.Handler().(*slog.JSONHandler); isJSON {
		attributes = append(attributes, slog.Any("detail", json.RawMessage(line)))
	}
	log.LogAttrs(context.Background(), level, row.text(), attributes...)
}
