package privilege

import (
	"fmt"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Files are directories with all that is in them. Those that do not exist are
// passed over: they stay out of reach when they come later.
type Files struct {
	Read  []string // may be read
	Write []string // may be read, written, made and removed
}

// What may be done, in the words of landlock(7). Nothing may be executed.
const (
	reading = llsyscall.AccessFSReadFile | llsyscall.AccessFSReadDir
	writing = reading | llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate |
		llsyscall.AccessFSMakeDir | llsyscall.AccessFSMakeReg | llsyscall.AccessFSMakeSock |
		llsyscall.AccessFSRemoveDir | llsyscall.AccessFSRemoveFile
)

// RestrictFiles keeps the process, in all threads and for good, from every
// file but these. What is open stays open. It returns the version of the
// kernel's Landlock ABI, 0 if this kernel has none (or has it off) and nothing
// is restricted.
//
// Version 8 is the most it uses: from 9 on, connecting to Unix sockets by path
// is restricted, too, and the service manager listens on one.
func RestrictFiles(f Files) (abi int, err error) {
	abi, err = llsyscall.LandlockGetABIVersion()
	if err != nil {
		return 0, nil // ENOSYS: not built in; EOPNOTSUPP: turned off at boot
	}
	_, _ = time.Now().Zone() // has /etc/localtime read while that is in reach
	err = landlock.V8.BestEffort().RestrictPaths(
		landlock.PathAccess(reading, f.Read...).IgnoreIfMissing(),
		landlock.PathAccess(writing, f.Write...).IgnoreIfMissing(),
	)
	if err != nil {
		return 0, fmt.Errorf("restrict the files in reach: %w", err)
	}
	return abi, nil
}
