package bypass

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// detachAttributes are those of BPF_PROG_DETACH in union bpf_attr.
type detachAttributes struct {
	ifindex  uint32
	_        uint32 // attach_bpf_fd: none, which program it is says its place
	hook     uint32
	flags    uint32
	_        uint32
	relative uint32
	revision uint64
}

// detachID takes a program from a hook by its ID, which needs no file
// descriptor of the program: one by its place in the list, if the list is still
// as it was seen.
func detachID(id ebpf.ProgramID, ifindex int, hook ebpf.AttachType) error {
	for {
		list, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: hook})
		if err != nil {
			return explain(err)
		}
		at := slices.IndexFunc(list.Programs, func(p link.AttachedProgram) bool { return p.ID == id })
		if at < 0 {
			return nil
		}
		attributes := detachAttributes{ifindex: uint32(ifindex), hook: uint32(hook), flags: unix.BPF_F_BEFORE, revision: list.Revision}
		if at > 0 {
			attributes.flags, attributes.relative = unix.BPF_F_AFTER|unix.BPF_F_ID, uint32(list.Programs[at-1].ID)
		}
		_, _, failed := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_DETACH, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
		switch {
		case failed == 0:
			return nil
		case failed != unix.ESTALE && !errors.Is(failed, fs.ErrNotExist): // else it has changed meanwhile
			return fmt.Errorf("detach the program %d: %w", id, failed)
		}
	}
}
