// Package fanout shares the frames of a NIC out among the workers of a
// direction, in the kernel (PACKET_FANOUT_EBPF).
//
// A frame's queue follows from its pair of outer IP addresses, whichever of the
// two sent it. So a control connection, the GRE of its calls and all fragments
// of a datagram have one queue in each direction, and stay in order. The
// kernel's own hash would not do: it looks through GRE at the packets that a
// call carries, and scatters them.
//
// Addresses are found behind VLAN tags, in SNAP and in PPPoE, where track/wire
// finds them. What has none (ARP, spanning tree, whatever is not IP) has queue 0.
package fanout

//go:generate go tool bpf2go -tags linux -cflags "-O2 -g -Wall -Werror -mcpu=v3 $BPF_CFLAGS" kernel fanout.c
