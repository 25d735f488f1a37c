package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/grewire/grewire/bridge/bridgetest"
)

func TestCheckFaults(t *testing.T) {
	path := write(t, "wrong.toml", "[bridge]\nlan = \"eth0\"\nworker = 1\n\n[policy]\ngre = \"sometimes\"\n\n[timeouts]\nexpectation = 5\n")
	got := grewire(t, "check", "-config", path)
	lines := strings.Split(strings.TrimSuffix(got.errors, "\n"), "\n")
	if got.code != exitUsage || got.out != "" {
		t.Errorf("exit code %d, stdout %q", got.code, got.out)
	}
	for _, want := range []string{":3: bridge.worker: ", ":6: policy.gre: ", ":9: timeouts.expectation: "} {
		if n := strings.Count(got.errors, path+want); n != 1 {
			t.Errorf("%q is said %d times:\n%s", want, n, got.errors)
		}
	}
	if len(lines) != 4 { // and bridge.wan is missing
		t.Errorf("%d lines:\n%s", len(lines), got.errors)
	}
	got = grewire(t, "check", "-json", "-config", path)
	var r report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || len(r.Faults) != 4 || r.Ready || got.code != exitUsage {
		t.Errorf("exit code %d, %s, %v", got.code, got.out, err)
	}
}

// TestCheckMachine checks machines that are and are not ready.
func TestCheckMachine(t *testing.T) {
	lab := bridgetest.New(t)
	top, err := bridgetest.Inline(lab)
	if err != nil {
		t.Fatal(err)
	}
	ready := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n", bridgetest.LANNIC, bridgetest.WANNIC)
	tests := []struct {
		name, config string
		ns           *bridgetest.Namespace
		code         int
		want         []string
	}{
		{"ready", ready, top.Box, 0, []string{"the configuration is right", "1500", "MEMORY", "lan     12.8 MiB  up to 32.0 MiB  up to 32.0 MiB", "\nready\n"}},
		{"unknown NIC", "[bridge]\nlan = \"nosuch0\"\nwan = \"wan\"\n", top.Box, 1, []string{"error: nosuch0: there is no such NIC", "\nnot ready\n"}},
		{"an address", "[bridge]\nlan = \"lo\"\nwan = \"eth0\"\n", top.Client, 1, []string{"error: eth0: it has the IP address 10.77.0.11/24", "not ready"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "grewire.toml", test.config)
			for _, args := range [][]string{{"check", "-config", path}, {"check", "-json", "-config", path}} {
				got := within(t, test.ns, args...)
				if got.code != test.code {
					t.Errorf("exit code %d, want %d: %s%s", got.code, test.code, got.out, got.errors)
				}
				checkReport(t, got.out, test.code == 0, test.want)
			}
		})
	}
}

func checkReport(t *testing.T, out string, ready bool, want []string) {
	t.Helper()
	if strings.HasPrefix(out, "{") {
		var r report
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Ready != ready || len(r.NICs) != 2 {
			t.Errorf("%s: %v", out, err)
		}
		return
	}
	for _, part := range want {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in:\n%s", part, out)
		}
	}
}

// within runs the program in a namespace.
func within(t *testing.T, ns *bridgetest.Namespace, args ...string) (got result) {
	t.Helper()
	err := ns.Do(func() error {
		got = grewireWith(t.Context(), nil, args...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
