package bypass

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// page is the memory that the programs and this process share. Whatever is in
// it is read and written with sync/atomic.
type page struct {
	*kernelState
	mapping []byte
}

func mapPage(m *ebpf.Map) (page, error) {
	mapping, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return page{}, fmt.Errorf("mmap %s: %w", kernelMapGrewireState, err)
	}
	return page{(*kernelState)(unsafe.Pointer(unsafe.SliceData(mapping))), mapping}, nil
}

func (p page) unmap() error { return unix.Munmap(p.mapping) }
