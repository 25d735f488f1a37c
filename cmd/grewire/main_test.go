package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }

// result is what a command did.
type result struct {
	code        int
	out, errors string
}

// grewire runs the program with nothing on standard input.
func grewire(t testing.TB, args ...string) result {
	t.Helper()
	return grewireWith(t.Context(), nil, args...)
}

func grewireWith(ctx context.Context, in []byte, args ...string) result {
	var out, errors bytes.Buffer
	p := &program{in: bytes.NewReader(in), out: &out, err: &errors}
	code := p.main(ctx, args)
	return result{code, out.String(), errors.String()}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// write makes a file in a directory of the test's own.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsage(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	tests := []struct {
		name, args  string
		code        int
		out, errors string // parts of what is printed
	}{
		{"nothing", "", 2, "", "Usage: grewire COMMAND"},
		{"help", "help", 0, "Commands:", ""},
		{"--help", "--help", 0, "Commands:", ""},
		{"unknown command", "frobnicate", 2, "", `there is no command "frobnicate"`},
		{"no box to reload", "reload -socket " + nowhere, 1, "", "no grewire is running there"},
		{"help of a command", "replay -h", 0, "-lan PREFIX|MAC", ""},
		{"help tells the side rule", "replay --help", 0, "opens the first connection to TCP port 1723", ""},
		{"unknown flag", "calls -frob", 2, "", "grewire calls: flag provided but not defined: -frob"},
		{"flag without value", "replay -config", 2, "", "flag needs an argument: -config"},
		{"stray argument", "stats now", 2, "", `unexpected argument "now"`},
		{"no capture", "replay -json", 2, "", "an argument is missing"},
		{"bad -lan", "replay -lan eth0 x.pcap", 2, "", `"eth0" is neither an IP prefix`},
		{"no such capture", "replay " + nowhere, 1, "", nowhere + ": no such file"},
		{"flags behind arguments", "replay " + nowhere + " --json", 1, "", nowhere + ": no such file"},
		{"no flags behind --", "replay -- " + nowhere + " -json", 1, "", nowhere + ": no such file"},
		{"no such configuration", "run -config " + nowhere, 2, "", nowhere + ": no such file"},
		{"no such configuration to replay with", "replay -config " + nowhere + " x", 2, "", nowhere + ": no such file"},
		{"no box", "calls -socket " + nowhere, 1, "", "no grewire is running there"},
		{"no box, stats", "stats --socket=" + nowhere, 1, "", "no grewire is running there"},
		{"no box, expectations", "expectations -json -socket " + nowhere, 1, "", "no grewire is running there"},
		{"no box, events", "events -socket " + nowhere, 1, "", "no grewire is running there"},
		{"two sockets", "events -socket a -config b", 2, "", "give one of them"},
		{"version", "version", 0, "grewire ", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := grewire(t, strings.Fields(test.args)...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", got.out, test.out}, {"stderr", got.errors, test.errors}} {
				if !strings.Contains(stream.got, stream.want) || (stream.want == "") != (stream.got == "") {
					t.Errorf("%s is %q, want %q in it", stream.name, stream.got, stream.want)
				}
			}
		})
	}
}

func TestVersionJSON(t *testing.T) {
	got := grewire(t, "version", "-json")
	var v versionInfo
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || v.Go == "" || v.Version == "" || v.Platform == "" {
		t.Errorf("%q: %v", got.out, err)
	}
}

func TestDefaultOptions(t *testing.T) {
	c := config.Default()
	if diff := cmp.Diff(track.DefaultOptions(), trackOptions(&c)); diff != "" {
		t.Errorf("a configuration without keys (-track's defaults +converted):\n%s", diff)
	}
}

// TestOptions: every key of a configuration reaches the tracker.
func TestOptions(t *testing.T) {
	c, err := config.LoadWithoutNICs(write(t, "all.toml", `
[policy]
gre = "any"
gre_v0 = "forward"
gre_other = "forward"
other = "drop"
opaque = "drop"
pptp = "deny"
clients = ["10.0.0.0/8"]
servers = ["192.0.2.1/32"]
strict_gre = "drop"
adopt = "live-control"
[limits]
connections = 11
calls = 12
calls_per_connection = 9
calls_per_host = 10
expectations = 24
fragments = 16
hold_bytes = 4096
[timeouts]
expectation = "1s"
gre_unreplied = "2s"
gre_stream = "3s"
tcp_established = "4s"
tcp_syn = "5s"
tcp_closing = "6s"
pending_call = "7s"
[bridge]
workers = 3
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(trackOptions(c))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Policy":{"AnyGRE":true,"GREv0":0,"GREOther":0,"Other":1,"Opaque":1,"DenyPPTP":true,"StrictGRE":1,"Adopt":true,"Clients":["10.0.0.0/8"],"Servers":["192.0.2.1/32"]},` +
		`"Limits":{"Connections":11,"ConnectionsPerHost":8192,"Calls":12,"CallsPerConnection":9,"CallsPerHost":10,"Expectations":24,"Fragments":16,"HoldBytes":4096},` +
		`"Timeouts":{"Expectation":1000000000,"GREUnreplied":2000000000,"GREStream":3000000000,"TCPEstablished":4000000000,"TCPSyn":5000000000,"TCPClosing":6000000000,"PendingCall":7000000000},"Translation":null,"Workers":3,"Seed":0}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain – text": "plain – text", "\x1b[2J": `\x1b[2J`, "a\nb": `a\nb`, "\u202e": `\u202e`, "\xff": `\xff`, "\u009b": `\u009b`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
