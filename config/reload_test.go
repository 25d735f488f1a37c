package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reload parses the first text as the running box did, and reloads the second.
func reload(t *testing.T, before, after string) (*Config, []Change, error) {
	t.Helper()
	running, err := Parse("f.toml", []byte(before))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	return Reload(path, running, running.Limits)
}

func TestReload(t *testing.T) {
	const after = nics + `
[policy]
opaque = "drop"
pptp = "deny"
clients = ["10.0.0.0/8", "2001:db8::/32"]
[limits]
calls = 5
expectations = 2000000
[timeouts]
gre_stream = "90m"
[log]
level = "debug"
`
	conf, changes, err := reload(t, nics, after)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`policy.opaque: "forward", now "drop"`, `policy.pptp: "allow", now "deny"`, `policy.clients: [], now ["10.0.0.0/8", "2001:db8::/32"]`,
		`limits.calls: 65536, now 5`, `limits.expectations: 131072, now 2000000`,
		`timeouts.gre_stream: "5h", now "1h30m"`, `log.level: "info", now "debug"`,
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if conf.Policy.PPTP != Deny || conf.Limits.Calls != 5 {
		t.Errorf("%+v", conf)
	}
	if _, changes, err := reload(t, after, "\n"+after+"# a remark\n"); err != nil || len(changes) != 0 {
		t.Errorf("the same once more: %v %v", changes, err)
	}
}

// TestReloadRefused: every fault is reported, what needs a restart among the
// rest, each with its line.
func TestReloadRefused(t *testing.T) {
	const before = nics + "[status]\nsocket = '/run/a.sock'\n[limits]\ncalls = 7\n"
	tests := []struct {
		after string
		want  []string
	}{
		{"bridge.lan = 'eth0'\nbridge.wan = 'eth7'\n[status]\nsocket = '/run/b.sock'\n[limits]\ncalls = 8\nconnections = 16385\n[log]\nformat = 'text'\n", []string{
			`2: bridge.wan ~ "eth7" needs a restart: the running box has "eth1"`, `4: status.socket ~ needs a restart`,
			`6: limits.calls ~ 8 needs a restart: the running box has made its table for 7`, `7: limits.connections ~ 16385 needs a restart`,
			`9: log.format ~ "text" needs a restart`,
		}},
		{nics + "[status]\n\n[limits]\ncalls = 7\n", []string{`3: status.socket ~ "/run/grewire/grewire.sock" needs a restart`}}, // left out
		{nics + "[status]\nsocket = 5\n[limits]\ncalls = 7\ncals = 8\n[log]\nlevel = 'loud'\nformat = 'text'", []string{
			"4: status.socket ~ not an integer", "7: limits.cals ~ unknown key", "9: log.level ~ is unknown", "10: log.format ~ needs a restart",
		}},
		{nics + "[limits]\ncalls = 0\n", []string{"1: status.socket ~ needs a restart", "4: limits.calls ~ too small"}},
		{nics + "[status]\nsocket = '/run/a.sock'\n[limits]\ncalls = 7\n[nat]\nmode = 'masquerade'\naddress = '192.0.2.7'\nports = '5000-6000'\n[[nat.forward]]\naddress = '192.0.2.8'\nto = '10.0.0.1'\n", []string{
			`8: nat.mode ~ "masquerade" needs a restart: the running box has "off"`, `9: nat.address ~ "192.0.2.7" needs a restart`,
			`10: nat.ports ~ "5000-6000" needs a restart: the running box has "32768-60999"`,
			`11: nat.forward ~ [{address = "192.0.2.8", to = "10.0.0.1"}] needs a restart: the running box has []`,
		}},
		{"= 1\n", []string{"1:  ~ not valid TOML"}},
	}
	for _, test := range tests {
		conf, changes, err := reload(t, before, test.after)
		if conf != nil || changes != nil {
			t.Errorf("%v and %v beside the error", conf, changes)
		}
		checkFaults(t, err, test.want)
	}
	running := Default()
	if _, _, err := Reload(filepath.Join(t.TempDir(), "gone.toml"), &running, running.Limits); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

// TestChangesSeeEveryKey: no key can change without being noticed.
func TestChangesSeeEveryKey(t *testing.T) {
	c := Default()
	keys := map[string]bool{}
	for i := range reflect.ValueOf(c).NumField() {
		section := reflect.ValueOf(&c).Elem().Field(i)
		for j := range section.NumField() {
			changed := Default()
			vary(reflect.ValueOf(&changed).Elem().Field(i).Field(j))
			changes := Changes(&c, &changed)
			if len(changes) != 1 || changes[0].From == changes[0].To {
				t.Fatalf("%s: %+v", section.Type().Field(j).Name, changes)
			}
			keys[changes[0].Key] = true
		}
	}
	for _, key := range keysOf("", c.schema()) {
		table, name := split(key)
		if name != "" && table != "" && table != "nat.forward" && !keys[key] {
			t.Errorf("%s is not compared", key)
		}
	}
}

// vary makes a value another one.
func vary(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[PortRange]() {
			v.Set(reflect.ValueOf(PortRange{1, 2}))
			return
		}
		v.Set(reflect.ValueOf(broadcast))
	}
}
