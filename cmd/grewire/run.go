package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const runAbout = `Carries frames between the LAN and the WAN NIC until it gets SIGINT or SIGTERM,
and reads its configuration again at SIGHUP (see "grewire reload").
It needs CAP_NET_RAW and CAP_NET_ADMIN, and CAP_BPF for its tc program; once it
runs, it keeps nothing else. The log goes to standard error.
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
	hangups := catchHangups()
	defer signal.Stop(hangups)
	lines := newLogWriter(p.err)
	defer lines.Close(logPatience)
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go away
	level := new(slog.LevelVar)
	level.Set(conf.Log.Level.Level())
	log := newLogger(lines, conf.Log.Format, level)
	if err := ready(conf, log); err != nil {
		return p.failed("run", err)
	}
	r := &reloader{path: *path, running: conf, made: conf.Limits, level: level}
	if err := carry(ctx, r, hangups, log, func() error { return p.confine(conf, *path, log) }); err != nil {
		return p.failed("run", err)
	}
	return exitOK
}

// logPatience is how long a box that stops waits for who reads its log.
const logPatience = time.Second

func newLogger(to io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.FormatText {
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
	logOffloads(log, &m.lan, &m.wan)
	return errors.Join(append(faults, nic.CapabilityCheck())...)
}

// carry runs the box until ctx is done. confine takes from the process what it
// does not need once everything is open.
func carry(ctx context.Context, r *reloader, hangups <-chan os.Signal, log *slog.Logger, confine func() error) (err error) {
	conf := r.running
	options := trackOptions(conf)
	options.Seed = randomSeed()
	hub, clock := new(bridge.Hub), bridge.NewClock()
	box := &runningBox{hub: hub, engine: bridge.NewEngine(options, hub.Publish)}
	r.engine, r.clock, r.publish = box.engine, clock, hub.Publish
	server, err := status.Listen(status.Options{
		Socket: conf.Status.Socket, Source: box, Version: buildVersion(), Log: log,
		Actions: map[string]status.Action{reloadPath: r.action},
	})
	if err != nil {
		return err
	}
	if err := box.openBypass(conf, log); err != nil {
		return errors.Join(err, server.Close())
	}
	keeping := linkOptions(conf, hub, clock, log)
	keeping.OnOpen = func(side track.Side, _ int) error { return box.attachBypass(side, conf, log) }
	if box.links, err = links.New(keeping); err != nil {
		return errors.Join(err, server.Close())
	}
	defer func() { err = errors.Join(err, box.links.Close()) }()
	finishLog := followEvents(hub, log, clock)
	keeper := openState(conf, box, clock, log)
	keeper.restore()
	if err := confine(); err != nil {
		return errors.Join(err, server.Close())
	}
	frames := bridge.NewBox(bridge.Options{
		LAN: box.links.Port(track.LAN), WAN: box.links.Port(track.WAN), Engine: box.engine, Clock: clock, Guards: box.guards(),
	})
	log.Info("carrying frames", "lan", conf.Bridge.LAN, "wan", conf.Bridge.WAN, "socket", conf.Status.Socket, "version", buildVersion().String())
	manager := newServiceManager(log)
	makeRoomForWorkers()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return frames.Run(ctx) })
	group.Go(func() error { return box.links.Run(ctx) })
	group.Go(func() error { return server.Serve(ctx) })
	group.Go(func() error { return manager.follow(ctx, watched{frames.Cycles, box.summary}) })
	group.Go(func() error { return r.onHangup(ctx, hangups) })
	group.Go(func() error { box.watchBypass(ctx, bypassNICs(conf), clock); return nil })
	group.Go(func() error { return keeper.run(ctx) })
	err = group.Wait()
	keeper.close()
	box.closeBypass(log)
	finishLog()
	stats := box.engine.Stats()
	log.Info("stopped", "frames", stats.Frames, "forwarded", stats.Forwarded, "rewritten", stats.Rewritten, "dropped", stats.Dropped)
	return err
}

// runningBox is what the control socket tells about.
type runningBox struct {
	engine *bridge.Engine
	hub    *bridge.Hub
	links  *links.Keeper
	bypass *bypass.Bypass // nil where the kernel refuses it
}

var _ status.Source = (*runningBox)(nil)

// Calls implements status.Source.
func (b *runningBox) Calls() []track.Call { return b.engine.Calls() }

// Expectations implements status.Source.
func (b *runningBox) Expectations() []track.Expectation { return b.engine.Expectations() }

// Subscribe implements status.Source.
func (b *runningBox) Subscribe() (<-chan track.Event, func()) { return b.hub.Subscribe() }

// Stats implements status.Source.
func (b *runningBox) Stats() any {
	s := boxStats{Stats: b.engine.Stats(), EventsMissed: b.hub.Missed(), Ports: make(map[string]portStats), Bypass: b.bypassStatus()}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		port := b.links.Port(side)
		n := port.Stats()
		s.Ports[side.String()] = portStats{
			NIC: port.Name(), MTU: port.MTU(), Backend: string(port.Backend()), Received: n.Received, Copied: n.Copied, Sent: n.Sent,
			KernelDrops: n.Drops, Freezes: n.Freezes, Unreadable: n.Unreadable, Truncated: n.Truncated, Refused: n.Refused,
		}
	}
	return s
}
