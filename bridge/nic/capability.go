package nic

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// required are the capabilities(7) the box needs: CAP_NET_RAW for packet
// sockets, CAP_NET_ADMIN for their buffers and for changes to NICs. What it
// keeps of them once it runs is package privilege's.
var required = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
}

// CapabilityCheck returns an error that says what is missing and how to get
// it, unless the process has the capabilities the box needs.
func CapabilityCheck() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // version 3 has 64 bits in two
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		program = "grewire"
	}
	return missing(uint64(data[1].Effective)<<32|uint64(data[0].Effective), program)
}

func missing(effective uint64, program string) error {
	var names []string
	for _, c := range required {
		if effective&(1<<c.bit) == 0 {
			names = append(names, c.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("missing %s: run it as root (sudo), or grant it to the program once with "+
		"`sudo setcap cap_net_raw,cap_net_admin,cap_bpf+ep %s`", strings.Join(names, " and "), program)
}
