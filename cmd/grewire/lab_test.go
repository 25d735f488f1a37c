package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// load is how long each iperf3 run lasts: go test ./cmd/grewire -args -load 20s
var load = flag.Duration("load", 2*time.Second, "how long each iperf3 run of the lab tests lasts")

// labBox is a real "grewire run" between real hosts in namespaces.
type labBox struct {
	t       *testing.T
	top     *bridgetest.Topology
	binary  string
	config  string // its file
	bridge  string // keys of [bridge] beside the NICs, a line each
	socket  string
	state   string // its file; none if empty
	process *bridgetest.Process
}

func startLab(t *testing.T, o bridgetest.InlineOption) *labBox {
	t.Helper()
	b := newLabBox(t, o, "")
	b.start()
	return b
}

// openLab opens a lab for a box that is a process of its own. The race detector
// does not see into it, so -short leaves out the tests that run one.
func openLab(t *testing.T) *bridgetest.Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the built program")
	}
	return bridgetest.New(t)
}

// newLabBox prepares a box that does not run yet. keys are added to its
// [bridge] table.
func newLabBox(t *testing.T, o bridgetest.InlineOption, keys string) *labBox {
	t.Helper()
	lab := openLab(t)
	top, err := bridgetest.Inline(lab, o)
	if err != nil {
		t.Fatal(err)
	}
	b := &labBox{
		t: t, top: top, bridge: keys,
		socket: filepath.Join(lab.Dir(), "grewire.sock"), config: filepath.Join(lab.Dir(), "grewire.toml"),
	}
	if b.binary, err = lab.Build("cmd/grewire"); err != nil {
		t.Fatal(err)
	}
	b.configure("")
	return b
}

// configure writes the box's configuration, with more tables in it than it
// needs.
func (b *labBox) configure(tables string) {
	b.t.Helper()
	text := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n%s[status]\nsocket = %q\nstate = %q\n%s",
		bridgetest.LANNIC, bridgetest.WANNIC, b.bridge, b.socket, b.state, tables)
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// start runs the box and waits until it carries frames.
func (b *labBox) start() {
	b.t.Helper()
	var err error
	if b.process, err = b.top.Box.Start(b.binary, "run", "-config", b.config); err != nil {
		b.t.Fatal(err)
	}
	b.waitFor("carrying frames")
}

// waitFor waits until the box has logged a text.
func (b *labBox) waitFor(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.process.WaitOutput(ctx, text); err != nil {
		b.t.Fatalf("%v\n%s", err, b.process.Output())
	}
}

// command runs a program in a namespace and fails the test if it fails. On a
// busy machine it has longer than its limit.
func (b *labBox) command(ns *bridgetest.Namespace, limit time.Duration, args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), max(limit, patience))
	defer cancel()
	out, err := ns.Run(ctx, args[0], args[1:]...)
	if err != nil {
		b.t.Fatalf("%v\nthe box said: %s", err, b.said())
	}
	return out
}

// said is what the box has logged; nothing where there is none.
func (b *labBox) said() string {
	if b.process == nil {
		return ""
	}
	return b.process.Output()
}

// ask runs a client command with -json and decodes what it prints.
func (b *labBox) ask(into any, command string) {
	b.t.Helper()
	out := b.command(b.top.Box, 10*time.Second, b.binary, command, "-json", "-socket", b.socket)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		b.t.Fatalf("grewire %s: %v in %s", command, err, out)
	}
}

// stop ends the box as an operator would, checks its counters and returns
// them.
func (b *labBox) stop() {
	b.t.Helper()
	var stats boxStats
	b.ask(&stats, "stats")
	sum := uint64(0)
	for _, n := range stats.Reasons {
		sum += n
	}
	if stats.Forwarded+stats.Rewritten+stats.Dropped != stats.Frames || sum != stats.Frames {
		b.t.Errorf("counters do not add up: %+v", stats.Totals)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.process.Stop(ctx); err != nil {
		b.t.Errorf("the box did not stop cleanly: %v\n%s", err, b.process.Output())
	}
}

// iperf is what iperf3 -J says that matters here.
type iperf struct {
	End struct {
		Sent struct {
			Bytes       float64 `json:"bytes"`
			BitsPerSec  float64 `json:"bits_per_second"`
			Retransmits float64 `json:"retransmits"`
		} `json:"sum_sent"`
		Received struct {
			Bytes float64 `json:"bytes"`
		} `json:"sum_received"`
		UDP struct {
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
		} `json:"sum"`
	} `json:"end"`
}

// forLoad is the argument that makes iperf3 run as long as -load says.
func forLoad() []string { return []string{"-t", fmt.Sprint(max(1, int(load.Seconds())))} }

// iperf runs iperf3 from the client to the server.
func (b *labBox) iperf(args ...string) (result iperf) {
	b.t.Helper()
	server, err := b.top.Server.Start("iperf3", "-s", "-1", "--forceflush")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), *load+30*time.Second)
	defer cancel()
	if err := server.WaitOutput(ctx, "listening"); err != nil {
		b.t.Fatal(err)
	}
	out := b.command(b.top.Client, *load+30*time.Second, append([]string{"iperf3", "-J", "-c", bridgetest.ServerAddr}, args...)...)
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		b.t.Fatalf("iperf3: %v in %s", err, out)
	}
	if err := server.Wait(ctx); err != nil {
		b.t.Fatal(err)
	}
	return result
}

// TestLabCable loads the box with what is not PPTP, on default veths: their
// offloads are on, so super-frames and unfinished checksums cross it.
func TestLabCable(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	b := startLab(t, bridgetest.InlineOption{})
	t.Log(lastLine(b.command(b.top.Client, time.Minute, "ping", "-q", "-c", "20", "-i", "0.05", bridgetest.ServerAddr)))
	for name, args := range map[string][]string{"TCP to the WAN": nil, "TCP to the LAN": {"-R"}} {
		r := b.iperf(append(forLoad(), args...)...).End
		segments := r.Sent.Bytes / 1448
		t.Logf("%s: %.2f Gbit/s, %.0f of %.0f segments sent again", name, r.Sent.BitsPerSec/1e9, r.Sent.Retransmits, segments)
		if r.Received.Bytes == 0 || r.Sent.Retransmits > segments/100 {
			t.Errorf("%s: %.0f octets received, %.0f of %.0f segments sent again", name, r.Received.Bytes, r.Sent.Retransmits, segments)
		}
	}
	for name, args := range map[string][]string{"UDP to the WAN": {"-u", "-b", "200M"}, "UDP to the LAN": {"-u", "-b", "200M", "-R"}} {
		before := b.unread()
		r := b.iperf(append(forLoad(), args...)...).End.UDP
		unread := b.unread() - before
		t.Logf("%s: %.0f of %.0f datagrams lost, %.0f of them by a busy receiver", name, r.Lost, r.Packets, unread)
		if r.Packets == 0 || r.Lost-unread > r.Packets/20 {
			t.Errorf("%s: %.0f of %.0f datagrams lost, %.0f of them by a busy receiver", name, r.Lost, r.Packets, unread)
		}
	}
	b.checkNothingLost()
	b.stop()
}

// unread is how many datagrams the kernels of client and server have dropped
// because iperf3 did not read them in time (RcvbufErrors).
func (b *labBox) unread() (sum float64) {
	b.t.Helper()
	for _, ns := range []*bridgetest.Namespace{b.top.Client, b.top.Server} {
		lines := regexp.MustCompile(`(?m)^Udp: (.*)$`).FindAllStringSubmatch(b.command(ns, time.Minute, "cat", "/proc/net/snmp"), -1)
		if len(lines) != 2 {
			b.t.Fatal("no UDP counters in /proc/net/snmp")
		}
		at := slices.Index(strings.Fields(lines[0][1]), "RcvbufErrors")
		n, err := strconv.ParseFloat(strings.Fields(lines[1][1])[at], 64)
		if err != nil {
			b.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// checkNothingLost asks the box whether every frame that came in by one port
// left by the other.
func (b *labBox) checkNothingLost() {
	b.t.Helper()
	var stats boxStats
	b.ask(&stats, "stats")
	lan, wan := stats.Ports["lan"], stats.Ports["wan"]
	b.t.Logf("lan: %d received, %d sent, %d dropped by the kernel; wan: %d, %d, %d",
		lan.Received, lan.Sent, lan.KernelDrops, wan.Received, wan.Sent, wan.KernelDrops)
	if stats.Dropped != 0 || lan.Received == 0 || wan.Received == 0 {
		b.t.Errorf("the box dropped %d of %d frames: %v", stats.Dropped, stats.Frames, stats.Reasons)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestLabChecksums captures at the receivers. The box passes unfinished
// checksums on, to be finished by its own NICs: with their offload off, that
// is before the frames are on the wire, where tcpdump can judge them.
func TestLabChecksums(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	b := startLab(t, bridgetest.InlineOption{})
	for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		if err := b.top.Box.OffloadsOff(nic); err != nil {
			t.Fatal(err)
		}
	}
	captures := map[*bridgetest.Namespace]string{}
	var running []*bridgetest.Capture
	for _, ns := range []*bridgetest.Namespace{b.top.Client, b.top.Server} {
		captures[ns] = filepath.Join(b.top.Lab.Dir(), ns.String()+".pcap")
		c, err := ns.Capture(bridgetest.HostNIC, captures[ns])
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, c)
	}
	b.command(b.top.Client, time.Minute, "ping", "-q", "-c", "5", "-i", "0.05", "-s", "3000", bridgetest.ServerAddr)
	b.iperf("-n", "5M", "-b", "200M")
	b.iperf("-n", "5M", "-b", "200M", "-R")
	b.iperf("-u", "-b", "20M", "-l", "1400", "-n", "2M")
	for _, c := range running {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	b.checkSums(captures[b.top.Server], bridgetest.ClientAddr(0))
	b.checkSums(captures[b.top.Client], bridgetest.ServerAddr)
	b.stop()
}

// badSum is how tcpdump -vv speaks of the wrong checksums of IP, TCP, UDP and
// ICMP.
var badSum = regexp.MustCompile(`\(incorrect|bad (udp )?cksum|wrong (icmp )?cksum`)

// checkSums lets tcpdump judge the checksum of every frame in a capture that
// came from a host.
func (b *labBox) checkSums(path, from string) {
	b.t.Helper()
	out := b.command(b.top.Box, 2*time.Minute, "tcpdump", "-Z", "root", "-nvv", "-r", path, "src host "+from)
	bad, good := 0, strings.Count(out, "(correct)")+strings.Count(out, "udp sum ok")
	for line := range strings.Lines(out) {
		if badSum.MatchString(line) {
			if bad++; bad <= 3 {
				b.t.Logf("bad checksum: %s", line)
			}
		}
	}
	b.t.Logf("%s: %d good checksums, %d bad", filepath.Base(path), good, bad)
	if bad > 0 || good == 0 {
		b.t.Errorf("%s has %d good and %d bad checksums from %s", filepath.Base(path), good, bad, from)
	}
}

// TestLabCalls takes three real clients, all with the same call ID, through
// the box to a real server.
func TestLabCalls(t *testing.T) {
	t.Parallel()
	testLabCalls(t, "")
}

func testLabCalls(t *testing.T, keys string) {
	b := newLabBox(t, bridgetest.InlineOption{Clients: 3}, keys)
	b.start()
	server, err := bridgetest.StartServer(b.top.Server)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	callID := uint16(0x1234)
	var clients []*bridgetest.Client
	for _, ns := range b.top.Clients {
		c, err := bridgetest.Dial(ns, bridgetest.ServerAddr, bridgetest.DialOptions{
			CallID: &callID, Pings: bridgetest.Pings{Count: 10, Sizes: []int{0, 56, 1372}, Interval: 20 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for i, c := range clients {
		report, err := c.Pinged(ctx)
		if err != nil {
			t.Fatalf("client %d: %v\n%s\nthe box said: %s", i, err, c.Log(), b.process.Output())
		}
		if report.Sent != 10 || report.Answered != 10 {
			t.Errorf("client %d: %d pings, %d answered, want 10 of each", i, report.Sent, report.Answered)
		}
	}
	var calls []track.Call
	b.ask(&calls, "calls")
	b.checkCalls(calls, callID)
	for _, c := range clients {
		if _, err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
	}
	b.waitNoCalls(ctx)
	server.Kill()
	b.stop()
}

func (b *labBox) checkCalls(calls []track.Call, callID uint16) {
	b.t.Helper()
	if len(calls) != len(b.top.Clients) {
		b.t.Fatalf("the box lists %d calls, want %d", len(calls), len(b.top.Clients))
	}
	var hosts []string
	for _, c := range calls {
		hosts = append(hosts, c.PNS.Addr.String())
		if c.State != track.CallActive || c.PNS.CallID != callID || c.PNS.Side != track.LAN || c.PAC.Addr.String() != bridgetest.ServerAddr {
			b.t.Errorf("a call is listed as %+v", c)
		}
		if c.LANToWAN.Packets < 10 || c.WANToLAN.Packets < 10 {
			b.t.Errorf("call %d has %d packets to the WAN and %d to the LAN, want 10 pings' at least", c.ID, c.LANToWAN.Packets, c.WANToLAN.Packets)
		}
	}
	slices.Sort(hosts)
	if len(slices.Compact(hosts)) != len(calls) {
		b.t.Errorf("the calls are of the hosts %v, want one each", hosts)
	}
}

// waitNoCalls waits until the box lists no calls; it is told of what ends by
// the box's log, which has a line for each.
func (b *labBox) waitNoCalls(ctx context.Context) {
	b.t.Helper()
	for i := range b.top.Clients {
		if err := b.process.WaitOutput(ctx, fmt.Sprintf("call-ended call %d", i+1)); err != nil {
			b.t.Fatal(err)
		}
	}
	var calls []track.Call
	if b.ask(&calls, "calls"); len(calls) != 0 {
		b.t.Errorf("%d calls are left after all hung up", len(calls))
	}
}
