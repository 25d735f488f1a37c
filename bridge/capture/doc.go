// Package capture reads and writes capture files for replay: pcap and pcapng
// in, pcapng out, and the rule that tells which side of the box a captured
// frame came from (Sides). Checksums tells which hosts left theirs to their NIC.
//
// The box decides about Ethernet frames. A capture of another link type
// (Linux cooked, raw IP) gets an Ethernet header made up in front of its
// packets, and the header it had is kept, so that a frame which is written
// back unchanged has the very bytes it was read with.
//
// The files are read by code of our own. gopacket's pcapgo keeps a link type
// in 8 bits, while LINKTYPE_LINUX_SLL2 is 276; it allocates what a length
// field asks for, divides by a resolution that overflowed to 0, and cannot
// tell a file that was cut from one that ended. Tests hold the two against
// each other where both can read.
package capture
