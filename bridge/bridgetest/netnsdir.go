package bridgetest

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// shareNamespaces makes the directory of named namespaces a mount of its own that
// is shared, as ip-netns(8) does at its first use: whoever did it later, while a
// lab is up, would hide the lab's namespaces under it. The lock is ip's, too, so
// that no two do it at once.
func shareNamespaces() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	share := func() error { return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); !errors.Is(err, unix.EINVAL) { // it says that this is no mount
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return share()
}
