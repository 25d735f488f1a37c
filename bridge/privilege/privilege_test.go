package privilege

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// confined is the environment variable that makes the test program confine
// itself and tell what it can do then: it cannot be undone, so that a test
// needs a process of its own.
const confined = "GREWIRE_TEST_CONFINED"

func TestMain(m *testing.M) {
	if order := os.Getenv(confined); order != "" {
		if err := obey([]byte(order)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// order is what a confined process is to do.
type order struct {
	OthersFiles bool
	Files       Files
	TryRead     []string
	TryWrite    []string
	TryRun      string
}

// report is what it found then.
type report struct {
	Left    string
	ABI     int
	Threads []string          // the lines of /proc/self/task/*/status that matter, one text for each thread
	Refused map[string]string // what it could not do, with the error
}

// obey confines the process while threads of its own exist and prints a report.
func obey(text []byte) (err error) {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	old := newThread()
	r := report{Refused: make(map[string]string)}
	if r.Left, err = DropCapabilities(o.OthersFiles); err != nil {
		return err
	}
	if r.ABI, err = RestrictFiles(o.Files); err != nil {
		return err
	}
	for name, do := range map[string]func(func()){"old": old, "new": newThread()} {
		do(func() { r.try(name, &o) })
	}
	if r.Threads, err = threads(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// newThread returns a function that runs others on a thread of their own.
func newThread() func(func()) {
	work, done := make(chan func()), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
			done <- struct{}{}
		}
	}()
	do := func(f func()) { work <- f; <-done }
	do(func() {})
	return do
}

func (r *report) try(thread string, o *order) {
	refuse := func(what, path string, err error) {
		if err != nil {
			r.Refused[thread+" "+what+" "+path] = err.Error()
		}
	}
	for _, path := range o.TryRead {
		_, err := os.ReadFile(path)
		refuse("read", path, err)
	}
	for _, path := range o.TryWrite {
		err := os.WriteFile(path+".new", []byte("x"), 0o600)
		refuse("write", path, errors.Join(err, os.Rename(path+".new", path)))
	}
	if o.TryRun != "" {
		refuse("run", o.TryRun, exec.Command(o.TryRun).Run())
	}
}

// threads reads what the kernel says about each thread of this process.
func threads() (texts []string, err error) {
	paths, err := filepath.Glob("/proc/self/task/*/status")
	for _, path := range paths {
		status, failed := os.ReadFile(path)
		if errors.Is(failed, fs.ErrNotExist) || errors.Is(failed, syscall.ESRCH) {
			continue
		}
		err = errors.Join(err, failed)
		var lines []string
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
		}
		texts = append(texts, strings.Join(lines, "\n"))
	}
	return texts, err
}

func confine(t *testing.T, o order, attr *syscall.SysProcAttr) (r report) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe") // whoever runs it need not reach the directory it is in
	command.Env = append(os.Environ(), confined+"="+string(text))
	command.SysProcAttr, command.Stderr = attr, os.Stderr
	out, err := command.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("the confined process: %v\n%s", err, out)
	}
	return r
}

// status is what /proc/PID/status says of a thread that has the capabilities
// and no others.
func status(permitted, bound uint64) string {
	return fmt.Sprintf("CapInh: %016x\nCapPrm: %016x\nCapEff: %016x\nCapBnd: %016x\nCapAmb: %016[1]x\nNoNewPrivs: 1", 0, permitted, permitted, bound)
}

const netAndBPF = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF

// proc is where a confined process looks at itself.
var proc = Files{Read: []string{"/proc"}}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which has capabilities to drop")
	}
}

func (r *report) check(t *testing.T, left, thread string) {
	t.Helper()
	if r.Left != left {
		t.Errorf("left are %q, want %q", r.Left, left)
	}
	if len(r.Threads) < 3 {
		t.Errorf("only %d threads", len(r.Threads))
	}
	for _, got := range r.Threads {
		if got != thread {
			t.Errorf("a thread has\n%s\nwant\n%s", got, thread)
		}
	}
}

func TestDropAsRoot(t *testing.T) {
	needRoot(t)
	r := confine(t, order{Files: proc}, nil)
	const kept = netAndBPF | 1<<unix.CAP_SYS_NICE
	r.check(t, "cap_net_raw,cap_net_admin,cap_bpf,cap_sys_nice", status(kept, kept))
	const override = kept | 1<<unix.CAP_DAC_OVERRIDE
	r = confine(t, order{OthersFiles: true, Files: proc}, nil)
	r.check(t, "cap_net_raw,cap_net_admin,cap_bpf,cap_sys_nice,cap_dac_override", status(override, override))
}

// TestDropAsUser: an ordinary user's process keeps what it was given and no
// more than it needs; the bounding set is root's to change, but no_new_privs
// makes it void.
func TestDropAsUser(t *testing.T) {
	needRoot(t)
	bound := boundingSet(t)
	for _, test := range []struct {
		given []uintptr
		left  string
		bits  uint64
	}{
		{nil, "", 0},
		{[]uintptr{unix.CAP_NET_ADMIN}, "cap_net_admin", 1 << unix.CAP_NET_ADMIN},
		{[]uintptr{unix.CAP_BPF, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_CHOWN}, "cap_net_raw,cap_net_admin,cap_bpf", netAndBPF},
	} {
		r := confine(t, order{OthersFiles: true, Files: proc}, nobody(test.given...))
		r.check(t, test.left, status(test.bits, bound))
	}
}

// nobody is an ordinary user with capabilities.
func nobody(given ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: given}
}

func boundingSet(t *testing.T) (bits uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "CapBnd:")
	if _, err := fmt.Sscanf(rest, "%x", &bits); err != nil {
		t.Fatal(err)
	}
	return bits
}

func TestRestrictFiles(t *testing.T) {
	if !landlocked(t) {
		return
	}
	dir := t.TempDir()
	var in [3]string // in a directory that may be read, one that may be written, one of neither
	for i, name := range []string{"read", "write", "other"} {
		in[i] = filepath.Join(dir, name, "file")
		if err := errors.Join(os.Mkdir(filepath.Dir(in[i]), 0o755), os.WriteFile(in[i], []byte("old"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	r := confine(t, order{
		Files:   Files{Read: []string{filepath.Dir(in[0]), "/proc", "/no/such"}, Write: []string{filepath.Dir(in[1]), "/no/such/either"}},
		TryRead: in[:], TryWrite: in[:], TryRun: "/bin/true",
	}, nil)
	want := map[string]bool{"read " + in[2]: true, "write " + in[0]: true, "write " + in[2]: true, "run /bin/true": true}
	for _, thread := range []string{"old ", "new "} {
		for what := range want {
			if !strings.Contains(r.Refused[thread+what], "permission denied") {
				t.Errorf("%s%s: %q, want permission denied", thread, what, r.Refused[thread+what])
			}
		}
	}
	if len(r.Refused) != 2*len(want) {
		t.Errorf("refused are %v", r.Refused)
	}
}

// landlocked tells whether this kernel has Landlock; where it has not,
// restricting says so and restricts nothing.
func landlocked(t *testing.T) bool {
	t.Helper()
	r := confine(t, order{Files: proc, TryRead: []string{"/etc/passwd"}}, nil)
	if (r.ABI > 0) != (len(r.Refused) > 0) {
		t.Errorf("Landlock version %d, but refused are %v", r.ABI, r.Refused)
	}
	return r.ABI > 0
}
