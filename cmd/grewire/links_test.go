package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/nic"
)

// pollEvery is the time between two looks at what tells nobody that it changes.
const pollEvery = 10 * time.Millisecond

// says waits for the box to say something for the n-th time.
func (b *labBox) says(n int, what string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.process.WaitCount(ctx, what, n); err != nil {
		b.t.Fatalf("%q is not said %d times: %v\n%s", what, n, err, b.process.Output())
	}
}

// count counts the events of a kind that the box has logged.
func (b *labBox) count(event string) int {
	return strings.Count(b.process.Output(), fmt.Sprintf(`"event":%q,"detail"`, event))
}

// ping checks that the client reaches the server, soon.
func (b *labBox) ping() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for {
		// It gives up when the other's MAC address is not to be found.
		_, err := b.top.Client.Run(ctx, "ping", "-q", "-c", "1", "-i", "0.1", "-w", "20", bridgetest.ServerAddr)
		if err == nil {
			return
		} else if ctx.Err() != nil {
			b.t.Fatalf("%v\nthe box said: %s", err, b.said())
		}
	}
}

// cpuTime is what a process has used of the CPU, user and system
// (proc_pid_stat(5), in ticks of 10 ms).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] { // 14 and 15, counted from 1
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// descriptors counts those of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// idle checks that the box uses next to no CPU.
func (b *labBox) idle(while string) {
	b.t.Helper()
	const measured = 2 * time.Second
	before := cpuTime(b.t, b.process.PID())
	<-time.After(measured)                                                 // this is a measurement, not a wait for something
	if used := cpuTime(b.t, b.process.PID()) - before; used > measured/5 { // one that spins uses all of it
		b.t.Errorf("%s the box used %v of the CPU in %v", while, used, measured)
	} else {
		b.t.Logf("%s the box used %v of the CPU in %v", while, used, measured)
	}
}

// TestLabMissingNIC: while a NIC is missing the box is idle, and when it is
// back all is as before, and nothing is left open.
func TestLabMissingNIC(t *testing.T) {
	t.Parallel()
	b := startLab(t, bridgetest.InlineOption{})
	b.ping()
	pid := b.process.PID()
	files := descriptors(t, pid)
	const rounds = 3
	for round := 1; round <= rounds; round++ {
		if err := b.top.Box.SetDown(bridgetest.WANNIC); err != nil {
			t.Fatal(err)
		}
		b.says(round, `"event":"link-down","detail"`)
		if round == 1 {
			b.idle("with a NIC down")
		}
		if err := b.top.Box.Delete(bridgetest.WANNIC); err != nil {
			t.Fatal(err)
		}
		b.says(round, `"event":"nic-gone","detail"`)
		if round == 1 {
			b.idle("with a NIC gone")
		}
		if err := b.top.Lab.Veth(b.top.Server, bridgetest.HostNIC, b.top.Box, bridgetest.WANNIC); err != nil {
			t.Fatal(err)
		}
		if err := b.top.Server.Address(bridgetest.HostNIC, bridgetest.ServerAddr+"/24"); err != nil {
			t.Fatal(err)
		}
		b.command(b.top.Client, time.Minute, "ip", "neigh", "flush", "all") // the server has a new MAC address
		b.ping()
	}
	events := []string{"link-down", "nic-gone", "nic-back", "link-up"}
	for _, event := range events {
		b.says(rounds, fmt.Sprintf(`"event":%q,"detail"`, event))
	}
	n := descriptors(t, pid)
	for deadline := time.Now().Add(patience); n != files && time.Now().Before(deadline); n = descriptors(t, pid) {
		<-time.After(pollEvery) // some are a request's or a log line's
	}
	if n != files {
		t.Errorf("%d descriptors, %d before", n, files)
	}
	b.stop()
	for _, event := range events {
		if n := b.count(event); n != rounds {
			t.Errorf("%d events %s, want %d\n%s", n, event, rounds, b.process.Output())
		}
	}
}

// boxNIC is how a NIC of the box is.
func (b *labBox) boxNIC(name string) (s nic.State) {
	b.t.Helper()
	err := b.top.Box.Do(func() error {
		links, err := nic.NewLinks()
		if err != nil {
			return err
		}
		defer links.Close()
		s, err = links.ByName(name)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// TestLabLinkPropagation pulls the server's cable: the client's goes too, and
// both come back, also when the box is killed or stopped meanwhile.
func TestLabLinkPropagation(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{}, "link_propagation = true\n")
	b.start()
	b.ping()
	pull := func() {
		t.Helper()
		if err := b.top.Server.SetDown(bridgetest.HostNIC); err != nil {
			t.Fatal(err)
		}
		b.says(1, "link propagation takes it down")
		b.says(2, `"event":"link-down","detail"`)
		if s := b.boxNIC(bridgetest.LANNIC); s.Up || !s.LeftDown {
			t.Fatalf("lan is %+v with the server's cable out", s)
		}
	}
	plug := func() {
		t.Helper()
		if err := b.top.Server.SetUp(bridgetest.HostNIC); err != nil {
			t.Fatal(err)
		}
	}
	pull()
	b.idle("with both sides down")
	plug()
	b.ping()
	events := []string{"link-down", "link-up"}
	for _, event := range events {
		b.says(2, fmt.Sprintf(`"event":%q,"detail"`, event))
	}
	b.stop()
	for _, event := range events {
		if n := b.count(event); n != 2 {
			t.Errorf("%d events %s, want one of each side", n, event)
		}
	}

	b.start()
	pull()
	b.process.Kill()
	if s := b.boxNIC(bridgetest.LANNIC); s.Up || !s.LeftDown {
		t.Errorf("lan is %+v after the kill", s)
	}
	plug()
	b.start()
	b.ping()
	if s := b.boxNIC(bridgetest.LANNIC); !s.Up || s.LeftDown {
		t.Errorf("lan is %+v after a new start", s)
	}
	pull()
	b.stop()
	if s := b.boxNIC(bridgetest.LANNIC); !s.Up || s.LeftDown {
		t.Errorf("lan is %+v after the stop", s)
	}
}

// TestOffloadsAreTold: check and run say what each offload means.
func TestOffloadsAreTold(t *testing.T) {
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := top.Box.Run(t.Context(), "ethtool", "-K", bridgetest.LANNIC, "gro", "on"); err != nil {
		t.Fatal(out, err)
	}
	// The socket cannot be made, so that run ends by itself.
	config := write(t, "grewire.toml", fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n[status]\nsocket = \"/proc/none/s.sock\"\n", bridgetest.LANNIC, bridgetest.WANNIC))
	got := within(t, top.Box, "check", "-config", config)
	for _, line := range []string{`lro +off +off +received segments are merged beyond repair`, `gro +on +off +received segments are merged: they cross whole`, `tso +on +on +super-frames`} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(got.out) {
			t.Errorf("check does not say %q:\n%s", line, got.out)
		}
	}
	got = within(t, top.Box, "check", "-json", "-config", config)
	var r report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, o := range r.Offloads {
		found = found || o.Name == "gro" && o.LAN && !o.WAN && o.Meaning != ""
	}
	if len(r.Offloads) != len(nic.Offloads{}.List()) || !found {
		t.Errorf("check -json has the offloads %+v", r.Offloads)
	}
	got = within(t, top.Box, "run", "-config", config)
	if line := `"msg":"offload gro: received segments are merged: they cross whole`; !strings.Contains(got.errors, line) || !strings.Contains(got.errors, `"offload":"gro","lan":true,"wan":false`) || strings.Contains(got.errors, "offload lro") {
		t.Errorf("run says of its offloads:\n%s", got.errors)
	}
}
