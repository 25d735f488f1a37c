package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	unitFile    = "../grewire.service"
	unitProgram = "/usr/local/bin/grewire" // as the unit has it
	// exposure is what "systemd-analyze security" may give the unit at most, in
	// tenths: much of the rest is what makes it a box, packet sockets and the
	// host's network above all.
	exposure = "23"
)

// unitWith writes the unit with the program where it was built, and a change.
func unitWith(t *testing.T, program, old, changed string) (path string) {
	t.Helper()
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(unit), unitProgram, program)
	if text == string(unit) || !strings.Contains(text, old) {
		t.Fatalf("the unit has no %s, or no %q", unitProgram, old)
	}
	path = filepath.Join(t.TempDir(), "grewire.service")
	if err := os.WriteFile(path, []byte(strings.Replace(text, old, changed, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func buildProgram(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "grewire")
	build := exec.Command("go", "build", "-o", path, module+"cmd/grewire")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// verify is what "systemd-analyze verify" has against a unit, "" for nothing.
// Some faults it tells only, others it fails for.
func verify(path string) string {
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil {
		out = append(out, err.Error()...)
	}
	return string(out)
}

// TestUnit has systemd judge the unit, and sees that it would object.
func TestUnit(t *testing.T) {
	program := buildProgram(t)
	if said := verify(unitWith(t, program, "", "")); said != "" {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	for _, broken := range []struct{ old, changed, want string }{
		{"WatchdogSec=", "WatchDogSec=", "WatchDogSec"},
		{"@system-service bpf", "@system-service bfp", "bfp"},
		{"ExecStart=", "ExecStart=/no/such", "not executable"},
	} {
		if said := verify(unitWith(t, program, broken.old, broken.changed)); !strings.Contains(said, broken.want) {
			t.Errorf("with %q it says %q, want %q in it", broken.changed, said, broken.want)
		}
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold="+exposure, unitWith(t, program, "", "")).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// unitValues returns what the unit sets a directive to, a value for each time.
func unitValues(t *testing.T, directive string) (values []string) {
	t.Helper()
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		if value, ok := strings.CutPrefix(line, directive+"="); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// TestUnitMeansTheProgram: what the unit says and what the program does belong
// together.
func TestUnitMeansTheProgram(t *testing.T) {
	const capabilities = "CAP_NET_RAW CAP_NET_ADMIN CAP_BPF" // see bridge/privilege
	for directive, want := range map[string]string{
		"Type":                  "notify", // cmd/grewire/manager.go
		"ExecStart":             unitProgram + " run -config /etc/grewire/grewire.toml",
		"AmbientCapabilities":   capabilities,
		"CapabilityBoundingSet": capabilities,
		"LimitRTPRIO":           "1",       // bridge/afpacket/urgency.go
		"RuntimeDirectory":      "grewire", // of status.socket
		"StateDirectory":        "grewire",
		"StateDirectoryMode":    "0700",
		// bridge/bypass: the record and the maps of a box that is no more.
		"RuntimeDirectoryPreserve": "yes",
		"FileDescriptorStoreMax":   "4",
		"ExecReload":               unitProgram + " reload",
		"Nice":                     "-10",
		// Without the second, a crash is taken for the first, and the wire stays cut.
		"RestartPreventExitStatus": "2",
		"Environment":              "GOTRACEBACK=crash",
	} {
		if got := unitValues(t, directive); len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %q", directive, got, want)
		}
	}
}
