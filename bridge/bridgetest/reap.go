package bridgetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Rounds and time that the end of a lab's processes may take.
const (
	reapRounds = 10
	reapWait   = 5 * time.Second
)

// killMarked ends the processes that a lab's processes left behind: daemons
// leave their process group, but they inherit the marker. Those that started
// others meanwhile are found in the next round.
func killMarked(id string) error {
	for range reapRounds {
		pids := markedProcesses(id)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := killOne(pid, id); err != nil {
				return fmt.Errorf("end process %d of %s: %w", pid, id, err)
			}
		}
	}
	return fmt.Errorf("%s: processes %v keep starting others", id, markedProcesses(id))
}

func markedProcesses(id string) []int {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is right, so no error
	var pids []int
	for _, path := range environments {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && pid != os.Getpid() && isMarked(pid, id) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isMarked(pid int, id string) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false // gone
	}
	return slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(variable []byte) bool {
		return string(variable) == marker+"="+id
	})
}

// running reports whether there is a process of that ID that has not ended; one
// that only nobody has waited for yet (a zombie) has.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which may have any characters (proc_pid_stat(5)).
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return !bytes.HasPrefix(state, []byte(" Z")) && !bytes.HasPrefix(state, []byte(" X"))
}

// killOne kills one marked process and waits for its end. It holds the
// process by a file descriptor, so that the ID cannot become another's.
func killOne(pid int, id string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	if !isMarked(pid, id) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("pidfd_send_signal: %w", err)
	}
	return waitPidfd(fd)
}

func waitPidfd(fd int) error {
	deadline := time.Now().Add(reapWait)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(max(0, time.Until(deadline)).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n == 0:
			return fmt.Errorf("still there after %v", reapWait)
		default:
			return nil
		}
	}
}

// named finds the lab's processes of a program's name.
func (l *Lab) named(name string) []int {
	return slices.DeleteFunc(markedProcesses(l.id), func(pid int) bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err != nil || string(bytes.TrimSpace(comm)) != name
	})
}

// parent returns the ID of a process's parent, 0 if it is gone.
func parent(pid int) (ppid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// State and parent follow the name, which may have any characters.
	_, _ = fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), "%s %d", new(string), &ppid)
	return ppid
}
