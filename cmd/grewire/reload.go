package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const reloadPath = "/reload"

// reloader makes a configuration that was changed take effect in the running
// box.
type reloader struct {
	path    string
	made    config.Limits // what the tables were made for
	level   *slog.LevelVar
	engine  *bridge.Engine
	clock   bridge.Clock
	publish func(track.Event)
	// telling does a reload and tells the service manager of it.
	telling func(reload func() error) error

	mu      sync.Mutex // held while reloading
	running *config.Config
}

// reloadAnswer says what a reload did.
type reloadAnswer struct {
	Config   string          `json:"config"`
	Reloaded bool            `json:"reloaded"`
	Changes  []config.Change `json:"changes,omitempty"` // what holds now and did not before
	Faults   []faultJSON     `json:"faults,omitempty"`  // why nothing changed
}

// reload reads the configuration again. Either all of it holds afterwards, or
// nothing has changed and the answer says why.
func (r *reloader) reload() reloadAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := reloadAnswer{Config: r.path}
	kind := track.EventReloaded
	err := r.telling(func() (err error) {
		answer.Changes, err = r.apply()
		return err
	})
	if answer.Reloaded = err == nil; !answer.Reloaded {
		answer.Faults, kind = faultsOf(err), track.EventReloadRefused
	}
	r.publish(track.Event{Time: r.clock(), Kind: kind, Detail: few(answer.lines())})
	return answer
}

// apply makes the configuration hold as it is in its file now, and returns what
// has changed by that.
func (r *reloader) apply() ([]config.Change, error) {
	conf, changes, err := config.Reload(r.path, r.running, r.made)
	if err == nil {
		err = r.engine.SetOptions(trackOptions(conf), r.clock())
	}
	if err != nil {
		return nil, err
	}
	r.level.Set(conf.Log.Level.Level())
	r.running = conf
	return changes, nil
}

// lines is the answer in words: a line for each change, or for each fault.
func (a *reloadAnswer) lines() []string {
	var lines []string
	for _, c := range a.Changes {
		lines = append(lines, c.String())
	}
	for _, f := range a.Faults {
		if f.Line == 0 {
			lines = append(lines, f.Message)
		} else {
			lines = append(lines, config.Fault{File: a.Config, Line: f.Line, Key: f.Key, Message: f.Message}.String())
		}
	}
	return lines
}

// maxDetail is how many lines of a reload an event has.
const maxDetail = 20

func few(lines []string) []string {
	if more := len(lines) - maxDetail; more > 0 {
		return append(lines[:maxDetail:maxDetail], fmt.Sprintf("and %d more", more))
	}
	return lines
}

// action is reload for the control socket.
func (r *reloader) action(context.Context) (any, bool) {
	answer := r.reload()
	return answer, answer.Reloaded
}

// catchHangups returns a channel of the SIGHUPs from now on, which end the
// process no more.
func catchHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGHUP) // whoever was told of it before is told no more
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// onHangup reloads at every SIGHUP until ctx is done. What came of it is an
// event, and so in the log.
func (r *reloader) onHangup(ctx context.Context, hangups <-chan os.Signal) error {
	for {
		select {
		case <-hangups:
			r.reload()
		case <-ctx.Done():
			return nil
		}
	}
}

const reloadAbout = `Has the running box read its configuration file again, the one it was started
with. Changes of [policy], [limits], [timeouts] and log.level take effect at
once, without a frame lost; calls that the new policy does not allow end. If the
file is wrong, or changes what only a restart can change (every other key; and
limits.connections and limits.calls beyond what the box was started with),
nothing changes, every fault is printed, and the exit code is 1.
`

func (p *program) reload(ctx context.Context, args []string) int {
	f, client, asJSON := p.clientFlags("reload", reloadAbout)
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if code, ok := client.locate(f); !ok {
		return code
	}
	var answer reloadAnswer
	ok, err := client.Post(ctx, reloadPath, &answer)
	switch {
	case ctx.Err() != nil:
		return p.failed("reload", errors.New("interrupted before the box has answered"))
	case err != nil:
		return p.failed("reload", err)
	}
	return p.reported(&answer, ok, *asJSON)
}

// reported prints the answer: changes where output goes, faults where errors
// go.
func (p *program) reported(answer *reloadAnswer, ok, asJSON bool) int {
	lines := answer.lines()
	for i := range lines {
		lines[i] = printable(lines[i]) + "\n"
	}
	code, err := exitOK, error(nil)
	if !ok {
		code = exitFailed
		fmt.Fprint(p.err, strings.Join(lines, ""))
	}
	switch {
	case asJSON:
		err = json.NewEncoder(p.out).Encode(answer)
	case ok && len(lines) == 0:
		_, err = fmt.Fprintln(p.out, "nothing has changed")
	case ok:
		_, err = fmt.Fprint(p.out, strings.Join(lines, ""))
	}
	return max(code, p.printed("reload", err))
}
