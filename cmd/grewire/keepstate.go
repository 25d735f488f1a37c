package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/state"
	"github.com/grewire/grewire/track"
)

// stateInterval is how often the state is written if it changes; stateShare
// how much of the time that may take at most, and stateRefresh how often it is
// written though it does not change, so that it does not become too old.
const (
	stateInterval = 5 * time.Second
	stateShare    = 20
	stateRefresh  = time.Minute
)

// stateKeeper keeps the state of a box in a file. It is for one goroutine at a
// time. A nil stateKeeper keeps nothing.
type stateKeeper struct {
	file    *state.File
	path    string
	engine  *bridge.Engine
	clock   bridge.Clock
	publish func(track.Event)
	log     *slog.Logger

	now, written *track.Saved // what is to be written, and what was
	at           track.Time   // when
	failing      bool
}

// openState returns what keeps the state of the box, nil if the file cannot be
// had: a box is of use without it, too.
func openState(b *runningBox) *stateKeeper {
	path := b.conf.Status.State
	if path == "" {
		return nil
	}
	file, err := state.Open(path, state.Identity{LAN: b.conf.Bridge.LAN, WAN: b.conf.Bridge.WAN})
	if err != nil {
		if errors.Is(err, state.ErrForeign) {
			b.hub.Publish(refused(b.clock(), err))
		}
		b.log.Warn("calls will not outlive a restart: "+err.Error(), "advice", stateAdvice(path, err))
		return nil
	}
	return &stateKeeper{
		file: file, path: path, engine: b.engine, clock: b.clock, publish: b.hub.Publish, log: b.log,
		now: new(track.Saved), written: new(track.Saved),
	}
}

// stateAdvice is what to do about a state file that cannot be had.
func stateAdvice(path string, err error) string {
	first := "mend that"
	if errors.Is(err, fs.ErrNotExist) {
		first = fmt.Sprintf("make the directory %s for the user of the box", filepath.Dir(path))
	}
	return first + ", or set status.state to another path, or to \"\" if that is what you want"
}

// restore makes the box know what the file says. Whatever may be wrong with
// that, the box goes on, without what is lost by it.
func (k *stateKeeper) restore() {
	if k == nil {
		return
	}
	contents, age, err := k.file.Read(state.Now())
	now := k.clock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		k.publish(refused(now, err))
		return
	}
	if len(contents.Saved.Connections) == 0 {
		return
	}
	if drift := now.Sub(contents.Saved.Now) - age; drift.Abs() < time.Second {
		age += drift // the wall clock was not set: times stay what they were
	}
	done := k.engine.Restore(&contents.Saved, now, age)
	detail := []string{fmt.Sprintf("%s, %s, written %s ago", plural(uint64(done.Connections), "connection"), plural(uint64(done.Calls), "call"), span(age))}
	if done.LeftOut > 0 {
		detail = append(detail, plural(uint64(done.LeftOut), "call")+" left out: denied by policy, or beyond a limit")
	}
	k.publish(track.Event{Time: now, Kind: track.EventStateRestored, Detail: detail})
}

// refused is the event of a state that is not restored.
func refused(now track.Time, err error) track.Event {
	return track.Event{Time: now, Kind: track.EventStateRefused, Cause: refusal(err), Detail: []string{err.Error()}}
}

// refusal is why a state is not restored, in a word.
func refusal(err error) string {
	for word, is := range map[string]error{"broken": state.ErrBroken, "version": state.ErrVersion, "other-box": state.ErrOther, "old": state.ErrOld, "foreign": state.ErrForeign} {
		if errors.Is(err, is) {
			return word
		}
	}
	return "unreadable"
}

// run writes the state every few seconds until ctx is done.
func (k *stateKeeper) run(ctx context.Context) error {
	if k == nil {
		return nil
	}
	timer := time.NewTimer(stateInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			start := time.Now()
			k.write(false)
			timer.Reset(max(stateInterval, stateShare*time.Since(start)))
		}
	}
}

// close writes the state for the last time.
func (k *stateKeeper) close() {
	if k == nil {
		return
	}
	k.write(true)
	_ = k.file.Close()
}

// write writes the state if it has changed, or was not written for long, or in
// any case.
func (k *stateKeeper) write(always bool) {
	moment := state.Now()
	k.engine.Save(k.now, k.clock())
	if !always && k.unchanged() {
		return
	}
	err := k.file.Write(&state.Contents{Written: moment, Saved: *k.now})
	if err != nil && !k.failing {
		k.log.Error("calls will not outlive a restart: "+err.Error(), "advice", "mend that; writing is tried again every few seconds")
	}
	if k.failing = err != nil; k.failing {
		return
	}
	k.at, k.now, k.written = k.now.Now, k.written, k.now
}

func (k *stateKeeper) unchanged() bool {
	same := k.now.Serial == k.written.Serial && slices.Equal(k.now.Connections, k.written.Connections) && slices.Equal(k.now.Calls, k.written.Calls)
	empty := len(k.now.Connections) == 0
	return same && k.at != 0 && (empty || k.now.Now.Sub(k.at) < stateRefresh)
}
