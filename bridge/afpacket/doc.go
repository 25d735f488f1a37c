// Package afpacket is a bridge.Port over an AF_PACKET socket (packet(7)).
//
// A frame comes out of Receive as it was on the wire and leaves by Send as it
// is in memory:
//
//   - The kernel takes the outermost VLAN tag out of a frame before any packet
//     socket sees it. It comes back beside the frame (PACKET_AUXDATA, or the
//     slot's header) and is put in place again, with its own TPID, PCP, DEI and
//     VID; a priority tag (VID 0) too.
//   - A frame whose checksum is unfinished, or which is several segments in
//     one (GRO, TSO), crosses as it is: its virtio_net_hdr (PACKET_VNET_HDR)
//     travels with it as wire.Offload, and the kernel finishes the work at the
//     egress NIC if that NIC does not.
//   - A frame that did not fit is marked Truncated and is never sent.
//   - What the box or its host sends itself is never received
//     (PACKET_IGNORE_OUTGOING).
//
// # Two ways in, one way out
//
// A Port sends with sendmmsg(2), up to bridge.BatchSize frames at a time, from
// wherever their bytes are. It receives by one of two backends:
//
//   - MMsg copies frames out of the socket's queue, with one recvmmsg(2) for a
//     batch.
//   - Ring reads them where the kernel put them, in a ring of slots that both
//     share (TPACKET_V2), and sends them from there. The slots of a batch go
//     back to the kernel with the next Receive. A frame that is longer than a
//     slot (which has room for the MTU at Open) comes out of the queue whole,
//     when its slot's turn comes.
//
// Auto is Ring, by measurement (veth pairs, two busy cores, medians of 8 rounds,
// as shares of what a Linux bridge does between them): 60-octet frames 0.64,
// with MMsg 0.43; TCP in super-frames, all of which come by the queue, 0.94, with
// MMsg 1.0. Delay does not tell the two apart. PPTP's GRE is never merged into
// super-frames, so the rate of frames decides. A queue takes memory only for what
// waits in it; where the kernel has none for a ring, Auto is MMsg.
//
// The ring is TPACKET_V2 since V3 hands a block of frames over when it is full
// or its timer is, which is milliseconds; and there is no ring for sending,
// which costs the kernel more than it saves.
//
// Nothing blocks but ppoll(2), and while traffic flows not even that: Receive
// looks for the next frame up to 2 ms long before it sleeps (spin.go), which saves
// the time that waking up takes and costs a CPU per direction from about 500
// frames a second on. It offers that CPU to others between two looks. Where
// somebody computes on it, it sleeps in every gap, and wakes as a real-time thread
// if it may be one and needs little of the CPU (urgency.go): looking, an ordinary
// thread is put aside and waits for its turn when a frame is there. An idle port
// sleeps. No frame costs an allocation.
//
// # Limits
//
// These are the kernel's (packet_snd in net/packet/af_packet.c): a frame may be
// longer than the MTU and its Ethernet header by one tag, and only if that tag's
// TPID is 0x8100. To carry full-size frames with an 0x88A8 tag or
// with two tags, raise the MTU of both NICs by 4 or 8. A frame shorter than an
// Ethernet header cannot be sent. Nor can a super-frame of TCP inside a tunnel
// (VXLAN, IPIP, GRE version 0): virtio_net_hdr has words for one layer only, so
// that it arrives as plain TCP with an odd CsumStart and is refused. PPTP's GRE
// is never merged. Where such tunnels cross, turn GRO off on both NICs.
//
// A NIC's frames can be shared out among several ports (OpenGroup). Where they
// come by then depends on who is in the group: when the NIC comes up, its ports
// join one after the other, within microseconds, and a port whose ring is set up
// anew changes places with another. A frame that comes right then may overtake one
// of the same pair of hosts.
//
// A super-frame that virtio_net_hdr has no word for at all (SCTP, IP fragments to
// be) is lost. Under Ring it takes along the frames behind it, for the kernel
// never gives the slot free that it had chosen for it; the ring is set up anew
// when nothing came for one to two waits of Receive (Stats.Freezes).
package afpacket
