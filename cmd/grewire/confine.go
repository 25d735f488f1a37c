package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/grewire/grewire/bridge/privilege"
	"github.com/grewire/grewire/config"
)

// confine takes from the process what the box does not need from now on, and
// logs what is left. That concerns all of the process, for good: a program
// that shares it with others (a test) leaves it alone. A kernel that cannot
// restrict files keeps no box from running.
func (p *program) confine(conf *config.Config, path string, log *slog.Logger) error {
	if !p.alone {
		return nil
	}
	files := filesInUse(conf, path)
	left, err := privilege.DropCapabilities(anotherUsers(append(files.Write, path)))
	if err != nil {
		return err
	}
	version, err := privilege.RestrictFiles(files)
	if err != nil {
		log.Warn("any file stays in reach", "error", err)
	}
	log.Info("privileges dropped", "uid", os.Geteuid(), "capabilities", left, "no_new_privs", true,
		"landlock", version, "readable", files.Read, "writable", files.Write)
	return nil
}

// filesInUse are the files that a running box touches:
//   - the configuration, for a reload, with all that is beside it: editors put
//     a new file in the place of the old one. Where the name is a link, also
//     what is beside the file itself.
//   - /proc and /sys, where the kernel tells about NICs and BPF.
//   - the directories of the control socket and of the state.
func filesInUse(conf *config.Config, path string) privilege.Files {
	read := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(target) != read[0] {
		read = append(read, filepath.Dir(target))
	}
	write := []string{filepath.Dir(conf.Status.Socket)}
	if conf.Status.State != "" {
		write = append(write, filepath.Dir(conf.Status.State))
	}
	return privilege.Files{Read: append(read, "/proc", "/sys"), Write: write}
}

// anotherUsers reports whether one of the files belongs to another user: root
// needs CAP_DAC_OVERRIDE for them.
func anotherUsers(paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		return ok && int(owner.Uid) != os.Geteuid()
	})
}

// summary says how the box is in a line.
func (b *runningBox) summary() string {
	s := b.engine.Stats()
	return fmt.Sprintf("carrying frames between %s and %s: %s, %s, %s dropped", b.conf.Bridge.LAN, b.conf.Bridge.WAN,
		plural(uint64(s.Limits["calls"].Used), "call"), plural(s.Frames, "frame"), fmt.Sprint(s.Dropped))
}
