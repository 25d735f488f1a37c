package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nics is a [bridge] that is in order, two lines and one.
const nics = "bridge.lan = 'eth0'\nbridge.wan = 'eth1'\n"

// checkFaults compares an error with the faults wanted, each as
// "LINE: KEY: part of the message".
func checkFaults(t *testing.T, err error, want []string) {
	t.Helper()
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("error %v, want Faults", err)
	}
	if len(faults) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(faults), len(want), err)
	}
	for i, fault := range faults {
		head, part, _ := strings.Cut(want[i], " ~ ")
		if got := fmt.Sprintf("%d: %s", fault.Line, fault.Key); got != head || !strings.Contains(fault.Message, part) {
			t.Errorf("fault %q\nwant  %q", fault, want[i])
		}
	}
}

type faultCase struct {
	text string
	want []string
}

func runFaultCases(t *testing.T, cases []faultCase, refused []feature) {
	for _, c := range cases {
		t.Run(c.want[0], func(t *testing.T) {
			config, err := parse("f.toml", []byte(c.text), refused, nil)
			if config != nil {
				t.Error("a Config beside the error")
			}
			checkFaults(t, err, c.want)
		})
	}
}

func TestSyntax(t *testing.T) {
	runFaultCases(t, []faultCase{
		{"[bridge]\nlan = = 'x'\n[oops]\n", []string{`2: bridge.lan ~ expected value but found '='`}},
		{"[bridge]\nlan = 'a'\nlan = 'b'\n", []string{"1: bridge.wan ~ missing", `3: bridge.lan ~ already been defined`}},
		{"[bridge]\n\n[bridge]\n", []string{`3: bridge ~ already been defined`}},
		{"[bridge]\r\nlan = 'a\r\nwan = 'b'\r\n", []string{`2: bridge.lan ~ cannot contain newlines`}},
		{"[bridge]\nlan = \"a", []string{`2: bridge.lan ~ unexpected EOF`}},
		{"[policy]\nclients = [\n'10.0.0.0/8'\n'192.0.2.1'\n]", []string{`4: policy.clients ~ expected a comma`}},
		{nics + "[limits]\ncalls = 99999999999999999999\n", []string{`4: limits.calls ~ out of range`}},
		{"a = 1\n\n\xff\n", []string{`3:  ~ byte 0xff is not UTF-8`}},
		{"\xff\xfe[\x00a\x00]\x00", []string{`1:  ~ byte 0xff is not UTF-8`}},
		{"a\x00b", []string{`1:  ~ NULL bytes`}},
		{"\n[" + strings.Repeat("a.", 16) + "a]", []string{`2:  ~ more than 16 levels`}},
		{"x = 1\ny = " + strings.Repeat("[", 17), []string{`2:  ~ more than 16 levels`}},
		{"x = 1\n\ny = " + strings.Repeat("{a=", 17), []string{`3:  ~ more than 16 levels`}},
		{"x = [\n[\n" + strings.Repeat("{a.a.a=", 9), []string{`3:  ~ more than 16 levels`}},
		{strings.Repeat("#", MaxSize+1), []string{`1:  ~ larger than 1048576 bytes`}},
	}, notYet)
}

// TestFaultsBeside: a number too large or a key that comes twice keeps no other
// fault from being reported, and makes up none.
func TestFaultsBeside(t *testing.T) {
	const huge = "99999999999999999999"
	runFaultCases(t, []faultCase{
		{nics + "[limits]\ncalls = " + huge + "\nfoo = 1\n[log]\nlevel = 'x'", []string{"4: limits.calls ~ out of range", "5: limits.foo ~ unknown key", "7: log.level ~ "}},
		{nics + "[limits]\ncalls = " + huge + "\nconnections = " + huge + "\n", []string{"4: limits.calls ~ out of range", "5: limits.connections ~ out of range"}},
		{nics + "[limits]\ncalls = 1\ncalls = 2\nfoo = 1", []string{"5: limits.calls ~ already been defined", "6: limits.foo ~ unknown key"}},
		{nics + "[log]\nlevel = 'x'\nlevel = 'y'", []string{"4: log.level ~ ", "5: log.level ~ already been defined"}},
		{nics + "[limits]\nfoo = 1\n[log]\n[limits]\nbar = [\n1]\n[policy]\ngre = 'x'", []string{"4: limits.foo ~ unknown key", "6: limits ~ already been defined", "10: policy.gre ~ "}},
		{"[log]\n\n[bridge]\nlan = 'a'\n[log]\n[bridge]\nwan = 'b'", []string{"5: log ~ already been defined", "6: bridge ~ already been defined"}},
		{nics + "policy.clients = [\n1,\n" + huge + ",\n]\nlog.level = 'x'", []string{"5: policy.clients ~ out of range", "7: log.level ~ "}},
		{nics + "log = {level = 'x', level = 'y'}\nfoo = 1", []string{"3: log.level ~ already been defined", "4: foo ~ unknown key"}},
		{nics + "x = " + huge + "\ny = = 1\n", []string{"3: x ~ out of range", "4: y ~ expected value"}},
	}, nil)
	_, err := Parse("many.toml", []byte(nics+strings.Repeat("x = 1\n", 1000)))
	if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != maxRounds {
		t.Errorf("%d faults of a key that comes 1000 times, want %d", len(faults), maxRounds)
	}
}

func TestUnknownKeys(t *testing.T) {
	runFaultCases(t, []faultCase{
		{nics + "[limts]\ncalls = 1", []string{"3: limts ~ unknown table; did you mean limits?"}},
		{nics + "[limits]\ncals = 1", []string{"4: limits.cals ~ unknown key; did you mean limits.calls?"}},
		{nics + "[limits]\nCALLS = 1", []string{"4: limits.CALLS ~ did you mean limits.calls?"}},
		{nics + "[policy]\ngre-v0 = 1", []string{"4: policy.gre-v0 ~ did you mean policy.gre_v0?"}},
		{nics + "[log]\nlevle = 1", []string{"4: log.levle ~ did you mean log.level?"}},
		{nics + "[policy]\ntcp_syn = '1m'", []string{"4: policy.tcp_syn ~ did you mean timeouts.tcp_syn?"}},
		{nics + "[log]\ncolour = 1", []string{"4: log.colour ~ unknown key; [log] has format, level"}},
		{nics + "[routing]\nx = 1", []string{"3: routing ~ the tables are bridge, limits, log, nat, policy, status, timeouts"}},
		{nics + "[[nat.forward]]\naddress='192.0.2.1'\nto='192.0.2.2'\nport=1", []string{"6: nat.forward.port ~ [nat.forward] has address, to"}},
		{nics + "[log]\n'a.b' = 1", []string{`4: log."a.b" ~ unknown key`}},
		{nics + "[log]\n\"a\\nb\" = 1", []string{`4: log."a\nb" ~ unknown key`}},
		{nics + "log.\"\" = 1", []string{`3: log."" ~ unknown key`}},
		{"lan = 'eth0'\nbridge.wan = 'eth1'", []string{"1: lan ~ did you mean bridge.lan?"}},
		{"[brigde]\nlan = 'eth0'\nwan = 'eth1'", []string{"1: brigde ~ did you mean bridge?"}},
	}, nil)
}

func TestTypes(t *testing.T) {
	runFaultCases(t, []faultCase{
		{"bridge = 3", []string{"1: bridge ~ must be a table, written [bridge], not an integer"}},
		{"[[bridge]]\nlan = 'a'", []string{"1: bridge ~ written [bridge], not an array of tables"}},
		{"[bridge]\nlan = 1\nwan = ['b']", []string{"2: bridge.lan ~ not an integer", "3: bridge.wan ~ not an array"}},
		{nics + "[bridge.workers]", []string{"3: bridge.workers ~ must be an integer, without quotes, not a table"}},
		{nics + "limits.calls = '5'", []string{"3: limits.calls ~ must be an integer, without quotes, not a string"}},
		{nics + "limits.calls = 5.0", []string{"3: limits.calls ~ not a float"}},
		{nics + "limits.calls = 2020-01-01", []string{"3: limits.calls ~ not a date or time"}},
		{nics + "bridge.link_propagation = 'yes'", []string{"3: bridge.link_propagation ~ must be true or false"}},
		{nics + "policy.gre = true", []string{`3: policy.gre ~ must be "negotiated" or "any", not a boolean`}},
		{nics + "policy.clients = '10.0.0.0/8'", []string{"3: policy.clients ~ must be an array of prefixes"}},
		{nics + "policy.clients = [\n1,\n[],\n'10.0.0.0/8']", []string{"4: policy.clients ~ with an integer in it", "5: policy.clients ~ with an array in it"}},
		{nics + "[[policy.servers]]", []string{"3: policy.servers ~ must be an array of prefixes"}},
		{nics + "timeouts.tcp_syn = 60", []string{`3: timeouts.tcp_syn ~ must be a duration in quotes`}},
		{nics + "nat.address = 1", []string{`3: nat.address ~ must be an IPv4 address`}},
		{nics + "[nat.forward]", []string{"3: nat.forward ~ each written [[nat.forward]], not a table"}},
		{nics + "nat.forward = [1]", []string{"3: nat.forward ~ not an integer"}},
		{nics + "status.socket = 1", []string{"3: status.socket ~ must be an absolute path"}},
	}, nil)
}

func TestNICs(t *testing.T) {
	runFaultCases(t, []faultCase{
		{"", []string{"1: bridge.lan ~ missing", "1: bridge.wan ~ missing"}},
		{"[log]\n\n[bridge]\nwan = 'eth1'", []string{"3: bridge.lan ~ missing"}},
		{"[bridge]\nlan = ''\nwan = 'a/b'", []string{"2: bridge.lan ~ no name", "3: bridge.wan ~ no name"}},
		{"[bridge]\nlan = 'a b'\nwan = 'a:b'", []string{"2: bridge.lan ~ space", "3: bridge.wan ~ no name"}},
		{"[bridge]\nlan = \"a\\u0000\"\nwan = '..'", []string{"2: bridge.lan ~ control", "3: bridge.wan ~ no name"}},
		{"[bridge]\nlan = 'exactly-15-char'\nwan = 'sixteen-chars-xx'", []string{"3: bridge.wan ~ at most 15 bytes"}},
		{"[bridge]\nlan = 'eth0'\n\nwan = 'eth0'", []string{"4: bridge.wan ~ also bridge.lan"}},
	}, notYet)
}

func TestRanges(t *testing.T) {
	for key, most := range map[string]int{
		"bridge.workers": 64, "limits.connections": 1 << 20, "limits.calls": 1 << 20, "limits.calls_per_connection": 1 << 16,
		"limits.calls_per_host": 1 << 20, "limits.expectations": 1 << 21, "limits.fragments": 1 << 20, "limits.hold_bytes": 1 << 30,
	} {
		least := 1
		if key == "limits.hold_bytes" {
			least = 2048
		}
		for n, wrong := range map[int]string{
			least: "", most: "", least - 1: "too small", 0: "too small", -1: "too small", most + 1: "too large", 1<<63 - 1: "too large",
		} {
			_, err := parse("f.toml", fmt.Appendf(nil, "%s%s = %d", nics, key, n), nil, nil)
			if wrong == "" && err != nil {
				t.Errorf("%s = %d: %v", key, n, err)
			} else if wrong != "" {
				checkFaults(t, err, []string{"3: " + key + " ~ " + wrong})
			}
		}
	}
}

func TestDurations(t *testing.T) {
	for _, key := range []string{
		"expectation", "gre_unreplied", "gre_stream", "tcp_established", "tcp_syn", "tcp_closing", "pending_call",
	} {
		for text, wrong := range map[string]string{
			"1s": "", "1.5s": "", "8760h": "", "": "not a duration", "5": "not a duration", "5 m": "not a duration",
			"5d": `5d is "120h"`, "0s": "out of range", "-5m": "out of range", "5ms": "out of range", "8761h": "out of range",
			"9999999999h": "not a duration",
		} {
			_, err := parse("f.toml", fmt.Appendf(nil, "%stimeouts.%s = %q", nics, key, text), nil, nil)
			if wrong == "" && err != nil {
				t.Errorf("%s = %q: %v", key, text, err)
			} else if wrong != "" {
				checkFaults(t, err, []string{"3: timeouts." + key + " ~ " + wrong})
			}
		}
	}
}

func TestValues(t *testing.T) {
	runFaultCases(t, []faultCase{
		{nics + "bridge.backend = 'xdp'", []string{`3: bridge.backend ~ "xdp" is unknown; must be "auto", "mmsg" or "ring"`}},
		{nics + "bridge.fail = ''", []string{`3: bridge.fail ~ "" is unknown; must be "closed" or "open"`}},
		{nics + "policy.gre = 'all'", []string{`3: policy.gre ~ "negotiated" or "any"`}},
		{nics + "policy.gre_v0 = 'count'", []string{`3: policy.gre_v0 ~ "drop" or "forward"`}},
		{nics + "policy.other = 'Drop'", []string{`3: policy.other ~ "forward" or "drop"`}},
		{nics + "policy.opaque = 'deny'", []string{`3: policy.opaque ~ "forward" or "drop"`}},
		{nics + "policy.pptp = 'no'", []string{`3: policy.pptp ~ "allow" or "deny"`}},
		{nics + "policy.strict_gre = 'forward'", []string{`3: policy.strict_gre ~ "drop" or "count"`}},
		{nics + "bridge.fail = 'open'\nbridge.qdisc_bypass = true", []string{`4: bridge.qdisc_bypass ~ cannot be had with fail = "open"`}},
		{nics + "policy.adopt = 'on'", []string{`3: policy.adopt ~ "off" or "live-control"`}},
		{nics + "nat.mode = 'snat'", []string{`3: nat.mode ~ "off", "call-id" or "masquerade"`}},
		{nics + "log.level = 'warning'", []string{`3: log.level ~ "debug", "info", "warn" or "error"`}},
		{nics + "log.format = 'xml'", []string{`3: log.format ~ "json" or "text"`}},
		{nics + "policy.clients = ['10.0.0.0/33',\n'10.0.0.1/8', '::ffff:10.0.0.1',\n'fe80::1%eth0', 'any', '10/8']", []string{
			"3: policy.clients ~ \"10.0.0.0/33\" is not a prefix", `4: policy.clients ~ write "10.0.0.0/8"`, "4: policy.clients ~ IPv4's form",
			"5: policy.clients ~ \"10/8\" is not", "5: policy.clients ~ \"any\" is not", "5: policy.clients ~ \"fe80::1%eth0\" is not",
		}},
		{nics + "status.socket = 'run/s'", []string{"3: status.socket ~ not an absolute path"}},
		{nics + "status.socket = ''", []string{"3: status.socket ~ not an absolute path"}},
		{nics + "status.state = 'state'", []string{"3: status.state ~ not an absolute path"}},
		{nics + "status.state = '/run/grewire/grewire.sock'", []string{"3: status.state ~ is also status.socket"}},
		{nics + "status.state = 1", []string{`3: status.state ~ must be an absolute path, such as "/var/lib/grewire/state", or ""`}},
		{nics + "status.state = '/" + strings.Repeat("a", 4000) + "'", []string{"3: status.state ~ too long"}},
		{nics + "status.socket = '/'", []string{"3: status.socket ~ is a directory"}},
		{nics + "status.socket = '/run/../s/'", []string{`3: status.socket ~ write "/s"`}},
		{nics + "status.socket = \"/a\\u0000\"", []string{"3: status.socket ~ NUL"}},
		{nics + "status.socket = '/" + strings.Repeat("a", 107) + "'", []string{"3: status.socket ~ at most 107"}},
		{nics + "status.listen = '9723'", []string{"3: status.listen ~ not a host:port"}},
		{nics + "status.listen = '::1:9723'", []string{"3: status.listen ~ not a host:port"}},
		{nics + "status.listen = ':0'", []string{"3: status.listen ~ from 1 to 65535"}},
		{nics + "status.listen = ':http'", []string{"3: status.listen ~ from 1 to 65535"}},
		{nics + "status.listen = 'example.org:80'", []string{"3: status.listen ~ must be an IP address"}},
	}, nil)
}

func TestEveryFaultAtOnce(t *testing.T) {
	runFaultCases(t, []faultCase{
		{"[bridge]\nlan = 'eth0'\nwan = 'eth1'\nworkers = 'two'\n\n[policy]\ngre = 'all'\n[timeouts]\ntcp_sin = '2m'\n", []string{
			"4: bridge.workers ~ must be an integer", `7: policy.gre ~ "negotiated" or "any"`, "9: timeouts.tcp_sin ~ did you mean timeouts.tcp_syn?",
		}},
		{"# a string of many lines does not shift the count\nnote = '''\n[bridge]\nlan = 'x'\n'''\n[bridge]\nlan = \"\"\"\nethernet-interface\"\"\"\nwan = 'eth1'\nfail = 'x'", []string{
			"2: note ~ unknown key", "7: bridge.lan ~ at most 15 bytes", "10: bridge.fail ~ unknown",
		}},
		{"log = {level = 'x', format = 'y'}\nbridge.lan = 'eth0'", []string{
			"1: log.format ~ unknown", "1: log.level ~ unknown", "2: bridge.wan ~ missing",
		}},
	}, notYet)
	_, err := Parse("/etc/grewire/grewire.toml", []byte("[bridge]\nlan = 'a'\nwan = 'b'\n[limits]\ncalls = 0\nfragment = 1"))
	const want = "/etc/grewire/grewire.toml:5: limits.calls: 0 is too small: must be from 1 to 1048576\n" +
		"/etc/grewire/grewire.toml:6: limits.fragment: unknown key; did you mean limits.fragments?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestNotYet(t *testing.T) {
	cases := []struct {
		text, want string
	}{
		{"status.listen = ':9723'", `3: status.listen ~ ":9723" is not available in this version; use "" or take it out`},
	}
	for _, feature := range notYet {
		covered := false
		for _, c := range cases {
			covered = covered || strings.Contains(c.want, " "+feature.key+" ~")
		}
		if !covered {
			t.Errorf("no case for %s", feature.key)
		}
	}
	for _, c := range cases {
		key, _, _ := strings.Cut(strings.TrimPrefix(c.want, "3: "), " ~")
		t.Run(c.text, func(t *testing.T) {
			_, err := parse("f.toml", []byte(nics+c.text), notYet, nil)
			checkFaults(t, err, []string{c.want})
			_, err = parse("f.toml", []byte(nics+c.text), without(key), nil)
			if err != nil {
				t.Errorf("with the row gone: %v", err)
			}
		})
	}
	_, err := Parse("f.toml", []byte(nics+"bridge.fail = 'ajar'"))
	checkFaults(t, err, []string{`3: bridge.fail ~ "ajar" is unknown; must be "closed"`})
}

// without returns notYet as it is once a key's features are there.
func without(key string) []feature {
	var rest []feature
	for _, f := range notYet {
		if f.key != key {
			rest = append(rest, f)
		}
	}
	return rest
}

func TestLoadNames(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("no such file: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	huge := filepath.Join(dir, "huge.toml")
	if err := os.WriteFile(huge, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(huge)
	checkFaults(t, err, []string{"1:  ~ larger than"})
	pipe := filepath.Join(dir, "pipe.toml")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(pipe); err == nil || !strings.Contains(err.Error(), "bridge.lan: missing") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
}
