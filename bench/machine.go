package bench

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a run took place.
type Machine struct {
	Kernel  string   `json:"kernel"`
	CPU     string   `json:"cpu"`
	CPUs    int      `json:"cpus"`
	Memory  uint64   `json:"memory"` // octets
	Arch    string   `json:"arch"`
	Go      string   `json:"go"`
	Grewire string   `json:"grewire"`
	Command []string `json:"command"`
}

// ThisMachine describes the machine and what runs on it: version is grewire's.
func ThisMachine(version string) Machine {
	m := Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Go: runtime.Version(), Grewire: version, Command: os.Args}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	return m
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
