// Package load makes the frames of a measurement and judges what comes of them.
//
// A Path is one direction through a device. Its two ends are programs in the
// kernel (load.c), so that they cost little beside what is measured:
//
//   - The sender writes frames of GRE version 1, call by call in turn, at a pace
//     or as fast as it can. There are two: XDP, a program that the kernel runs in
//     a loop and whose frames leave without any socket; and Packet, the same in
//     Go over a packet socket, which every kernel and NIC has.
//   - The receiver is a program at tc ingress that drops every frame there, after
//     it has checked it. No receiver has to be awake, and none is overrun.
//
// # What is verified
//
// Every frame, at full rate: its length is one that was sent, and is what IP and
// GRE say; every field of the IP, GRE and PPP headers is as sent, the IP checksum
// is right; addresses and call ID are its call's (behind a device that translates:
// those that the call's ends have seen in their control connection); the Internet
// checksum of all octets behind is that of what was sent, so that no octet was
// changed or cut, though words that changed places would go unseen; it has a time
// only if one was written into it; and it does not come behind a frame of its call
// that was sent later, nor twice. Ethernet addresses are not compared, since some
// devices route. Frames that do not come are the difference between what was sent
// and received.
//
// # Time
//
// A timed frame has the time at which it was made (CLOCK_MONOTONIC) and the
// receiver counts by how much later it comes in at its NIC in a histogram of 3 %
// steps. No wake-up of a receiving process is in it.
package load

//go:generate go tool bpf2go -tags linux -cflags "-O2 -g -Wall -Werror -mcpu=v3 $BPF_CFLAGS" -type flow -type record -type counts kernel load.c
