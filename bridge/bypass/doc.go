// Package bypass keeps the host's IP stack away from what crosses the box, and
// leads frames past a box that does not move.
//
// A program at the tc ingress hook (TCX, Linux 6.6) of each of the two NICs
// decides about every frame after the box's packet socket has taken its copy.
// Usually it drops the frame: the host neither answers, forwards nor filters
// what is not its own. When there is a reason it sends the frame straight out
// of the other NIC instead, in the kernel:
//
//   - with fail = "open", while the worker of the direction has not beaten for
//     StaleAfter: the box has crashed, was stopped, or hangs;
//   - with either setting, after Force, when the worker has let go, or is
//     missing as above.
//
// The programs and their state belong to the NICs, not to the process: they
// stay when it dies, and are found again on the NICs by their names (Open,
// Find). A worker beats by a store into a page that it shares with the
// programs. Of several workers in a direction the one that has not moved for
// longest counts: frames go past the box all or none, since what one worker sends
// is not to be told from what another does, and the others notice by their beats.
//
// # Switching without duplicates
//
// The socket gets its copy of a frame also when the program sends the frame
// past the box, and the worker finds it in its queue when it comes back. The
// copy is queued before the program runs. A worker that comes back therefore
// beats first, which ends the bypass, and then drops all that is queued: see
// bridge.Guard, which this package implements. A second program, at tc egress,
// drops what a worker sends that was stopped right between its own look at the
// clock and the kernel's: it would come behind frames that went past. It also
// drops what the host sends by itself: that has no bridge.SocketMark.
//
// # Time
//
// Beats and the other times of the state are the kernel's own, which a process
// in a time namespace (time_namespaces(7)) does not see on its clock. So every
// process asks the kernel first, by a program that tells the time (clock.go).
// Processes of different time namespaces may share a state.
//
// # Permissions
//
// Attaching needs CAP_BPF and CAP_NET_ADMIN. Looking at what is attached
// already (Find; Open on NICs that have programs) needs CAP_SYS_ADMIN as well,
// as bpf(2) has it for BPF_PROG_GET_FD_BY_ID and BPF_MAP_GET_FD_BY_ID. A box
// without it has new programs and a new state, puts them before those of an
// earlier one, and detaches these: the kernel lists the IDs of what is attached
// to anybody, and takes away what is at a place in the list without seeing a
// file descriptor of it. Which of them are this package's, whether somebody
// wants a bypass, and which NICs were made promiscuous for it, says the record
// (Options): every process, whatever it may do, notes that there. No program
// that is neither in the record nor has one of their names is ever detached.
// Counters and the times of a bypass begin anew with the state, unless somebody
// has kept it (Keep).
package bypass

//go:generate go tool bpf2go -tags linux -cflags "-O2 -g -Wall -Werror -mcpu=v3 $BPF_CFLAGS" -type state -type side -type count kernel bypass.c
