package bypass

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// hooks are where a NIC has programs.
var hooks = [...]ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

// names are the programs' names, as bpftool shows them too.
var names = []string{kernelProgGrewireLan, kernelProgGrewireWan, kernelProgGrewireToLan, kernelProgGrewireToWan}

// attached returns the IDs of this package's programs that a NIC has at a hook,
// in their order: those that known has, and, if this process may look, those
// that have the names of this package's.
func attached(ifindex int, hook ebpf.AttachType, known []ebpf.ProgramID) (ours []ebpf.ProgramID, err error) {
	query, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: hook})
	if err != nil {
		return nil, explain(err)
	}
	for _, p := range query.Programs {
		is := slices.Contains(known, p.ID)
		if !is {
			program, err := look(p.ID)
			if err != nil && !errors.Is(err, unix.EPERM) {
				return nil, err
			}
			if is = program != nil; is {
				program.Close()
			}
		}
		if is {
			ours = append(ours, p.ID)
		}
	}
	return ours, nil
}

// look returns the program of this package that has an ID, to be closed by the
// caller; nil if that is another's, or detached meanwhile.
func look(id ebpf.ProgramID) (*ebpf.Program, error) {
	program, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the program %d: %w", id, err)
	}
	if info, err := program.Info(); err != nil || !slices.Contains(names, info.Name) {
		program.Close()
		return nil, nil
	}
	return program, nil
}

// idOf returns the ID of a program of this process.
func idOf(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, fmt.Errorf("look at the program %s: %w", p, err)
	}
	id, _ := info.ID() // every kernel that has TCX says it
	return id, nil
}

// permitted reports whether this process may load and attach programs.
func permitted() bool {
	have := func(v cap.Value) bool {
		on, err := cap.GetProc().GetFlag(cap.Effective, v)
		return err == nil && on
	}
	return have(cap.SYS_ADMIN) || have(cap.BPF) && have(cap.NET_ADMIN)
}

// mapsOf returns the maps that a program uses; nil if they are of another
// version of this package.
func mapsOf(p *ebpf.Program, spec *ebpf.CollectionSpec) (*kernelMaps, error) {
	info, err := p.Info()
	if err != nil {
		return nil, fmt.Errorf("look at the program %s: %w", p, err)
	}
	ids, _ := info.MapIDs()
	byName := make(map[string]*ebpf.Map)
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("look at the map %d: %w", id, err)
		}
		info, err := m.Info()
		if err != nil || spec.Maps[info.Name] == nil || spec.Maps[info.Name].Compatible(m) != nil || byName[info.Name] != nil {
			m.Close()
			continue
		}
		byName[info.Name] = m
	}
	found := &kernelMaps{GrewireState: byName[kernelMapGrewireState], GrewireCounts: byName[kernelMapGrewireCounts]}
	if found.GrewireState == nil || found.GrewireCounts == nil {
		for _, m := range byName {
			m.Close()
		}
		return nil, nil
	}
	return found, nil
}

// leftOver returns the maps of the first program of this package that a NIC
// has, nil if there is none.
func leftOver(ifindex int, spec *ebpf.CollectionSpec) (*kernelMaps, error) {
	query, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return nil, explain(err)
	}
	for _, p := range query.Programs {
		program, err := look(p.ID)
		if err != nil {
			return nil, err
		}
		if program == nil {
			continue
		}
		maps, err := mapsOf(program, spec)
		program.Close()
		if maps != nil || err != nil {
			return maps, err
		}
	}
	return nil, nil
}

// ErrUnavailable says that this kernel, or this process, cannot have a bypass.
// Its text names what is missing.
var ErrUnavailable = errors.New("no bypass")

// explain names what a failed call says is missing.
func explain(err error) error {
	if errors.Is(err, ebpf.ErrNotSupported) && !permitted() {
		err = unix.EPERM // the library tells a kernel that refuses from one that cannot by trying
	}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: missing CAP_BPF or CAP_NET_ADMIN (%w)", ErrUnavailable, err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: the kernel has no TCX, which came with Linux 6.6 and needs CONFIG_NET_XGRESS (%w)", ErrUnavailable, err)
	case errors.Is(err, unix.ERANGE):
		return fmt.Errorf("%w: the NIC has as many tc programs as the kernel allows; `grewire bypass off` as root takes those of earlier boxes away (%w)", ErrUnavailable, err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: the kernel was built without CONFIG_BPF_SYSCALL (%w)", ErrUnavailable, err)
	}
	return err
}

// Probe finds out whether a bypass can be had here, without touching a NIC.
// The error is an ErrUnavailable that names what is missing.
func Probe() error {
	const loopback = 1 // ifindex of lo in every network namespace
	if _, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress}); err != nil {
		return explain(err)
	}
	var objects kernelObjects
	if err := loadKernelObjects(&objects, nil); err != nil {
		return explain(err)
	}
	return objects.Close()
}
