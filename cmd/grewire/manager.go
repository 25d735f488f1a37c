package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/grewire/grewire/track"
)

const (
	// startInterval is how often a box that starts is looked at.
	startInterval = 10 * time.Millisecond
	// statusInterval is how often at least the manager is told how it goes.
	statusInterval = 5 * time.Second
	// feedsPerWatchdog is how often the watchdog is fed in the time that it
	// takes to bite: once may come late, and a worker may be held up.
	feedsPerWatchdog = 4
	// managerPatience is how long the box waits for a manager that does not
	// read what it is told.
	managerPatience = time.Second
)

// serviceManager is who started the box and watches over it: systemd, or
// another that speaks its protocol (sd_notify(3)). It gets to know where the
// environment says: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. Its methods do
// nothing if that names nobody.
type serviceManager struct {
	log      *slog.Logger
	watchdog time.Duration // after which it ends a box that has not fed it; 0 for never
	ticks    func(time.Duration) <-chan time.Time
	ready    atomic.Bool
	turn     chan struct{} // a token for who is telling it something
	failed   sync.Once
}

func newServiceManager(log *slog.Logger) *serviceManager {
	m := &serviceManager{log: log, ticks: time.Tick, turn: make(chan struct{}, 1)}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the watchdog will not be fed", "error", err)
	}
	return m
}

// watched is the box in the eyes of a service manager.
type watched struct {
	cycles func() [2][]uint64 // see bridge.Box.Cycles
	status func() string      // how it goes, in a line
}

// follow tells the manager that the box is ready once every worker has begun
// to carry frames, feeds its watchdog as long as all of them go on, and says
// that the box is stopping when ctx is done. It returns nil.
func (m *serviceManager) follow(ctx context.Context, box watched) error {
	defer m.tell(daemon.SdNotifyStopping)
	var p pulse
	for ticks := m.ticks(startInterval); !p.beats(box.cycles()); {
		if !next(ctx, ticks) {
			return nil
		}
	}
	m.tell(daemon.SdNotifyReady + "\n" + statusLine(box.status()))
	m.ready.Store(true)
	for ticks := m.ticks(m.interval()); next(ctx, ticks); {
		m.feed(&p, box)
	}
	return nil
}

// next waits for a tick; false means that ctx is done.
func next(ctx context.Context, ticks <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ticks:
		return ctx.Err() == nil
	}
}

func (m *serviceManager) interval() time.Duration {
	if m.watchdog == 0 {
		return statusInterval
	}
	return min(m.watchdog/feedsPerWatchdog, statusInterval)
}

// feed feeds the watchdog, if all workers have moved since the last time.
func (m *serviceManager) feed(p *pulse, box watched) {
	cycles := box.cycles()
	if p.beats(cycles) {
		m.tell(daemon.SdNotifyWatchdog + "\n" + statusLine(box.status()))
		return
	}
	text := p.standing(cycles)
	if p.silent++; p.silent == feedsPerWatchdog/2 {
		m.log.Error(text, "watchdog", m.watchdog.String())
	}
	m.tell(statusLine(text))
}

// reloading tells the manager that the box is about to reload its
// configuration, runs f, and tells it that this is over and how it ended.
func (m *serviceManager) reloading(f func() error) error {
	if !m.ready.Load() {
		return f()
	}
	m.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	err := f()
	result := "reloaded"
	if err != nil {
		result = "reload refused: " + err.Error()
	}
	m.tell(daemon.SdNotifyReady + "\n" + statusLine(result))
	return err
}

// statusLine is the text for "systemctl status"; a newline would begin another
// variable.
func statusLine(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", "; ") }

// tell sends a message. It does not wait for long: a manager that hangs holds
// up neither frames nor a stop.
func (m *serviceManager) tell(message string) {
	late := time.After(managerPatience)
	select {
	case m.turn <- struct{}{}:
	case <-late: // it has not taken the last one yet
		return
	}
	sent := make(chan error, 1)
	go func() {
		_, err := daemon.SdNotify(false, message)
		<-m.turn
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			m.failed.Do(func() { m.log.Warn("the service manager cannot be told how the box is", "error", err) })
		}
	case <-late:
	}
}

// pulse tells whether workers move.
type pulse struct {
	fed    [2][]uint64 // their cycles when all had moved last, by side
	silent int         // how often in a row not all had moved since
}

// beats reports whether all workers have moved since it did so last.
func (p *pulse) beats(cycles [2][]uint64) bool {
	for side := range cycles {
		if len(p.stands(cycles, side)) > 0 {
			return false
		}
	}
	*p = pulse{fed: cycles}
	return true
}

// stands returns which workers of a side have not moved.
func (p *pulse) stands(cycles [2][]uint64, side int) (workers []int) {
	for i, n := range cycles[side] {
		if fed := p.fed[side]; n == 0 || i < len(fed) && n == fed[i] {
			workers = append(workers, i)
		}
	}
	return workers
}

// standing names the workers that do not move.
func (p *pulse) standing(cycles [2][]uint64) string {
	var sides []string
	for side := range cycles {
		switch n, all := len(p.stands(cycles, side)), len(cycles[side]); {
		case n > 0 && all == 1:
			sides = append(sides, "the "+track.Side(side).String()+" side")
		case n > 0:
			sides = append(sides, fmt.Sprintf("the %s side by %d of %d workers", track.Side(side), n, all))
		}
	}
	return "stuck: no frames are taken from " + strings.Join(sides, " and ")
}
