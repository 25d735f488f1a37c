// Package neighbour makes the box a neighbour, in the sense of ARP (RFC 826),
// as far as translation needs it. The box has no IP address otherwise.
//
// On the WAN side the translated addresses are the box's own. It answers for
// them with the WAN NIC's MAC address, in whatever VLAN the question comes, and
// never on the LAN side. When the NIC comes up it probes for each, and then
// announces it (RFC 5227, sections 2.1.1 and 2.3). A host that has one of them
// too, on either side, is reported as track.EventAddressConflict, and the
// address is defended by one announcement in DefendInterval (section 2.4, (c):
// a box cannot give up what calls are running over). For the same reason it
// answers from the start on, while it still probes: calls go on when a box is
// started anew, and those who call must find it.
//
// On the LAN side it asks where the servers are that calls are forwarded to.
// The question is an ARP probe, which has no sender's address: the box has none
// to give. Since a host that comes up itself takes a probe by another one for a
// conflict, the box keeps quiet about a server that is probing, and asks less
// and less often for one that does not answer; it also learns from what servers
// say by themselves.
//
// It asks in the VLANs from which frames come that want a server. What a frame
// makes it look for, time takes away: the search in a VLAN ends when no frame has
// wanted the server there for Timing.Forget. So many are looked for at a time;
// then one that has not answered leaves for the next, and limit-reached is
// reported. Without a VLAN the servers are looked for always.
//
// Table is what is decided, a frame or a moment at a time, without clock or
// sockets; Box runs it over sockets of its own, so that no worker waits for it.
//
// # Why the sockets take all protocols
//
// The box's program at tc ingress (package bypass) drops the host's copy of
// every frame. The kernel hands a frame to packet sockets for all protocols
// (ETH_P_ALL) before that, and to those for one, such as ETH_P_ARP, after it
// (__netif_receive_skb_core). So the sockets are of the first kind, with a
// filter that takes ARP. They are afpacket's, and what they send has
// bridge.SocketMark, by which the program at tc egress lets it out.
package neighbour
