package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
)

// bypassLab is a real box and a stream each way across it.
type bypassLab struct {
	*labBox
	config  string
	streams [2]*bridgetest.Stream // by the side they come in by
	stalls  *bridgetest.Stalls
	changes []switched
}

// newBypassLab prepares a box that does not run yet. keys are added to its
// [bridge] table, a line each.
func newBypassLab(t *testing.T, fail string, keys ...string) *bypassLab {
	t.Helper()
	lab := openLab(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	b := &bypassLab{labBox: &labBox{t: t, top: top, socket: filepath.Join(lab.Dir(), "grewire.sock")}, config: filepath.Join(lab.Dir(), "grewire.toml")}
	if b.binary, err = lab.Build("cmd/grewire"); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\nfail = %q\n%s\n[status]\nsocket = %q\n", bridgetest.LANNIC, bridgetest.WANNIC, fail, strings.Join(keys, "\n"), b.socket)
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs the box, by a wrapper if one is given.
func (b *bypassLab) start(wrapper ...string) {
	b.t.Helper()
	args := append(wrapper, b.binary, "run", "-config", b.config)
	var err error
	if b.process, err = b.top.Box.Start(args[0], args[1:]...); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.process.WaitOutput(ctx, "carrying frames"); err != nil {
		b.t.Fatal(err)
	}
}

// stream starts the streams and waits until they flow.
func (b *bypassLab) stream() {
	b.t.Helper()
	const pace = 500 * time.Microsecond
	b.stalls = bridgetest.WatchStalls()
	b.t.Cleanup(b.stalls.Stop)
	var err error
	if b.streams[0], err = bridgetest.StartStream(b.top.Client, b.top.Server, bridgetest.ServerAddr, 4000, pace); err == nil {
		b.streams[1], err = bridgetest.StartStream(b.top.Server, b.top.Client, bridgetest.ClientAddr(0), 4000, pace)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.flow(200)
}

// flow waits until n more datagrams have arrived at both ends.
func (b *bypassLab) flow(n int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for _, s := range b.streams {
		if _, err := s.Wait(ctx, n); err != nil {
			b.t.Fatalf("%v\nthe box said: %s", err, b.process.Output())
		}
	}
}

// switched is when something was done to the box, and what it may cost.
type switched struct {
	what     string
	from, to time.Time
	most     time.Duration // without traffic
}

// during does something to the box and notes when it began and was over.
func (b *bypassLab) during(what string, most time.Duration, do func()) {
	b.t.Helper()
	from := time.Now()
	do()
	b.changes = append(b.changes, switched{what, from, time.Now(), most})
	b.flow(600)
}

// silenced is how long there was no traffic from a side because of something.
type silenced struct {
	switched
	side   string
	lasted time.Duration
	stalls time.Duration // of it, threads had to wait for their turn: not the box's
}

// outcome ends the streams and returns what became of them, by the side they
// came in by, and how long there was no traffic.
func (b *bypassLab) outcome() (results [2]bridgetest.StreamResult, silences []silenced) {
	b.t.Helper()
	for side, s := range b.streams {
		var err error
		if results[side], err = s.Stop(); err != nil {
			b.t.Error(err)
		}
		for _, m := range b.changes {
			gap, began := results[side].Gap(m.from.Add(-10*time.Millisecond), m.to.Add(100*time.Millisecond))
			silences = append(silences, silenced{m, sideNames[side], gap, b.stalls.Between(began, began.Add(gap))})
		}
	}
	return results, silences
}

// finish ends the streams and checks that nothing came twice or late, and how
// long there was no traffic.
func (b *bypassLab) finish() {
	b.t.Helper()
	results, silences := b.outcome()
	for side, r := range results {
		b.t.Logf("from %s: %d sent, %d lost, %d twice, %d late", sideNames[side], r.Sent, r.Lost(), r.Duplicates, r.Late)
		if r.Duplicates != 0 || r.Late != 0 {
			b.t.Errorf("from %s: %d datagrams came twice, %d late; longest stall of the machine %v", sideNames[side], r.Duplicates, r.Late, b.stalls.Longest())
		}
	}
	for _, s := range silences {
		b.t.Logf("%s: %v without traffic from %s; stalls of the machine meanwhile: %v", s.what, s.lasted.Round(100*time.Microsecond), s.side, s.stalls.Round(100*time.Microsecond))
		if s.lasted > s.most+s.stalls {
			b.t.Errorf("%s: %v without traffic from %s, want at most %v and %v of stalls", s.what, s.lasted, s.side, s.most, s.stalls)
		}
	}
}

// The longest times without traffic that the box promises.
const (
	atLoss     = 150 * time.Millisecond
	atHandBack = 20 * time.Millisecond
)

// bypass runs the command and returns what it prints.
func (b *bypassLab) bypass(what string) (s bypassStatus) {
	b.t.Helper()
	out := b.command(b.top.Box, 20*time.Second, b.binary, "bypass", what, "-json", "-config", b.config)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("grewire bypass %s: %v in %s", what, err, out)
	}
	return s
}

// until asks for the status until it is so.
func (b *bypassLab) until(what string, is func(bypassStatus) bool) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s := b.bypass("status")
		if is(s) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never %s: %+v\nthe box said: %s", what, s, b.process.Output())
		}
	}
}

func bothBecause(cause string) func(bypassStatus) bool {
	return func(s bypassStatus) bool { return s.Sides["lan"].Cause == cause && s.Sides["wan"].Cause == cause }
}

func carried(s bypassStatus) bool { return !s.Bypassing() }

// promiscuous reports whether somebody has set the box's LAN NIC so, other than
// by a packet socket.
func (b *bypassLab) promiscuous() bool {
	b.t.Helper()
	link, err := b.top.Box.Netlink().LinkByName(bridgetest.LANNIC)
	if err != nil {
		b.t.Fatal(err)
	}
	return link.Attrs().RawFlags&unix.IFF_PROMISC != 0
}

// event waits for a line of the box's log.
func (b *bypassLab) event(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.process.WaitOutput(ctx, text); err != nil {
		b.t.Fatal(err)
	}
}

// TestLabFailOpen stops, continues, kills and restarts a box that fails open,
// and ends it in good order: frames pass all the while.
func TestLabFailOpen(t *testing.T) { testLabFailOpen(t) }

func testLabFailOpen(t *testing.T, keys ...string) {
	b := newBypassLab(t, "open", keys...)
	b.start()
	b.stream()

	b.during("SIGSTOP", atLoss, func() {
		b.signal(syscall.SIGSTOP)
		b.until("past a stopped box", bothBecause(bypass.CauseNoHeartbeat))
	})
	b.during("SIGCONT", atHandBack, func() {
		b.signal(syscall.SIGCONT)
		b.until("carrying again", carried)
	})
	b.event("bypass-on frames from lan (no-heartbeat)")
	b.event("bypass-off frames from lan (no-heartbeat)")
	var stats boxStats
	b.ask(&stats, "stats")
	if s := stats.Bypass; s == nil || s.Fail != "open" || s.Sides["lan"].Redirected.Frames < 500 || s.Sides["wan"].Redirected.Frames < 500 {
		t.Errorf("stats after the stop: %+v", stats.Bypass)
	}
	if stats.Sides["lan"].Reasons["bypassed"] < 500 {
		t.Errorf("reasons after the stop: %v, want what went past as bypassed", stats.Sides["lan"].Reasons)
	}

	b.during("SIGKILL", atLoss, func() {
		b.process.Kill()
		b.until("past a killed box", func(s bypassStatus) bool { return !s.Running && bothBecause(bypass.CauseNoHeartbeat)(s) })
	})
	if !b.promiscuous() {
		t.Error("the NIC of a dead box filters by address")
	}
	before := b.bypass("status").Sides["lan"].Redirected.Frames
	b.during("restart", atHandBack, func() {
		b.start()
		b.until("carrying again", carried)
	})
	b.event("frames went past the box")
	if now := b.bypass("status").Sides["lan"].Redirected.Frames; now < before {
		t.Errorf("the new box did not take over the state: %d frames redirected, were %d", now, before)
	}

	b.during("good end", atHandBack, func() {
		b.stop()
		b.until("past a box that has stopped", bothBecause(bypass.CauseStopped))
	})
	b.finish()

	if s := b.bypass("off"); s.Sides["lan"].Attached || b.promiscuous() {
		t.Errorf("after bypass off without a box: %+v, promiscuous %v", s, b.promiscuous())
	}
	b.silence()
}

func (b *bypassLab) signal(sig syscall.Signal) {
	b.t.Helper()
	if err := b.process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
}

// silence checks that nothing passes: the server sees no frame of the client.
func (b *bypassLab) silence() {
	b.t.Helper()
	path := filepath.Join(b.top.Lab.Dir(), "silence.pcap")
	capture, err := b.top.Server.Capture(bridgetest.HostNIC, path)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if out, err := b.top.Client.Run(ctx, "ping", "-q", "-c", "5", "-i", "0.1", "-W", "1", bridgetest.ServerAddr); err == nil {
		b.t.Errorf("a ping gets through: %s", out)
	}
	if err := capture.Stop(); err != nil {
		b.t.Fatal(err)
	}
	out := b.command(b.top.Box, 20*time.Second, "tcpdump", "-Z", "root", "-nr", path, "ether", "src", b.top.Client.HardwareAddr(bridgetest.HostNIC).String())
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "reading from file") {
			b.t.Errorf("the server sees %s", line)
		}
	}
}

// TestLabFailClosed: nothing passes a box that fails closed and is stopped,
// killed or ended. The host stays out in every state but the last.
func TestLabFailClosed(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "closed")
	// A host that would answer, and forward.
	const hostAddr = "10.99.0.1"
	for _, err := range []error{b.top.Box.Address("lo", hostAddr+"/32"), b.top.Box.Sysctl("net.ipv4.ip_forward", "1")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var listener net.Listener
	if err := b.top.Box.Do(func() (err error) { listener, err = net.Listen("tcp4", "0.0.0.0:9"); return err }); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	mac := b.top.Box.HardwareAddr(bridgetest.LANNIC).String()
	b.command(b.top.Client, 5*time.Second, "ip", "route", "add", hostAddr, "dev", bridgetest.HostNIC)
	b.command(b.top.Client, 5*time.Second, "ip", "neigh", "replace", hostAddr, "lladdr", mac, "dev", bridgetest.HostNIC)
	b.command(b.top.Box, 5*time.Second, "ip", "route", "add", bridgetest.ClientAddr(0), "dev", bridgetest.LANNIC)
	answers := func() bool {
		return b.top.Client.Do(func() error {
			c, err := net.DialTimeout("tcp4", hostAddr+":9", time.Second)
			if err == nil {
				c.Close()
			}
			return err
		}) == nil
	}
	if !answers() {
		t.Fatal("the host does not answer without a box: the test would see nothing")
	}
	b.start()
	b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "3", "-i", "0.1", bridgetest.ServerAddr)
	quiet := func(when string) {
		t.Helper()
		if answers() {
			t.Errorf("the host answers, %s", when)
		}
	}
	quiet("while the box runs")
	var stats boxStats
	if b.ask(&stats, "stats"); stats.Bypass == nil || stats.Bypass.Fail != "closed" || stats.Bypass.Bypassing() {
		t.Errorf("stats of a box that fails closed: %+v", stats.Bypass)
	}
	if b.promiscuous() {
		t.Error("a box that fails closed has set promiscuous mode")
	}

	b.signal(syscall.SIGSTOP)
	b.silence()
	quiet("while the box is stopped")
	b.signal(syscall.SIGCONT)
	b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "3", "-i", "0.1", bridgetest.ServerAddr)

	b.process.Kill()
	b.silence()
	quiet("after the box was killed")
	if s := b.bypass("status"); s.Running || s.Fail != "closed" || !s.Sides["lan"].Attached || s.Bypassing() {
		t.Errorf("status of a killed box: %+v", s)
	}
	b.start()
	b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "3", "-i", "0.1", bridgetest.ServerAddr)
	b.stop()
	if s := b.bypass("status"); s.Running || s.Sides["lan"].Attached {
		t.Errorf("status of a box that has stopped: %+v", s)
	}
	if !answers() {
		t.Error("the programs stay behind a box that fails closed")
	}
}

// TestLabBypassCommand takes a running box out of the path and back, and does
// without a box.
func TestLabBypassCommand(t *testing.T) { testLabBypassCommand(t) }

func testLabBypassCommand(t *testing.T, keys ...string) {
	b := newBypassLab(t, "closed", keys...)
	b.start()
	b.stream()
	b.during("bypass on", atHandBack, func() {
		if s := b.bypass("on"); !s.Running || !s.Forced || !bothBecause(bypass.CauseForced)(s) {
			t.Errorf("bypass on: %+v", s)
		}
	})
	b.event("bypass-on frames from wan (forced)")
	b.during("bypass off", atHandBack, func() {
		if s := b.bypass("off"); !s.Running || s.Forced || s.Bypassing() {
			t.Errorf("bypass off: %+v", s)
		}
	})
	b.event("bypass-off frames from wan (forced)")

	// Maintenance: the box stops and starts while frames go past.
	b.bypass("on")
	b.during("stop and start in a forced bypass", atHandBack, func() {
		b.stop()
		b.start()
	})
	if s := b.bypass("status"); !s.Running || !s.Forced || !s.Bypassing() {
		t.Errorf("a forced bypass after a restart: %+v", s)
	}
	b.bypass("off")
	b.flow(600)
	b.finish()
	b.stop()

	// Without any box.
	if s := b.bypass("on"); s.Running || !s.Bypassing() || !b.promiscuous() {
		t.Errorf("bypass on without a box: %+v", s)
	}
	b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "3", "-i", "0.1", bridgetest.ServerAddr)
	text := b.command(b.top.Box, 5*time.Second, b.binary, "bypass", "status", "-config", b.config)
	if !strings.Contains(text, "not running") || !strings.Contains(text, "forced") {
		t.Errorf("bypass status says %s", text)
	}
	if s := b.bypass("off"); s.Sides["wan"].Attached || s.Bypassing() || b.promiscuous() {
		t.Errorf("bypass off without a box: %+v", s)
	}
	b.silence()
}

// TestLabBypassOneNIC: the command works while a NIC is gone, with a box and
// without.
func TestLabBypassOneNIC(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "closed")
	b.start()
	if err := b.top.Box.Delete(bridgetest.WANNIC); err != nil {
		t.Fatal(err)
	}
	b.event("nic-gone (wan)")
	forced := func(s bypassStatus) bool { return s.Forced && s.Sides["lan"].Attached && !s.Sides["wan"].Attached }
	if s := b.bypass("on"); !s.Running || !forced(s) || !b.promiscuous() {
		t.Errorf("bypass on with a box: %+v", s)
	}
	if s := b.bypass("off"); s.Forced || s.Bypassing() || b.promiscuous() {
		t.Errorf("bypass off with a box: %+v", s)
	}
	b.process.Kill()
	if s := b.bypass("on"); s.Running || !forced(s) || !b.promiscuous() {
		t.Errorf("bypass on without a box: %+v", s)
	}
	if s := b.bypass("off"); s.Sides["lan"].Attached || s.Forced || b.promiscuous() {
		t.Errorf("bypass off without a box: %+v", s)
	}
	if s := b.bypass("on"); !forced(s) || !b.promiscuous() { // now there is nothing of a box
		t.Errorf("bypass on without a trace of a box: %+v", s)
	}
	b.bypass("off")
}

// TestLabNoBypass runs the box without the capabilities that kernel programs
// need: closed works, with a warning; open is refused.
func TestLabNoBypass(t *testing.T) {
	t.Parallel()
	without := []string{"setpriv", "--bounding-set", "-bpf,-sys_admin"}
	b := newBypassLab(t, "closed")
	b.start(without...)
	b.event("CAP_BPF")
	b.command(b.top.Client, 20*time.Second, "ping", "-q", "-c", "3", "-i", "0.1", bridgetest.ServerAddr)
	b.stop()

	b = newBypassLab(t, "open")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := b.top.Box.Run(ctx, without[0], append(without[1:], b.binary, "run", "-config", b.config)...)
	if err == nil || !strings.Contains(out, `bridge.fail = "open" cannot be had here`) || !strings.Contains(out, "CAP_BPF") {
		t.Errorf("run with fail = open and no CAP_BPF: %v, %s", err, out)
	}
	out, _ = b.top.Box.Run(ctx, without[0], append(without[1:], b.binary, "check", "-config", b.config)...)
	if !strings.Contains(out, "warning: no bypass: missing CAP_BPF") {
		t.Errorf("check without CAP_BPF says %s", out)
	}
}

// TestLabFewCapabilities runs a box that may attach programs but not look at
// those of an earlier one: it puts its own in their place, and works.
func TestLabFewCapabilities(t *testing.T) {
	without := []string{"setpriv", "--bounding-set", "-sys_admin"}
	b := newBypassLab(t, "open")
	b.start(without...)
	b.stream()
	b.process.Kill()
	b.until("past a killed box", bothBecause(bypass.CauseNoHeartbeat))
	b.flow(600)
	b.start(without...)
	b.until("carrying again", carried)
	b.flow(600)
	b.finish()
	b.stop()
	b.bypass("off")
	b.silence()
}
