package bypass

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Keep gives the maps of the state, by name, to who keeps them open for the
// next box (Options.Kept): a service manager, see FDSTORE in sd_notify(3). The
// file descriptors are valid until keep returns.
func (b *Bypass) Keep(keep func(name string, fd int) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range []struct {
		name string
		of   *ebpf.Map
	}{{kernelMapGrewireState, b.maps.GrewireState}, {kernelMapGrewireCounts, b.maps.GrewireCounts}} {
		if err := keep(m.name, m.of.FD()); err != nil {
			return fmt.Errorf("keep the map %s: %w", m.name, err)
		}
	}
	return nil
}

// kept returns the bypass whose maps were kept, nil if they are not those of
// the NICs.
func kept(o Options) (*Bypass, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*ebpf.Map)
	for _, file := range o.Kept {
		want := spec.Maps[file.Name()]
		if want == nil || byName[file.Name()] != nil {
			continue
		}
		if m := mapOf(file); m != nil && want.Compatible(m) == nil {
			byName[file.Name()] = m
		} else if m != nil {
			m.Close()
		}
	}
	maps := &kernelMaps{GrewireState: byName[kernelMapGrewireState], GrewireCounts: byName[kernelMapGrewireCounts]}
	if maps.GrewireState == nil || maps.GrewireCounts == nil {
		return nil, maps.Close()
	}
	b, err := newBypass(o, maps)
	if err != nil {
		return nil, err
	}
	if !b.onNICs() {
		return nil, b.Close()
	}
	return b, nil
}

// mapOf returns the map of a file; nil if it is none.
func mapOf(file *os.File) *ebpf.Map {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	m, err := ebpf.NewMapFromFD(fd) // which closes it if it fails
	if err != nil {
		return nil
	}
	return m
}

// onNICs reports whether the state is that of a NIC that is there.
func (b *Bypass) onNICs() bool {
	for side, name := range b.nics {
		index, err := indexOf(name)
		if err == nil && uint32(index) == atomic.LoadUint32(&b.page.Sides[side].Nic) {
			return true
		}
	}
	return false
}
