package bypass

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

// clock gives the time of bpf_ktime_get_ns(), by which the programs go, without
// a system call. It is not read from CLOCK_MONOTONIC, which a time namespace
// shifts for the processes in it (time_namespaces(7)), but not for the programs;
// both run at the same pace.
type clock struct {
	start time.Time
	base  uint64
}

func (c clock) now() uint64 { return c.base + uint64(time.Since(c.start)) }

const (
	// clockReadings is how often the kernel's time is asked for: a reading that
	// was interrupted is worse than the others.
	clockReadings = 8
	// skbContext is room for a struct __sk_buff of this kernel and later ones.
	skbContext = 1024
	// skbControl is where its cb is.
	skbControl = 48
)

// newClock asks the kernel for its time. The clock may be early by the few
// microseconds that this takes, but not late: a worker that counts as missing for
// the programs does so for itself, too.
func newClock() (clock, error) {
	program, err := loadClock()
	if err != nil {
		return clock{}, err
	}
	defer program.Close()
	c, err := readClock(program)
	for i := 1; i < clockReadings && err == nil; i++ {
		var again clock
		if again, err = readClock(program); err == nil && again.base < c.base+uint64(again.start.Sub(c.start)) {
			c = again
		}
	}
	if err != nil {
		return clock{}, fmt.Errorf("the clock of the kernel's programs cannot be read: %w", err)
	}
	return c, nil
}

func loadClock() (*ebpf.Program, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(spec.Programs[kernelProgGrewireClock])
	if err != nil {
		return nil, explain(err)
	}
	return program, nil
}

// readClock runs grewire_clock once, for a frame of zeros.
func readClock(program *ebpf.Program) (clock, error) {
	var skb [skbContext]byte
	start := time.Now()
	_, err := program.Run(&ebpf.RunOptions{Data: make([]byte, 64), ContextOut: skb[:]})
	return clock{start, binary.NativeEndian.Uint64(skb[skbControl:])}, err
}
