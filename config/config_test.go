package config

import (
	"bytes"
	"encoding"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const examplePath = "../hack/grewire.example.toml"

// equal compares the unexported insides of addresses and prefixes by ==.
var equal = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatalf("Parse(%q):\n%v", text, err)
	}
	return c
}

func TestExampleIsTheDefault(t *testing.T) {
	got, err := Load(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Bridge.LAN, want.Bridge.WAN = "eth0", "eth1"
	if diff := cmp.Diff(&want, got, equal); diff != "" {
		t.Errorf("the example is not the default (-default +example):\n%s", diff)
	}
}

// tagged lists the keys that the struct tags of a type give, dotted.
func tagged(prefix string, typ reflect.Type) []string {
	var keys []string
	for i := range typ.NumField() {
		field := typ.Field(i)
		key := join(prefix, field.Tag.Get("toml"))
		keys = append(keys, key)
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		text := inner.Implements(reflect.TypeFor[encoding.TextMarshaler]())
		if inner.Kind() == reflect.Struct && !text && inner.PkgPath() == reflect.TypeFor[Config]().PkgPath() {
			keys = append(keys, tagged(key, inner)...)
		}
	}
	return keys
}

func TestSchemaAndTagsNameTheSameKeys(t *testing.T) {
	want := tagged("", reflect.TypeFor[Config]())
	slices.Sort(want)
	got := keysOf("", new(Config).schema())
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-tags +schema):\n%s", diff)
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	// A forward stands there as a comment, since there is none by default; it
	// has to read right once it is none.
	text := regexp.MustCompile(`(?m)^# (\[\[nat\.forward\]\]|address = .*|to = .*)$`).ReplaceAllString(string(example), "$1")
	meta, err := toml.Decode(text, new(map[string]any))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, key := range meta.Keys() {
		keys = append(keys, key.String())
	}
	for _, key := range tagged("", reflect.TypeFor[Config]()) {
		if !slices.Contains(keys, key) {
			t.Errorf("%s lacks %s", examplePath, key)
		}
	}
	if _, err := parse("example", []byte(text), nil, nil); err != nil {
		t.Errorf("with the forward:\n%v", err)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	const text = `
bridge = { lan = "lan0.100", wan = "wan0", workers = 2, backend = "ring", ring_slots = 1000, receive_buffer = 300000, send_buffer = 400000, qdisc_bypass = false, link_propagation = true, fail = "open" } # qdisc_bypass does not go with "open"
[policy]
gre = "any"
gre_v0 = "forward"
gre_other = "forward"
other = "drop"
opaque = "drop"
pptp = "deny"
clients = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
servers = ["0.0.0.0/0", "::/0"]
strict_gre = "drop"
adopt = "off" # live-control does not go with [nat]
[limits]
connections = 1
connections_per_host = 9
calls = 2
calls_per_connection = 3
calls_per_host = 4
expectations = 5
fragments = 6
hold_bytes = 4096
[timeouts]
expectation = "1s"
gre_unreplied = "2s"
gre_stream = "3m"
tcp_established = "4h"
tcp_syn = "1m30s"
tcp_closing = "6s"
pending_call = "7s"
[nat]
mode = "masquerade"
address = "203.0.113.7"
ports = "2000-3000"
[[nat.forward]]
address = "203.0.113.7"
to = "10.0.0.2"
[[nat.forward]]
address = "203.0.113.7"
to = "10.0.0.3"
[[nat.forward]]
address = "203.0.113.6"
to = "10.0.0.4"
[status]
socket = "/tmp/s"
state = ""
listen = "[::1]:9723"
[log]
level = "warn"
format = "text"
`
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	want := &Config{
		Bridge: Bridge{"lan0.100", "wan0", 2, BackendRing, 1000, 300000, 400000, false, true, FailOpen},
		Policy: Policy{
			GREAny, ActionForward, ActionForward, ActionDrop, ActionDrop, Deny,
			[]netip.Prefix{prefix("10.0.0.0/8"), prefix("192.0.2.1/32"), prefix("2001:db8::/32")},
			[]netip.Prefix{prefix("0.0.0.0/0"), prefix("::/0")},
			ActionDrop, AdoptOff,
		},
		Limits: Limits{1, 9, 2, 3, 4, 5, 6, 4096},
		Timeouts: Timeouts{
			time.Second, 2 * time.Second, 3 * time.Minute, 4 * time.Hour,
			90 * time.Second, 6 * time.Second, 7 * time.Second,
		},
		NAT: NAT{NATMasquerade, addr("203.0.113.7"), PortRange{2000, 3000}, []Forward{
			{addr("203.0.113.7"), addr("10.0.0.2")}, {addr("203.0.113.7"), addr("10.0.0.3")}, {addr("203.0.113.6"), addr("10.0.0.4")},
		}},
		Status: Status{"/tmp/s", "", "[::1]:9723"},
		Log:    Log{LevelWarn, FormatText},
	}
	got, err := parse("all.toml", []byte(text), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var encoded bytes.Buffer
	if err := toml.NewEncoder(&encoded).Encode(got); err != nil {
		t.Fatal(err)
	}
	again, err := parse("encoded.toml", encoded.Bytes(), nil, nil)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, encoded.String())
	}
	if diff := cmp.Diff(want, again, equal); diff != "" {
		t.Errorf("encoded and read again (-want +got):\n%s", diff)
	}
}

func TestWaysToWriteTheSame(t *testing.T) {
	want := Default()
	want.Bridge.LAN, want.Bridge.WAN = "eth0", "eth1"
	for _, text := range []string{
		"[bridge]\nlan='eth0'\nwan='eth1'",
		"bridge.lan = 'eth0'\nbridge.wan = \"eth1\" # comment\n",
		"\ufeff[bridge]\r\nlan = 'eth0'\r\nwan = 'eth1'\r\n",
		"bridge = {lan = 'eth0', wan = 'eth1'}",
		"[ \"bridge\" ]\n'lan' = \"eth0\"\n\"w\\u0061n\" = '''eth1'''",
		"[bridge]\nlan='eth0'\nwan='eth1'\n[policy]\nclients=[]\n[nat]\naddress=''\nforward=[]\n[status]\nlisten=''",
		"[bridge]\nlan='eth0'\nwan='eth1'\n[limits]\ncalls=65_536\nfragments=0x1000",
	} {
		if diff := cmp.Diff(&want, mustParse(t, text), equal, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestLogLevelIsALeveler(t *testing.T) {
	for level, want := range map[LogLevel]slog.Level{
		LevelDebug: slog.LevelDebug, LevelInfo: slog.LevelInfo, LevelWarn: slog.LevelWarn, LevelError: slog.LevelError,
		"": slog.LevelInfo,
	} {
		if got := slog.Leveler(level).Level(); got != want {
			t.Errorf("%q: %v, want %v", level, got, want)
		}
	}
}

func TestLoadWithoutNICs(t *testing.T) {
	path := t.TempDir() + "/policy.toml"
	if err := os.WriteFile(path, []byte("[policy]\ngre = \"any\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadWithoutNICs(path)
	if err != nil || c.Policy.GRE != GREAny {
		t.Errorf("LoadWithoutNICs: %+v, %v", c, err)
	}
	if _, err := Load(path); err == nil || strings.Count(err.Error(), "missing") != 2 {
		t.Errorf("Load: %v, want both NICs missing", err)
	}
}
