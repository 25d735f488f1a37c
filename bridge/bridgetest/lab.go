package bridgetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netns"
)

// netnsDir is where named network namespaces live (ip-netns(8)).
const netnsDir = "/run/netns"

// marker is the environment variable that every process of a lab inherits. It
// tells the lab's own processes from those a user started in its namespaces.
const marker = "GREWIRE_LAB"

// labNumber tells the labs of one process apart.
var labNumber atomic.Uint64

// ownName matches the namespaces and directories of labs: grewire-PID-N and
// what follows.
var ownName = regexp.MustCompile(`^grewire-([0-9]+)-[0-9]+(-|$)`)

// Lab is a set of network namespaces with the processes in them. It is safe
// for concurrent use.
type Lab struct {
	id  string // grewire-PID-N
	dir string

	mu         sync.Mutex
	closed     bool
	namespaces map[string]*Namespace
	processes  []*Process
}

// TB is what New needs of a testing.TB. Programs that open labs import this
// package, and package testing has no place in them.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Skip(args ...any)
	Fatal(args ...any)
	Error(args ...any)
}

// New opens a lab that is closed when the test ends. The test is skipped when
// it does not run as root.
func New(t TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root: run this test with sudo")
	}
	lab, err := Open(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// Open opens a lab for a program, which must Close it. The name is for the
// lab's directory and error messages. Open first sweeps what labs of dead
// processes left behind. It needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN).
func Open(name string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run this with sudo")
	}
	if err := shareNamespaces(); err != nil {
		return nil, fmt.Errorf("make %s a shared mount: %w", netnsDir, err)
	}
	if err := sweep(); err != nil {
		return nil, fmt.Errorf("sweep the labs of dead processes: %w", err)
	}
	id := fmt.Sprintf("grewire-%d-%d", os.Getpid(), labNumber.Add(1))
	dir, err := os.MkdirTemp("", id+"-"+fileName(name)+"-")
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	openBuilds()
	return &Lab{id: id, dir: dir, namespaces: make(map[string]*Namespace)}, nil
}

// Dir returns the lab's own directory; it goes when the lab is closed.
func (l *Lab) Dir() string { return l.dir }

// Namespace returns the namespace of that name and makes it at the first use:
// loopback up, IPv6 off so that no frame is sent which nobody asked for.
func (l *Lab) Namespace(name string) (*Namespace, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ns := l.namespaces[name]; ns != nil {
		return ns, nil
	}
	if l.closed {
		return nil, fmt.Errorf("namespace %s: the lab is closed", name)
	}
	ns, err := newNamespace(l, name)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	l.namespaces[name] = ns
	return ns, nil
}

// own has the lab end the process when it closes.
func (l *Lab) own(p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("the lab is closed")
	}
	l.processes = append(l.processes, p)
	return nil
}

// Close ends the lab's processes, removes its namespaces with all NICs in
// them and its directory. Closing it again does nothing.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	processes := l.processes
	l.mu.Unlock()

	var errs []error
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].Kill()
	}
	errs = append(errs, killMarked(l.id))
	for _, ns := range l.namespaces {
		errs = append(errs, ns.close())
	}
	errs = append(errs, os.RemoveAll(l.dir), closeBuilds())
	return errors.Join(errs...)
}

// sweep removes the processes, namespaces and directories of labs whose
// process is gone.
func sweep() error {
	var errs []error
	dead := make(map[string]bool)
	for _, path := range globOwn(netnsDir, os.TempDir()) {
		id, gone := deadLab(filepath.Base(path))
		if !gone {
			continue
		}
		if !dead[id] {
			dead[id] = true
			errs = append(errs, killMarked(id))
		}
		errs = append(errs, removeStale(path))
	}
	return errors.Join(errs...)
}

func globOwn(dirs ...string) []string {
	var paths []string
	for _, dir := range dirs {
		matches, _ := filepath.Glob(filepath.Join(dir, "grewire-*")) // the pattern is right, so no error
		paths = append(paths, matches...)
	}
	return paths
}

// deadLab returns the id of the lab that a file belongs to, and whether that
// lab's process is gone.
func deadLab(file string) (id string, gone bool) {
	match := ownName.FindStringSubmatch(file)
	if match == nil {
		return "", false
	}
	pid, err := strconv.Atoi(match[1])
	if err != nil || running(pid) {
		return "", false
	}
	return strings.TrimSuffix(match[0], "-"), true
}

func removeStale(path string) error {
	if filepath.Dir(path) != netnsDir {
		return os.RemoveAll(path)
	}
	if err := netns.DeleteNamed(filepath.Base(path)); err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// A file that nothing is mounted on: its maker died between the two steps.
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// fileName makes a test's name usable in a file's.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}
