package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/bridge/state"
	"github.com/grewire/grewire/config"
)

// surroundings are problems with what the box needs beside its NICs: that no
// other box has these, its directories, and real-time threads.
func surroundings(conf *config.Config, m *machine) []problemJSON {
	problems := takenProblems(&m.lan, &m.wan)
	problems = append(problems, socketProblems(conf.Status.Socket)...)
	problems = append(problems, stateProblems(conf.Status.State)...)
	if err := afpacket.MayBeRealTime(); err != nil {
		problems = append(problems, problemJSON{Severity: nic.Warning.String(), Message: notRealTime + ": " + err.Error(), Advice: realTimeAdvice})
	}
	return problems
}

// What a box says whose workers are ordinary threads.
const (
	notRealTime    = "the workers may not be real-time threads: others that compute make frames wait, and can starve the box"
	realTimeAdvice = "LimitRTPRIO=1 in its unit (ulimit -r 1), or CAP_SYS_NICE"
)

// takenProblems are warnings only: a configuration is often checked while the
// box runs that is to have it.
func takenProblems(nics ...*nic.NIC) (problems []problemJSON) {
	for _, n := range nics {
		if n.Exists && nic.Taken(n.Index) {
			problems = append(problems, problemJSON{nic.Warning.String(), n.Name, "a box carries frames on it now",
				"stop it before another is started; `grewire reload` has it read its configuration again"})
		}
	}
	return problems
}

// socketProblems: the box makes the directory of its control socket, if it may,
// and does not run without.
func socketProblems(path string) []problemJSON {
	dir := filepath.Dir(path)
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return []problemJSON{{Severity: nic.Fatal.String(), Message: "status.socket: " + path + " is no socket", Advice: "remove it, or set status.socket to another path"}}
	}
	err = writable(existing(dir))
	if err == nil {
		return privateProblems("status.socket", dir)
	}
	severity := nic.Fatal
	if errors.Is(err, fs.ErrPermission) {
		severity = nic.Warning // another user may
	}
	return []problemJSON{{Severity: severity.String(), Message: "status.socket: to run the box, this user cannot make it: " + err.Error(),
		Advice: fmt.Sprintf("create %s for the user of the box, or set status.socket to another path", dir)}}
}

// stateProblems: the box runs without its state, but its calls do not outlive
// it then.
func stateProblems(path string) []problemJSON {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	err := writable(dir)
	if err == nil {
		err = state.Check(path)
	}
	if err != nil {
		return []problemJSON{{Severity: nic.Warning.String(), Message: "status.state: calls of this user's box will not outlive a restart: " + err.Error(), Advice: stateAdvice(path, err)}}
	}
	return privateProblems("status.state", dir)
}

// privateProblems: whoever may write in a directory of the box may put their
// own files in the place of its.
func privateProblems(key, dir string) []problemJSON {
	info, err := os.Stat(dir)
	if err != nil || info.Mode()&0o022 == 0 {
		return nil
	}
	return []problemJSON{{Severity: nic.Warning.String(), Message: fmt.Sprintf("%s: others may write in %s (mode %#o)", key, dir, info.Mode().Perm()),
		Advice: fmt.Sprintf("`chmod go-w %s`, or set %s to a path in a directory of the box's own", dir, key)}}
}

// existing returns the directory, or the nearest one above it that is there.
func existing(dir string) string {
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// writable returns why this process may not make files in a directory.
func writable(dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "write in", Path: dir, Err: unix.ENOTDIR}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write in", Path: dir, Err: err}
	}
	return nil
}
