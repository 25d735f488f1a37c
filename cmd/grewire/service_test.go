package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/privilege"
	"github.com/grewire/grewire/config"
)

// asNobody is the command line prefix that makes an ordinary user with
// capabilities, as User= and AmbientCapabilities= do.
func asNobody(capabilities ...string) []string {
	set := "-all"
	for _, name := range capabilities {
		set += ",+" + name
	}
	id := fmt.Sprint(nobody)
	return []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--inh-caps=" + set, "--ambient-caps=" + set, "--bounding-set=" + set}
}

const unitCapabilities = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF

// TestLabPrivileges: the box carries frames and answers as an ordinary user
// with the three capabilities of the unit, with the two that it cannot do
// without, and as root, which keeps CAP_SYS_NICE too; while it runs, none of its
// threads has more than those, or could get more.
func TestLabPrivileges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		uid   int
		by    []string
		bits  uint64
		bound uint64
	}{
		{"ordinary user", nobody, asNobody("net_raw", "net_admin", "bpf"), unitCapabilities, unitCapabilities},
		{"ordinary user without CAP_BPF", nobody, asNobody("net_raw", "net_admin"), unitCapabilities &^ (1 << unix.CAP_BPF), unitCapabilities &^ (1 << unix.CAP_BPF)},
		{"root", 0, nil, unitCapabilities | 1<<unix.CAP_SYS_NICE, unitCapabilities | 1<<unix.CAP_SYS_NICE},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newServiceLab(t)
			if err := os.Chown(filepath.Dir(l.socket()), test.uid, test.uid); err != nil {
				t.Fatal(err)
			}
			l.start(test.by...)
			l.ping()
			want := fmt.Sprintf("Uid %d %[1]d %[1]d %[1]d\nCapInh %016[2]x\nCapPrm %016[3]x\nCapEff %016[3]x\nCapBnd %016[4]x\nCapAmb %016[2]x\nNoNewPrivs 1", test.uid, 0, test.bits, test.bound)
			got := l.threadStatus("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
			if len(got) != 1 || got[want] == 0 {
				t.Errorf("threads have %v, want all to have\n%s", got, want)
			}
			l.checkAnswers()
			if log := l.process.Output(); !strings.Contains(log, "privileges dropped") || strings.Contains(log, "any file stays in reach") {
				t.Errorf("the box does not say what it gave up: %s", log)
			}
			l.stop()
		})
	}
}

// checkAnswers asks the box for its counters.
func (l *serviceLab) checkAnswers() {
	l.t.Helper()
	var stats boxStats
	got := grewire(l.t, "stats", "-json", "-socket", l.socket())
	if err := json.Unmarshal([]byte(got.out), &stats); err != nil || stats.Frames < 10 || stats.Dropped != 0 {
		l.t.Errorf("stats: %v: %s%s", err, got.out, got.errors)
	}
}

// TestLabOthersFiles: root that writes to another user's directory keeps the
// right to.
func TestLabOthersFiles(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t)
	if err := os.Chown(filepath.Dir(l.socket()), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	l.start()
	want := fmt.Sprintf("CapEff %016x", unitCapabilities|1<<unix.CAP_DAC_OVERRIDE|1<<unix.CAP_SYS_NICE)
	if got := l.threadStatus("CapEff"); len(got) != 1 || got[want] == 0 {
		t.Errorf("threads have %v, want %s", got, want)
	}
	l.stop()
}

// TestLabNoPrivileges: an ordinary user who lacks capabilities is told which,
// and how to get them.
func TestLabNoPrivileges(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t)
	for _, test := range []struct {
		by   []string
		want string
	}{
		{asNobody(), "grewire run: missing CAP_NET_RAW and CAP_NET_ADMIN: run it as root (sudo), or grant it"},
		{asNobody("net_raw", "bpf"), "grewire run: missing CAP_NET_ADMIN: "},
		{asNobody("net_admin"), "grewire run: missing CAP_NET_RAW: "},
		{asNobody("net_raw", "net_admin"), "control socket " + l.socket() + ": "}, // root's directory
	} {
		l.launch(test.by...)
		how, _ := l.watch()
		if how.ExitStatus() != exitFailed || !strings.Contains(l.process.Output(), test.want) {
			t.Errorf("status %#x: %s\nwant %q", how, l.process.Output(), test.want)
		}
	}
}

// TestLabWatchdog: a box that is stopped, or one of whose workers is, is not
// fed for and is ended; one that was killed is started again. Each time the
// next carries frames at once.
func TestLabWatchdog(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t)
	l.start()
	for _, harm := range []struct {
		name   string
		do     func(t *testing.T, pid int)
		signal []syscall.Signal // that may end it
		status string           // how its last one begins
	}{
		{"SIGSTOP", func(t *testing.T, pid int) { sendSignal(t, pid, unix.SIGSTOP) }, []syscall.Signal{unix.SIGKILL}, ""},
		{"one worker stands", holdWorker, []syscall.Signal{unix.SIGABRT, unix.SIGKILL}, "stuck: no frames are taken from the "},
		{"SIGKILL", func(t *testing.T, pid int) { sendSignal(t, pid, unix.SIGKILL) }, []syscall.Signal{unix.SIGKILL}, ""},
		// Exit code 2 would pass for a wrong configuration.
		{"SIGABRT", func(t *testing.T, pid int) { sendSignal(t, pid, unix.SIGABRT) }, []syscall.Signal{unix.SIGABRT}, ""},
	} {
		t.Run(harm.name, func(t *testing.T) {
			defer l.in(t)()
			l.ping()
			l.manager.wait("WATCHDOG")
			start := time.Now()
			harm.do(t, l.process.PID())
			how, status := l.watch()
			if !how.Signaled() || !slices.Contains(harm.signal, how.Signal()) {
				t.Errorf("it ended with status %#x (%v), want one of %v", how, how.Signal(), harm.signal)
			}
			if !strings.HasPrefix(status, harm.status) {
				t.Errorf("its last status was %q, want %q", status, harm.status)
			}
			if harm.name == "SIGABRT" && !strings.Contains(l.process.Output(), "goroutine ") {
				t.Errorf("it does not say where it was: %s", l.process.Output())
			}
			l.start()
			t.Logf("ready again %v after the harm", time.Since(start).Round(time.Millisecond))
			l.ping()
		})
	}
	l.stop()
}

func sendSignal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := unix.Kill(pid, s); err != nil {
		t.Error(err)
	}
}

// holdWorker stops the thread of one worker, as a debugger does, until its
// process is killed; all else in the process goes on.
func holdWorker(t *testing.T, pid int) {
	t.Helper()
	tid := workerThread(t, pid)
	held := make(chan error)
	go func() {
		runtime.LockOSThread() // a tracer is a thread (ptrace(2)); it ends with the goroutine
		err := unix.PtraceSeize(tid)
		if err == nil {
			err = unix.PtraceInterrupt(tid)
		}
		if err == nil {
			_, err = unix.Wait4(tid, nil, unix.WALL, nil) // for it to stop
		}
		held <- err
		_, _ = unix.Wait4(tid, nil, unix.WALL, nil) // what is left of it is its tracer's to collect
	}()
	if err := <-held; err != nil {
		t.Fatalf("hold thread %d: %v", tid, err)
	}
}

// workerThread finds a thread that may use one CPU only, as a worker's, and is
// not the process's first, whose end is its parent's to see.
func workerThread(t *testing.T, pid int) (tid int) {
	t.Helper()
	if runtime.NumCPU() == 1 {
		t.Fatal("with one CPU a worker's thread cannot be told from others")
	}
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid)) // the pattern is right, so no error
	for _, path := range paths {
		var tid int
		var allowed unix.CPUSet
		if _, err := fmt.Sscan(filepath.Base(path), &tid); err == nil && tid != pid && unix.SchedGetaffinity(tid, &allowed) == nil && allowed.Count() == 1 {
			return tid
		}
	}
	t.Fatalf("no worker among the threads %v", paths)
	return 0
}

// TestLabSecondSignal: a box that is slow to stop, here because nobody reads
// its log, stops at once when it is asked again.
func TestLabSecondSignal(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			l := newServiceLab(t)
			l.stderr = fullPipe(t)
			l.start()
			sendSignal(t, l.process.PID(), unix.SIGTERM)
			l.manager.wait("STOPPING")
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			for !l.ended() {
				if err := unix.Kill(l.process.PID(), second); err != nil && !errors.Is(err, unix.ESRCH) { // it may just have ended
					t.Error(err)
				}
				select {
				case <-ticker.C:
				case <-l.process.Done():
				}
			}
			if how := l.how(); !how.Signaled() || how.Signal() != second {
				t.Errorf("it ended with status %#x, want %v", how, second)
			}
		})
	}
}

// fullPipe returns the end of a pipe that takes nothing more.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	read, write := os.NewFile(uintptr(ends[0]), "read"), os.NewFile(uintptr(ends[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	size, err := unix.FcntlInt(write.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	return write
}

// TestFilesInUse: what a reload and the state need stays in reach.
func TestFilesInUse(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real", "box.toml"), filepath.Join(dir, "etc", "grewire.toml")
	for _, path := range []string{real, link} {
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(real, nil, 0o600), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	conf := config.Default()
	got := filesInUse(&conf, link)
	want := privilege.Files{
		Read:  []string{filepath.Dir(link), filepath.Dir(real), "/proc", "/sys"},
		Write: []string{"/run/grewire", "/var/lib/grewire"},
	}
	if !slices.Equal(got.Read, want.Read) || !slices.Equal(got.Write, want.Write) {
		t.Errorf("got %v, want %v", got, want)
	}
	if anotherUsers([]string{real, "/no/such"}) || os.Geteuid() == 0 && os.Chown(real, nobody, nobody) == nil && !anotherUsers([]string{link}) {
		t.Error("the owner of a file is mistaken")
	}
}
