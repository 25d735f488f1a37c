package privilege

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	capability "kernel.org/pub/linux/libs/security/libcap/cap"
)

// needed are the capabilities that a running box uses:
//   - CAP_NET_RAW opens packet sockets, again whenever a NIC was deleted and
//     is back (packet(7)).
//   - CAP_NET_ADMIN sets their buffers beyond the system's limit, takes a NIC
//     down and up for link_propagation, sets promiscuous mode and offloads, and
//     attaches tc programs.
//   - CAP_BPF loads the tc program for a NIC that is back (bpf(2)).
//   - CAP_SYS_NICE makes real-time threads of the workers while they wait
//     (sched(7)); an RLIMIT_RTPRIO of 1 does as well.
//
// They do not have to be there: those that are not are not missed here.
var needed = []capability.Value{capability.NET_RAW, capability.NET_ADMIN, capability.BPF, capability.SYS_NICE}

// DropCapabilities leaves the process with those of CAP_NET_RAW, CAP_NET_ADMIN,
// CAP_BPF and CAP_SYS_NICE that it has, and with CAP_DAC_OVERRIDE if it has it and
// othersFiles says that the box works on files of another user. No program
// that it could run gets more: no_new_privs is set (prctl(2)), the ambient
// and inheritable sets are empty, and the bounding set, which only a process
// with CAP_SETPCAP can change, is cut to the same. All threads are changed. The
// user is not: root stays root, but has no power over the files of others. It
// returns the names of what is left, in the form "cap_net_raw,cap_bpf".
func DropCapabilities(othersFiles bool) (left string, err error) {
	had := capability.GetProc()
	keep := held(had, needed)
	if othersFiles {
		keep = append(keep, held(had, []capability.Value{capability.DAC_OVERRIDE})...)
	}
	if _, err := capability.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "", fmt.Errorf("set no_new_privs: %w", err)
	}
	if mayCut, _ := had.GetFlag(capability.Effective, capability.SETPCAP); mayCut {
		if err := cutBound(keep); err != nil {
			return "", fmt.Errorf("cut the bounding set of capabilities: %w", err)
		}
	}
	if err := capability.ResetAmbient(); err != nil {
		return "", fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if err := hold(keep); err != nil {
		return "", fmt.Errorf("drop capabilities: %w", err)
	}
	return names(keep), nil
}

// held returns those of some capabilities that a set permits.
func held(set *capability.Set, some []capability.Value) (values []capability.Value) {
	for _, v := range some {
		if on, err := set.GetFlag(capability.Permitted, v); err == nil && on {
			values = append(values, v)
		}
	}
	return values
}

// cutBound drops every capability from the bounding set but those to keep.
func cutBound(keep []capability.Value) error {
	kept := make(map[capability.Value]bool)
	for _, v := range keep {
		kept[v] = true
	}
	var cut []capability.Value
	for v := capability.Value(0); v < capability.MaxBits(); v++ {
		if !kept[v] {
			cut = append(cut, v)
		}
	}
	return capability.DropBound(cut...)
}

// hold makes the capabilities the only ones, permitted and effective.
func hold(keep []capability.Value) error {
	set := capability.NewSet()
	for _, flag := range []capability.Flag{capability.Permitted, capability.Effective} {
		if err := set.SetFlag(flag, true, keep...); err != nil {
			return err
		}
	}
	return set.SetProc()
}

func names(values []capability.Value) string {
	var names []string
	for _, v := range values {
		names = append(names, v.String())
	}
	return strings.Join(names, ",")
}
