// Package oracle plays the same frames through grewire and through the Linux
// kernel's PPTP helper (nf_conntrack_pptp) and compares what comes out.
//
// The kernel is right about most of PPTP, and wrong in ways that are known.
// So there are two oracles:
//
//	the kernel   a network namespace whose bridge passes frames through
//	             conntrack, with the helper attached, and lets only GRE
//	             through that is ESTABLISHED or RELATED (kernel.go)
//	the model    a small one of the helper and of conntrack's GRE tracker,
//	             in which every known flaw of the kernel can be switched on
//	             and off by itself (model.go, messages.go, gre.go)
//
// A random Sequence is played through the kernel, through a track.Tracker and
// through the model. What they let pass, and the calls they know in the end,
// must satisfy three conditions:
//
//  1. the model with every flaw does what the kernel does;
//  2. the model without any flaw does what grewire does;
//  3. so where kernel and grewire differ, some of the flaws are why. Explain
//     finds them: the fewest that make the model do as the kernel does.
//
// Each flaw is a Rule with a name, the reason why the kernel is wrong, the
// scenarios it spoils and an example. A difference for which there is no rule
// breaks one of the conditions.
//
// Random sequences are played by
//
//	go test ./bridge/oracle -v -run KernelAsOracle -args -sequences 5000 -seed 1
//
// which needs root, and a kernel with br_netfilter and nf_conntrack_pptp. It
// tells its seed, counts the differences by rule, and shrinks and prints the
// sequences that break a condition. The rules describe Linux 6.18.
//
// Time is not compared: every sequence takes the kernel a millisecond, so that
// no timeout of either is reached. Neither are fragments, IPv6 and VLANs.
//
// # Translation
//
// The kernel's NAT (nf_nat_pptp) is an oracle for grewire's masquerade, in what it
// is made for: one call for each connection, whole messages, connections that the
// LAN opens. A router with it stands where the bridge stood (router.go). What
// hosts say depends on the names by which they know each other, and each
// translator chooses its own: so a natStory is played, not a list of frames
// (natplay.go). Each deed has to get to the other end, with the names that it
// knows, through both or through neither; and what comes out of the two, and what
// the kernel changes, may differ only in fields that a natRule names.
//
//	go test ./bridge/oracle -v -run KernelNATAsOracle -args -stories 20000 -seed 1
package oracle
