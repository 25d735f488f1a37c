package fanout

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
)

// Program tells the kernel which queue a frame has.
type Program struct{ objects kernelObjects }

// Load loads the program. It needs CAP_BPF, where kernel.unprivileged_bpf_disabled
// is set, which is usual. What uses the program keeps it beyond Close.
func Load() (*Program, error) {
	p := new(Program)
	if err := loadKernelObjects(&p.objects, nil); err != nil {
		return nil, explain(err)
	}
	return p, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("share frames out: missing CAP_BPF (%w)", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("share frames out: the kernel was built without CONFIG_BPF_SYSCALL (%w)", err)
	}
	return fmt.Errorf("share frames out: %w", err)
}

// FD is the program's file descriptor, valid until Close.
func (p *Program) FD() int { return p.objects.GrewireQueue.FD() }

// Close lets go of the program.
func (p *Program) Close() error { return p.objects.Close() }
