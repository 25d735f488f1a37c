package bypass

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// record is a file that says what processes left on NICs, for one that may not
// look at that (see Permissions in the package comment). An empty path means
// that there is none.
type record struct{ path string }

// traces are what processes left since the machine was started.
type traces struct {
	Boot string `json:"boot"` // boot_id, see random(4): the rest holds as long
	// Programs may be on NICs, oldest first. No ID is given twice: the kernel
	// counts on through all of its 2^31 (idr_alloc_cyclic).
	Programs    []ebpf.ProgramID `json:"programs"`
	Forced      uint64           `json:"forced,omitempty"`      // as in the shared state
	Promiscuous []uint32         `json:"promiscuous,omitempty"` // ifindexes of NICs that were not before
}

// maxRecorded is how many programs a record may name, so that it stays within a
// page, which is written as a whole.
const maxRecorded = 256

// read returns what is recorded; nothing if that is of another boot.
func (r record) read() (traces, error) {
	if r.path == "" {
		return traces{}, nil
	}
	file, err := os.OpenFile(r.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return traces{}, nil
	}
	if err != nil {
		return traces{}, err
	}
	defer file.Close()
	if err := lock(file, unix.LOCK_SH); err != nil {
		return traces{}, fmt.Errorf("%s: %w", r.path, err)
	}
	return readTraces(file)
}

// lockTimeout is how long another process may have the record locked, and
// lockRetry how soon it is tried again.
const (
	lockTimeout = 2 * time.Second
	lockRetry   = 10 * time.Millisecond
)

// lock locks a record, if it is one that can be trusted: another user could lock
// one of his own without end. A process that was stopped holds others up for
// lockTimeout.
func lock(file *os.File, how int) error {
	if err := trusted(file); err != nil {
		return err
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockRetry) {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return fmt.Errorf("lock: %w", err)
		}
	}
}

func readTraces(file *os.File) (t traces, err error) {
	if err := trusted(file); err != nil {
		return traces{}, fmt.Errorf("%s: %w", file.Name(), err)
	}
	// What is behind the object is of a longer one that was there before.
	err = json.NewDecoder(io.LimitReader(file, 1<<16)).Decode(&t)
	if err != nil && !errors.Is(err, io.EOF) {
		return traces{}, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if boot := bootID(); t.Boot != boot || boot == "" {
		return traces{}, nil
	}
	return t, nil
}

// trusted returns why a file may be by somebody who has no say here; root trusts
// whom the directory belongs to, the user of a box.
func trusted(file *os.File) error {
	var info unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &info); err != nil {
		return err
	}
	switch {
	case info.Mode&unix.S_IFMT != unix.S_IFREG || info.Nlink != 1:
		return errors.New("it is no plain file of one name")
	case info.Mode&0o022 != 0:
		return fmt.Errorf("%w: others may write it (mode %#o)", fs.ErrPermission, info.Mode&0o777)
	case int(info.Uid) != 0 && int(info.Uid) != os.Geteuid() && (os.Geteuid() != 0 || int(info.Uid) != user(file.Name())):
		return fmt.Errorf("%w: it belongs to user %d", fs.ErrPermission, info.Uid)
	}
	return nil
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// update changes what is recorded. A process that is killed meanwhile leaves
// what was there before, or what is to be there.
func (r record) update(change func(*traces)) error {
	if r.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := lock(file, unix.LOCK_EX); err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	r.give(file)
	t, _ := readTraces(file) // what cannot be read is of no use
	change(&t)
	t.Boot = bootID()
	t.Programs = t.Programs[max(0, len(t.Programs)-maxRecorded):]
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(append(text, '\n'), 0)
	return err
}

// Forget has the next box believe that nobody wants a bypass, whatever the
// record says. It is for when the NICs are gone, and every state with them but
// that of a box that runs.
func Forget(o Options) error {
	r := record{o.Record}
	if left, err := r.read(); err != nil || left.Forced == 0 {
		return err
	}
	return r.update(func(t *traces) { t.Forced = 0 })
}

// give leaves a file that root made to the user of a box.
func (r record) give(file *os.File) {
	if os.Geteuid() == 0 {
		_ = file.Chown(user(r.path), -1)
	}
}

// user returns to whom the directory of a file belongs, -1 if that is unknown.
func user(path string) int {
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &dir); err != nil {
		return -1
	}
	return int(dir.Uid)
}

// without returns the IDs of all that are not among others.
func without(all, others []ebpf.ProgramID) (rest []ebpf.ProgramID) {
	for _, id := range all {
		if !slices.Contains(others, id) {
			rest = append(rest, id)
		}
	}
	return rest
}
