// Package nat makes the LAN's ends of PPTP known to the WAN by other names: by
// other call IDs, and behind another address.
//
// # Who decides what
//
// The box owns the names of the LAN's ends, and no others. Package track follows
// connections and calls, and keeps with each of them the names that it has; it
// asks a Translator for them, once. For every frame it says in a Change what is
// to become of it. Apply does that: it writes addresses, ports, call IDs and
// MAC addresses where they stand, and carries the change over into every
// checksum that covers them (package csum). No length changes, no frame is
// copied, and no octet that the Change does not name is touched.
//
// # Names
//
//   - An address: nat.address for connections that the LAN opens (masquerade),
//     but for those of a server behind a [[nat.forward]], which has the address of
//     that whoever calls; or the one by which the WAN came.
//   - A TCP port: the host's own if it is free for this peer, otherwise one of
//     nat.ports.
//   - A call ID: the host's own if it is free, otherwise another one of those
//     between the address that the WAN sees and the peer there (package callid).
//     With nat.mode "call-id" addresses stay, IDs are unique for each peer, and
//     GRE that comes back goes to whoever owns its ID.
//
// # Towards the WAN and back
//
//	             towards the WAN              towards the LAN
//	Ethernet     source: the WAN NIC's        destination: the host's
//	IPv4         source: the alias            destination: the host
//	TCP          source port: the alias's     destination port: the host's
//	messages     Call ID: its alias           Peer's Call ID: the host's own
//	GRE          stays                        call ID: the host's own
//	ICMP errors  the packet they quote, as above, the other way round
//
// # When names run out
//
// A connection for which there is no port is not let through. A call for which
// there is no ID leaves with callid.Dead, and its answer comes back as a
// refusal; see package track. No host on the LAN gets them all: its IDs are
// counted, in use and at rest, and what cannot become a call gets none.
package nat
