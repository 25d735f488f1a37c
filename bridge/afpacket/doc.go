// Package afpacket is a bridge.Port over an AF_PACKET socket (packet(7)).
//
// A frame comes out of Receive as it was on the wire and leaves by Send as it
// is in memory:
//
//   - The kernel takes the outermost VLAN tag out of a frame before any packet
//     socket sees it. It comes back in the PACKET_AUXDATA control message and
//     is put in place again, with its own TPID, PCP, DEI and VID; a priority
//     tag (VID 0) too.
//   - A frame whose checksum is unfinished, or which is several segments in
//     one (GRO, TSO), crosses as it is: its virtio_net_hdr (PACKET_VNET_HDR)
//     travels with it as wire.Offload, and the kernel finishes the work at the
//     egress NIC if that NIC does not.
//   - A frame that did not fit is marked Truncated and is never sent.
//   - What the box or its host sends itself is never received
//     (PACKET_IGNORE_OUTGOING).
//
// Frames move in batches: one recvmmsg(2) and one sendmmsg(2) for up to
// bridge.BatchSize of them, both without blocking; waiting is ppoll(2)'s. No
// frame costs an allocation.
//
// Limits that are the kernel's (packet_snd in net/packet/af_packet.c): a frame
// may be longer than the MTU and its Ethernet header by one tag, and only if
// that tag's TPID is 0x8100. To carry full-size frames with an 0x88A8 tag or
// with two tags, raise the MTU of both NICs by 4 or 8. A frame shorter than an
// Ethernet header cannot be sent. Nor can a super-frame of TCP inside a tunnel
// (VXLAN, IPIP, GRE version 0): virtio_net_hdr has words for one layer only, so
// that it arrives as plain TCP with an odd CsumStart and is refused. PPTP's GRE
// is never merged. Where such tunnels cross, turn GRO off on both NICs.
//
// This is the only package of the project that uses unsafe.
package afpacket
