package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const runAbout = `Carries frames between the LAN and the WAN NIC until it gets SIGINT or SIGTERM.
It needs CAP_NET_RAW and CAP_NET_ADMIN. The log goes to standard error.
`

func (p *program) runBox(ctx context.Context, args []string) int {
	f := p.flags("run", "[-config FILE]", runAbout)
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	conf, err := config.Load(*path)
	if err != nil {
		return p.misconfigured("run", err)
	}
	log := newLogger(p.err, &conf.Log)
	if err := ready(conf, log); err != nil {
		return p.failed("run", err)
	}
	if err := carry(ctx, conf, log); err != nil {
		return p.failed("run", err)
	}
	return exitOK
}

func newLogger(to io.Writer, c *config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.FormatText {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

// ready makes sure that the box can run here: everything that keeps it from
// it is in the error, a line each; lesser problems are logged.
func ready(conf *config.Config, log *slog.Logger) error {
	m, err := inspect(conf)
	if err != nil {
		return err
	}
	var faults []error
	for _, problem := range m.problems {
		if problem.Severity == nic.Fatal {
			faults = append(faults, errors.New(problem.String()))
		} else {
			log.Warn(problem.Message, "nic", problem.NIC, "advice", problem.Advice)
		}
	}
	return errors.Join(append(faults, nic.CapabilityCheck())...)
}

// carry runs the box until ctx is done.
func carry(ctx context.Context, conf *config.Config, log *slog.Logger) error {
	options := trackOptions(conf)
	options.Seed = randomSeed()
	hub, clock := new(bridge.Hub), bridge.NewClock()
	box := &runningBox{hub: hub, engine: bridge.NewEngine(options, hub.Publish)}
	server, err := status.Listen(status.Options{Socket: conf.Status.Socket, Source: box, Version: buildVersion(), Log: log})
	if err != nil {
		return err
	}
	if err := box.open(conf); err != nil {
		return errors.Join(err, server.Close())
	}
	defer box.close()
	finishLog := followEvents(hub, log)
	frames := bridge.NewBox(bridge.Options{
		LAN: box.ports[track.LAN], WAN: box.ports[track.WAN], Engine: box.engine, Clock: clock,
		OnLink: func(side track.Side, up bool) { hub.Publish(linkEvent(clock(), box.ports[side].Name(), up)) },
	})
	log.Info("carrying frames", "lan", conf.Bridge.LAN, "wan", conf.Bridge.WAN, "socket", conf.Status.Socket, "version", buildVersion().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return frames.Run(ctx) })
	group.Go(func() error { return server.Serve(ctx) })
	err = group.Wait()
	finishLog()
	stats := box.engine.Stats()
	log.Info("stopped", "frames", stats.Frames, "forwarded", stats.Forwarded, "rewritten", stats.Rewritten, "dropped", stats.Dropped)
	return err
}

func linkEvent(now track.Time, name string, up bool) track.Event {
	e := track.Event{Time: now, Kind: track.EventLinkDown, Cause: name}
	if up {
		e.Kind = track.EventLinkUp
	}
	return e
}

// runningBox is what the control socket tells about.
type runningBox struct {
	engine *bridge.Engine
	hub    *bridge.Hub
	ports  [2]*afpacket.Port
}

var _ status.Source = (*runningBox)(nil)

func (b *runningBox) open(conf *config.Config) error {
	for side, name := range map[track.Side]string{track.LAN: conf.Bridge.LAN, track.WAN: conf.Bridge.WAN} {
		port, err := afpacket.Open(name, afpacket.Options{})
		if err != nil {
			b.close()
			return err
		}
		b.ports[side] = port
	}
	return nil
}

func (b *runningBox) close() {
	for _, port := range b.ports {
		if port != nil {
			port.Close()
		}
	}
}

// Calls implements status.Source.
func (b *runningBox) Calls() []track.Call { return b.engine.Calls() }

// Expectations implements status.Source.
func (b *runningBox) Expectations() []track.Expectation { return b.engine.Expectations() }

// Subscribe implements status.Source.
func (b *runningBox) Subscribe() (<-chan track.Event, func()) { return b.hub.Subscribe() }

// Stats implements status.Source.
func (b *runningBox) Stats() any {
	s := boxStats{Stats: b.engine.Stats(), Ports: make(map[string]portStats)}
	for side, port := range b.ports {
		n := port.Stats()
		s.Ports[track.Side(side).String()] = portStats{
			NIC: port.Name(), MTU: port.MTU(), Received: n.Received, Sent: n.Sent,
			KernelDrops: n.Drops, Unreadable: n.Unreadable, Truncated: n.Truncated, Refused: n.Refused,
		}
	}
	return s
}

// followEvents logs events in a goroutine of its own: a log that blocks must
// not hold up frames. The returned function waits until what happened so far
// is logged.
func followEvents(hub *bridge.Hub, log *slog.Logger) (finish func()) {
	events, cancel := hub.Subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range events {
			logEvent(log, &e)
		}
	}()
	return func() { cancel(); <-done }
}

// logEvent logs an event: in words, and as JSON has it.
func logEvent(log *slog.Logger, e *track.Event) {
	level := slog.LevelInfo
	switch e.Kind {
	case track.EventLimitReached, track.EventLinkDown, track.EventControlDesync:
		level = slog.LevelWarn
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
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
