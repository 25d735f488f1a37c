package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// patience bounds every wait of the tests.
const patience = 30 * time.Second

// runInBackground runs "grewire run" in the namespace of the box and returns when it
// carries frames. The log goes to lines; stop interrupts it and returns the
// exit code.
func runInBackground(t *testing.T, ns *bridgetest.Namespace, config string) (lines <-chan string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		p := &program{in: strings.NewReader(""), out: io.Discard, err: writer}
		if err := ns.Do(func() error { code <- p.main(ctx, []string{"run", "-config", config}); return nil }); err != nil {
			t.Error(err)
		}
	}()
	log := make(chan string, 1000)
	go func() {
		defer close(log)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			log <- scanner.Text()
		}
	}()
	t.Cleanup(cancel)
	waitLine(t, log, "carrying frames")
	return log, func() int { cancel(); return <-code }
}

// waitLine reads the log up to a line that has all the parts.
func waitLine(t *testing.T, log <-chan string, parts ...string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, more := <-log:
			if !more {
				t.Fatalf("the log ends without %q", parts)
			}
			if containsAll(line, parts) {
				return line
			}
		case <-deadline:
			t.Fatalf("no %q in the log", parts)
		}
	}
}

func containsAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// TestRun carries real traffic between two namespaces and asks the box about
// it.
func TestRun(t *testing.T) {
	lab := bridgetest.New(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "new", "s.sock")
	config := write(t, "grewire.toml", fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n[status]\nsocket = %q\nstate = ''\n", bridgetest.LANNIC, bridgetest.WANNIC, socket))
	log, stop := runInBackground(t, top.Box, config)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := top.Client.Run(ctx, "ping", "-c", "3", "-i", "0.2", "-w", "10", bridgetest.ServerAddr); err != nil {
		t.Error(err)
	}
	var stats boxStats
	got := grewire(t, "stats", "-json", "-socket", socket)
	if err := json.Unmarshal([]byte(got.out), &stats); err != nil || got.code != exitOK {
		t.Fatalf("stats: exit code %d, %v: %s%s", got.code, err, got.out, got.errors)
	}
	if stats.Frames < 6 || stats.Forwarded+stats.Rewritten+stats.Dropped != stats.Frames || stats.Ports["lan"].Received < 3 {
		t.Errorf("stats: %s", got.out)
	}
	if got := within(t, top.Box, "run", "-config", config); got.code != exitFailed || !strings.Contains(got.errors, "another grewire is running there") {
		t.Errorf("a second box: exit code %d: %s", got.code, got.errors)
	}
	if err := top.Box.SetDown(bridgetest.WANNIC); err != nil {
		t.Fatal(err)
	}
	waitLine(t, log, "link-down (wan)")
	if got := grewire(t, "calls", "-socket", socket); got.out != "no calls\n" || got.code != exitOK {
		t.Errorf("calls: %+v", got)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d after an interrupt", code)
	}
	waitLine(t, log, "stopped")
	if got := grewire(t, "calls", "-socket", socket); got.code != exitFailed || !strings.Contains(got.errors, "no grewire is running there") {
		t.Errorf("after the stop: exit code %d: %s", got.code, got.errors)
	}
}

// TestRunRefuses: what keeps the box from running is said with what to do
// about it.
func TestRunRefuses(t *testing.T) {
	lab := bridgetest.New(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := lab.Namespace("odd")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Veth(odd, "small", odd, "large"); err != nil {
		t.Fatal(err)
	}
	if out, err := odd.Run(t.Context(), "ip", "link", "set", "dev", "small", "mtu", "1400"); err != nil {
		t.Fatal(out, err)
	}
	tests := []struct {
		name     string
		ns       *bridgetest.Namespace
		lan, wan string
		code     int
		want     string
	}{
		{"unknown NICs", top.Box, "nosuch0", "nosuch1", 1, "grewire run: nosuch1: there is no such NIC; `ip link`"},
		{"an address", top.Client, "eth0", "lo", 1, "grewire run: eth0: it has the IP address 10.77.0.11/24; remove it with"},
		{"unequal MTU", odd, "small", "large", 1, "make them equal with `ip link set dev small mtu 1500`"},
		{"the same NIC twice", top.Box, "lan", "lan", 2, "bridge.wan: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := write(t, "grewire.toml", fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n[status]\nsocket = %q\nstate = ''\n", test.lan, test.wan, filepath.Join(t.TempDir(), "s.sock")))
			got := within(t, test.ns, "run", "-config", config)
			if got.code != test.code || !strings.Contains(got.errors, test.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", got.code, test.code, test.want, got.errors)
			}
		})
	}
}

// TestRunningBoxStats: the box tells what its ports and its hub count.
func TestRunningBoxStats(t *testing.T) {
	lab := bridgetest.New(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	conf := config.Default()
	conf.Bridge.LAN, conf.Bridge.WAN = bridgetest.LANNIC, bridgetest.WANNIC
	box := &runningBox{hub: new(bridge.Hub), engine: bridge.NewEngine(trackOptions(&conf), func(track.Event) {})}
	err = top.Box.Do(func() (err error) {
		box.links, err = links.New(linkOptions(&conf, nil, box.hub, bridge.NewClock(), nil))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer box.links.Close()
	const more = 5
	_, cancel := box.Subscribe()
	defer cancel()
	for box.hub.Missed() < more {
		box.hub.Publish(track.Event{})
	}
	s := box.Stats().(boxStats)
	if s.EventsMissed != more || s.Ports["lan"].NIC != bridgetest.LANNIC || s.Ports["wan"].NIC != bridgetest.WANNIC {
		t.Errorf("stats %+v, want %d events missed", s, more)
	}
}
