package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/fanout"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/bridge/neighbour"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/nat"
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
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go away
	lines := newLogWriter(p.err)
	level := new(slog.LevelVar)
	level.Set(conf.Log.Level.Level())
	log := newLogger(lines, conf.Log.Format, level)
	err = ready(conf, log)
	if err == nil {
		r := &reloader{path: *path, running: conf, made: conf.Limits, level: level}
		err = carry(ctx, r, hangups, log, func() error { return p.confine(conf, *path, log) })
	}
	lines.Close(logPatience) // both write to the same place
	if err != nil {
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
	if err := afpacket.MayBeRealTime(); err != nil {
		log.Warn(notRealTime, "error", err, "advice", realTimeAdvice)
	}
	if message, advice := crowdedWorkers(&conf.Bridge, runtime.NumCPU()); message != "" {
		log.Warn(message, "advice", advice)
	}
	logOffloads(log, &m.lan, &m.wan)
	return errors.Join(append(faults, nic.CapabilityCheck())...)
}

// carry runs the box until ctx is done. confine takes from the process what it
// does not need once everything is open.
func carry(ctx context.Context, r *reloader, hangups <-chan os.Signal, log *slog.Logger, confine func() error) error {
	box := newRunningBox(r, log)
	err := box.open()
	if err == nil {
		err = confine()
	}
	if err == nil {
		err = box.run(ctx, hangups)
	}
	return errors.Join(err, box.close())
}

// runningBox is the parts of a box at work. Those that are not open yet are nil.
type runningBox struct {
	conf      *config.Config // that of the start
	log       *slog.Logger
	clock     bridge.Clock
	hub       *bridge.Hub
	engine    *bridge.Engine
	names     *nat.Translator // nil if nothing is translated
	reloads   *reloader
	server    *status.Server
	bypass    *bypass.Bypass  // nil where the kernel refuses it
	fanout    *fanout.Program // nil with one worker
	links     *links.Keeper
	neighbour *neighbour.Box // nil without addresses to answer for
	state     *stateKeeper
	manager   *serviceManager
	endLog    func()
	carried   bool // it has run
}

func newRunningBox(r *reloader, log *slog.Logger) *runningBox {
	options := trackOptions(r.running)
	options.Seed = randomSeed()
	b := &runningBox{conf: r.running, log: log, clock: bridge.NewClock(), hub: new(bridge.Hub), reloads: r, manager: newServiceManager(log)}
	b.names = translate(&options, r.running, randomSeed(), b.hostMAC)
	b.engine = bridge.NewEngine(options, b.hub.Publish)
	b.endLog = followEvents(b.hub, log, b.clock)
	r.engine, r.clock, r.publish, r.telling = b.engine, b.clock, b.hub.Publish, b.manager.reloading
	return b
}

// open opens whatever needs privileges, in an order in which nothing is missed:
// what leads frames past the box before what takes them, and the calls of
// before the first frame. Nothing is done to NICs that are another box's.
func (b *runningBox) open() (err error) {
	b.server, err = status.Listen(status.Options{
		Socket: b.conf.Status.Socket, Source: b, Version: buildVersion(), Log: b.log,
		Actions: map[string]status.Action{reloadPath: b.reloads.action, bypassOffPath: b.endBypass},
	})
	if err != nil {
		return err
	}
	if b.neighbour, err = openNeighbour(b.conf, b.hub, b.clock, b.log); err != nil {
		return err
	}
	if b.fanout, err = openFanout(b.conf); err != nil {
		return err
	}
	options := linkOptions(b.conf, b.fanout, b.hub, b.clock, b.log)
	options.OnClaim, options.OnOpen, options.OnEvent = b.openBypass, b.attach, b.onLink(options.OnEvent)
	if b.links, err = links.New(options); err != nil {
		return err
	}
	b.state = openState(b)
	b.state.restore()
	return nil
}

// run carries frames until ctx is done or a part of the box fails for good.
func (b *runningBox) run(ctx context.Context, hangups <-chan os.Signal) error {
	frames := bridge.NewBox(bridge.Options{
		LAN: portsOf(b.links, track.LAN), WAN: portsOf(b.links, track.WAN), Engine: b.engine, Clock: b.clock, Guards: b.guards(),
	})
	b.log.Info("carrying frames", "lan", b.conf.Bridge.LAN, "wan", b.conf.Bridge.WAN, "socket", b.conf.Status.Socket, "version", buildVersion().String())
	b.carried = true
	makeRoomForWorkers(b.conf.Bridge.Workers)
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{
		frames.Run, b.links.Run, b.server.Serve, b.state.run, b.watchBypass, b.answerARP,
		func(ctx context.Context) error { return b.manager.follow(ctx, watched{frames.Cycles, b.summary}) },
		func(ctx context.Context) error { return b.reloads.onHangup(ctx, hangups) },
	} {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}

// close leaves calls to the next box and the wire as the configuration has it.
func (b *runningBox) close() (err error) {
	b.state.close()
	b.closeBypass()
	if b.links != nil {
		err = b.links.Close()
	}
	err = errors.Join(err, closeFanout(b.fanout), b.closeNeighbour())
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	b.endLog()
	if stats := b.engine.Stats(); b.carried {
		b.log.Info("stopped", "frames", stats.Frames, "forwarded", stats.Forwarded, "rewritten", stats.Rewritten, "dropped", stats.Dropped)
	}
	return err
}

var _ status.Source = (*runningBox)(nil)

// Calls implements status.Source.
func (b *runningBox) Calls() []track.Call { return b.engine.Calls() }

// Expectations implements status.Source.
func (b *runningBox) Expectations() []track.Expectation { return b.engine.Expectations() }

// Subscribe implements status.Source.
func (b *runningBox) Subscribe() (status.Next, func()) { return b.hub.Subscribe() }

// Stats implements status.Source.
func (b *runningBox) Stats() any {
	s := boxStats{Stats: b.engine.Stats(), EventsMissed: b.hub.Missed(), Ports: make(map[string]portStats), Bypass: b.bypassStatus()}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		ports := b.links.Ports(side)
		port, n := ports[0], links.SumStats(ports)
		s.Ports[side.String()] = portStats{
			NIC: port.Name(), MTU: port.MTU(), Backend: string(port.Backend()), Received: n.Received, Copied: n.Copied, Sent: n.Sent,
			KernelDrops: n.Drops, Freezes: n.Freezes, Unreadable: n.Unreadable, Truncated: n.Truncated, Refused: n.Refused,
		}
	}
	return s
}
