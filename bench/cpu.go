package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHz is the unit of the times in /proc, whatever the kernel's tick is
// (times(2): sysconf(_SC_CLK_TCK) is 100 on all of Linux's architectures that Go
// knows).
const userHz = 100

// usage is how long CPUs have been busy.
type usage struct {
	User, System time.Duration
}

func (u usage) minus(v usage) usage { return usage{u.User - v.User, u.System - v.System} }

func ticks(field string) time.Duration {
	n, _ := strconv.ParseInt(field, 10, 64) // the kernel writes digits
	return time.Duration(n) * time.Second / userHz
}

// machineUsage reads /proc/stat: all CPUs, interrupts included, time stolen by a
// hypervisor not.
func machineUsage() (usage, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	// cpu user nice system idle iowait irq softirq steal …
	f := strings.Fields(string(line))
	if len(f) < 8 || f[0] != "cpu" {
		return usage{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return usage{User: ticks(f[1]) + ticks(f[2]), System: ticks(f[3]) + ticks(f[6]) + ticks(f[7])}, nil
}

// processUsage reads /proc/PID/stat.
func processUsage(pid int) (usage, error) {
	if pid == 0 {
		return usage{}, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The name, in brackets, may have any characters; state is the third field.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(f) <= stime {
		return usage{}, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	return usage{ticks(f[utime]), ticks(f[stime])}, nil
}

// allowedCPUs are those that this process may use, in their order.
func allowedCPUs() (cpus []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
