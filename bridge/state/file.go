package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MaxAge is how old a file may be that is restored: after as long without the
// box no call lives, unless frames went past it.
const MaxAge = 10 * time.Minute

// File is the state file of a box. It is for one goroutine.
type File struct {
	path string
	id   Identity
	lock *os.File
}

// ErrForeign says that something else than a state has the file's name.
var ErrForeign = errors.New("there is something else")

// Open opens the file of a box, which need not exist yet; its directory must.
// Until Close, no other process can open it. What Check refuses is not opened:
// Write would put a file in its place. Files of that name with ".new" and ".lock"
// behind it are the package's own.
func Open(path string, id Identity) (*File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("state file %s: another grewire keeps its state there: %w", path, err)
	}
	return &File{path: path, id: id, lock: lock}, nil
}

const fileMode = 0o600

// Check returns an error, an ErrForeign where that can be told, unless the file
// may be replaced: there is none, or an empty one, or one that begins like a
// state, however old or broken it is.
func Check(path string) error {
	if err := replaceable(path); err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return nil
}

func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w, which is no plain file", ErrForeign)
	case info.Size() == 0:
		return nil
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() { // it is another file than a moment ago
		return fmt.Errorf("%w, which is no plain file", ErrForeign)
	}
	var begin [len(magic)]byte
	if n, err := io.ReadFull(file, begin[:]); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	} else if !bytes.Equal(begin[:n], magic[:n]) {
		return fmt.Errorf("%w, a file that is no state of a box", ErrForeign)
	}
	return nil
}

// Close lets others open the file.
func (f *File) Close() error { return f.lock.Close() }

// Read returns what was written last and how long ago that was. The error wraps
// fs.ErrNotExist if nothing was.
func (f *File) Read(now Moment) (*Contents, time.Duration, error) {
	c, err := f.read()
	if err != nil {
		return nil, 0, fmt.Errorf("state file %s: %w", f.path, err)
	}
	age := c.Written.Until(now)
	switch {
	case c.Identity != f.id:
		err = fmt.Errorf("%w: that one has the NICs %q and %q", ErrOther, c.Identity.LAN, c.Identity.WAN)
	case len(c.Saved.Connections) == 0: // it may be of any time
	case age > MaxAge:
		err = fmt.Errorf("%w: it was written %s ago, more than %s", ErrOld, age.Round(time.Second), MaxAge)
	case age < 0:
		err = fmt.Errorf("%w to tell: it was written %s from now, before the clock was set", ErrOld, -age.Round(time.Second))
	}
	if err != nil {
		return nil, 0, fmt.Errorf("state file %s: %w", f.path, err)
	}
	return c, age, nil
}

func (f *File) read() (*Contents, error) {
	// Without O_NONBLOCK a pipe would be waited for.
	file, err := os.OpenFile(f.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := trusted(file)
	if err != nil {
		return nil, err
	}
	return Decode(file, size)
}

// trusted returns the size of a file that nobody but this user or root can have
// written.
func trusted(file *os.File) (size int64, err error) {
	var info unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &info); err != nil {
		return 0, err
	}
	switch {
	case info.Mode&unix.S_IFMT != unix.S_IFREG:
		return 0, fmt.Errorf("%w: it is no plain file", ErrBroken)
	case info.Mode&0o022 != 0:
		return 0, fmt.Errorf("%w: others may write it (mode %#o)", fs.ErrPermission, info.Mode&0o777)
	case info.Uid != 0 && int(info.Uid) != os.Geteuid():
		return 0, fmt.Errorf("%w: it belongs to user %d", fs.ErrPermission, info.Uid)
	}
	return info.Size, nil
}

// Write puts c, with f's identity, in place of what was written before. Whatever
// happens meanwhile, the file has either. What Check refuses is left alone.
func (f *File) Write(c *Contents) error {
	c.Identity = f.id
	if err := f.write(c); err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	return nil
}

func (f *File) write(c *Contents) error {
	next := f.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	err = Encode(file, c)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := replaceable(f.path); err != nil { // somebody may have put it there meanwhile
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Now returns this moment.
func Now() Moment {
	m := Moment{Wall: time.Now().UnixNano()}
	var since unix.Timespec
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil && unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) == nil {
		m.Since = since.Nano() - bootOffset()
		copy(m.Boot[:], bytes.TrimSpace(id))
	}
	return m
}

// bootOffset is by how much a time namespace shifts CLOCK_BOOTTIME for this
// process (time_namespaces(7)), in nanoseconds. The next box may be in another.
func bootOffset() int64 {
	offsets, err := os.ReadFile("/proc/self/timens_offsets")
	if err != nil {
		return 0 // the kernel has no time namespaces
	}
	for line := range strings.Lines(string(offsets)) {
		var seconds, nanoseconds int64
		if n, _ := fmt.Sscanf(line, "boottime %d %d", &seconds, &nanoseconds); n == 2 {
			return seconds*int64(time.Second) + nanoseconds
		}
	}
	return 0
}
