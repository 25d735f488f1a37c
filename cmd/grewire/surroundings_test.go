package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// TestCheckDirectories: check looks at where control socket and state are to be.
func TestCheckDirectories(t *testing.T) {
	top, err := bridgetest.Inline(bridgetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return path
	}
	private, public := at("private", 0o700), at("public", 0o1777)
	letter := filepath.Join(private, "letter")
	if err := os.WriteFile(letter, []byte("what nobody wants to lose"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, socket, state string
		want                []string // parts of a line about each problem
		code                int
	}{
		{"private directories", private + "/s.sock", private + "/state", nil, 0},
		{"a directory that the box makes", private + "/new/er/s.sock", "", nil, 0},
		{"public directories", public + "/s.sock", public + "/state", []string{
			"warning: status.socket: others may write in " + public + " (mode 0777); `chmod go-w",
			"warning: status.state: others may write in " + public,
		}, 0},
		{"no directory for the state", private + "/s.sock", dir + "/none/state", []string{"warning: status.state: calls of this user's box will not outlive a restart: stat " + dir + "/none: no such file"}, 0},
		{"a file where the state is to be", private + "/s.sock", letter, []string{"a file that is no state of a box; mend that"}, 0},
		{"a file where the socket is to be", letter, "", []string{"error: status.socket: " + letter + " is no socket; remove it"}, 1},
		{"a file where a directory is to be", letter + "/s.sock", letter + "/state", []string{"error: status.socket: to run the box, this user cannot make it: ", "warning: status.state: "}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "grewire.toml", fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n[status]\nsocket = %q\nstate = %q\n", bridgetest.LANNIC, bridgetest.WANNIC, test.socket, test.state))
			got := within(t, top.Box, "check", "-config", path)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			for _, want := range test.want {
				if strings.Count(got.out, want) != 1 {
					t.Errorf("%q is not in:\n%s", want, got.out)
				}
			}
			if n := strings.Count(got.out, ": status.s"); n != len(test.want) {
				t.Errorf("%d problems, want %d:\n%s", n, len(test.want), got.out)
			}
		})
	}
	if text, err := os.ReadFile(letter); err != nil || string(text) != "what nobody wants to lose" {
		t.Errorf("check has changed a file: %q, %v", text, err)
	}
}

// TestWritable: what is no directory that one may write in.
func TestWritable(t *testing.T) {
	for path, want := range map[string]error{t.TempDir(): nil, "/none/such": unix.ENOENT, "/dev/null": unix.ENOTDIR} {
		if err := writable(path); fmt.Sprint(err) != fmt.Sprint(want) && !strings.HasSuffix(fmt.Sprint(err), fmt.Sprint(want)) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if got := existing("/none/such/directory"); got != "/" {
		t.Errorf("the nearest directory is %s", got)
	}
}

// TestLabCheckAsUser: what an ordinary user's box could not do is told, and
// what keeps only this user from it does not make the machine unfit.
func TestLabCheckAsUser(t *testing.T) {
	l := newServiceLab(t) // whose directory is root's
	check := func(by ...string) string {
		t.Helper()
		args := append(by, l.program, "check", "-config", filepath.Join(l.dir, "grewire.toml"))
		out, err := l.top.Box.Run(t.Context(), args[0], args[1:]...)
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return out
	}
	const socket, realTime = "warning: status.socket: to run the box, this user cannot make it: write in ", "warning: " + notRealTime
	user := asNobody("net_raw", "net_admin", "bpf")
	if out := check(user...); !strings.Contains(out, socket) || !strings.Contains(out, "permission denied") || !strings.Contains(out, realTime) {
		t.Errorf("check as a user says\n%s", out)
	}
	if err := os.Chown(filepath.Dir(l.socket()), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if out := check(asNobody("net_raw", "net_admin", "bpf", "sys_nice")...); strings.Contains(out, socket) || strings.Contains(out, realTime) {
		t.Errorf("check as a user with all that it needs says\n%s", out)
	}
}

// TestLabNotRealTime: a box whose workers may not be real-time threads says so,
// and what to do; one whose workers may does not.
func TestLabNotRealTime(t *testing.T) {
	for name, test := range map[string]struct {
		uid  int
		by   []string
		says bool
	}{
		"a user":                     {nobody, asNobody("net_raw", "net_admin", "bpf"), true},
		"a user with CAP_SYS_NICE":   {nobody, asNobody("net_raw", "net_admin", "bpf", "sys_nice"), false},
		"root without CAP_SYS_NICE":  {0, []string{"setpriv", "--bounding-set", "-sys_nice"}, true},
		"root, which keeps that one": {0, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newServiceLab(t)
			if err := os.Chown(filepath.Dir(l.socket()), test.uid, test.uid); err != nil {
				t.Fatal(err)
			}
			l.start(test.by...)
			log := l.process.Output()
			if strings.Contains(log, notRealTime) != test.says || strings.Contains(log, realTimeAdvice) != test.says {
				t.Errorf("want it said: %v; the box says %s", test.says, log)
			}
			l.stop()
		})
	}
}

// TestLabCheckBesideABox: that a box has the NICs is told, by check, which does
// not disturb it.
func TestLabCheckBesideABox(t *testing.T) {
	b := newBypassLab(t, "closed")
	const taken = ": a box carries frames on it now"
	check := func() (r report) {
		t.Helper()
		out := b.command(b.top.Box, patience, b.binary, "check", "-json", "-config", b.config)
		if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Ready {
			t.Errorf("check: %v, %s", err, out)
		}
		return r
	}
	count := func(r report) (n int) {
		for _, p := range r.Problems {
			if strings.Contains(p.String(), taken) && p.Severity == "warning" {
				n++
			}
		}
		return n
	}
	if n := count(check()); n != 0 {
		t.Errorf("%d NICs are taken before there is a box", n)
	}
	b.start()
	if n := count(check()); n != 2 {
		t.Errorf("%d NICs are taken by the box, want 2", n)
	}
	b.ping()
	b.stop()
	if n := count(check()); n != 0 {
		t.Errorf("%d NICs are taken after the box", n)
	}
	// A dead box's socket file is no claim.
	if _, err := net.Dial("unix", b.socket); err == nil {
		t.Error("somebody listens on the socket of a box that has stopped")
	}
}
