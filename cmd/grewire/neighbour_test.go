package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// sharedAddr is an address of the box on the network of the hosts.
const sharedAddr = "10.77.0.100"

func TestConflictText(t *testing.T) {
	line, err := json.Marshal(track.Event{
		Time: 1, Kind: track.EventAddressConflict, NIC: "eth1", Address: netip.MustParseAddr("203.0.113.7"), MAC: "02:00:00:00:09:01",
		Detail: []string{"do something about it"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "address-conflict 203.0.113.7 is 02:00:00:00:09:01's, too, on eth1: do something about it"
	if got := eventLine(line); !strings.HasSuffix(got, want) {
		t.Errorf("%s", got)
	}
}

// TestCheckNAT: what the box will answer for, who has it already, and what does
// not go together.
func TestCheckNAT(t *testing.T) {
	t.Parallel()
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := top.Server.Address(bridgetest.HostNIC, sharedAddr+"/32"); err != nil {
		t.Fatal(err)
	}
	const text = "[bridge]\nlan = %q\nwan = %q\nfail = %q\n[[nat.forward]]\naddress = %q\nto = %q\n[[nat.forward]]\naddress = %q\nto = %q\n"
	configured := func(fail string) string {
		return write(t, "grewire.toml", fmt.Sprintf(text, bridgetest.LANNIC, bridgetest.WANNIC, fail,
			"10.77.0.99", bridgetest.ClientAddr(0), sharedAddr, bridgetest.ClientAddr(1)))
	}
	mac := top.Server.HardwareAddr(bridgetest.HostNIC).String()
	got := within(t, top.Box, "check", "-config", configured("open"))
	for _, want := range []string{
		"answers ARP on wan for 10.77.0.99, " + sharedAddr + "\n", "warning: wan: " + sharedAddr + " is in use by " + mac + "; give that host",
		`warning: with bridge.fail = "open", frames that go past the box are not translated; `, "\nready\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in:\n%s%s", want, got.out, got.errors)
		}
	}
	got = within(t, top.Box, "check", "-json", "-config", configured("closed"))
	var r report
	want := []answerJSON{{netip.MustParseAddr("10.77.0.99"), ""}, {netip.MustParseAddr(sharedAddr), mac}}
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || !slices.Equal(r.Answers, want) || strings.Contains(got.out, "not translated") {
		t.Errorf("%s, %v", got.out, err)
	}
}

// TestUnusedByNAT: what is set for masquerade, without it.
func TestUnusedByNAT(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "mode = 'call-id'": "", "mode = 'masquerade'\naddress = '10.0.0.1'\nports = '2000-3000'": "",
		"address = '10.0.0.1'": "nat.address", "mode = 'call-id'\nports = '2000-3000'": "nat.ports",
		"mode = 'call-id'\naddress = '10.0.0.1'\nports = '2000-3000'": "nat.address nat.ports",
	} {
		conf, err := config.LoadWithoutNICs(write(t, "grewire.toml", "[nat]\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(unusedByNAT(&conf.NAT), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		var r report
		r.addNAT(conf, new(machine))
		if n := len(r.Problems); n != len(strings.Fields(want)) && conf.Bridge.Fail != config.FailOpen {
			t.Errorf("%q: %v", text, r.Problems)
		}
	}
}

// TestAnswersARP: the program itself, with all that it attaches and without
// what it has dropped, is found at its address, also behind a NIC made anew, and
// tells of another host that takes it.
func TestAnswersARP(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "closed")
	file, err := os.OpenFile(b.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(file, "state = %q\n[nat]\nmode = \"masquerade\"\naddress = %q\n", filepath.Join(b.top.Lab.Dir(), "state"), sharedAddr)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.isFound()
	if err := b.top.Box.Delete(bridgetest.WANNIC); err != nil {
		t.Fatal(err)
	}
	if err := b.top.Lab.Veth(b.top.Server, bridgetest.HostNIC, b.top.Box, bridgetest.WANNIC); err != nil {
		t.Fatal(err)
	}
	if err := b.top.Server.Address(bridgetest.HostNIC, bridgetest.ServerAddr+"/24"); err != nil {
		t.Fatal(err)
	}
	b.isFound()
	if err := b.top.Server.Address(bridgetest.HostNIC, sharedAddr+"/32"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, _ = b.top.Server.Run(ctx, "ping", "-c", "1", "-W", "1", "-I", sharedAddr, "10.77.0.200") // nobody is there
	if err := b.process.WaitOutput(ctx, "address-conflict "+sharedAddr); err != nil {
		t.Error(err)
	}
}

// isFound waits until the kernel of the WAN host finds the box at its address.
func (b *bypassLab) isFound() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	want := "lladdr " + b.top.Box.HardwareAddr(bridgetest.WANNIC).String()
	for ctx.Err() == nil {
		_, _ = b.top.Server.Run(ctx, "ip", "neigh", "flush", "dev", bridgetest.HostNIC)
		_, _ = b.top.Server.Run(ctx, "ping", "-c", "1", "-W", "1", sharedAddr) // makes the kernel ask; nobody answers ICMP
		if out, _ := b.top.Server.Run(ctx, "ip", "neigh", "show", "to", sharedAddr); strings.Contains(out, want) {
			return
		}
	}
	b.t.Fatalf("the box is not found; it said: %s", b.process.Output())
}
