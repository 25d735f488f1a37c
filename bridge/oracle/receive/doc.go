// Package receive holds what grewire makes of a frame against what Linux's own
// receive path makes of it.
//
// A random Case is one datagram in one frame or in several: headers of any
// length, VLAN tags, SNAP, MPLS and PPPoE, IPv4 options, IPv6 extension
// headers, fragments in any order, lengths and checksums that lie, trailers,
// segmentation left to the receiver. It goes to a Linux host and to a
// track.Tracker. The host is a network namespace with raw sockets for GRE and
// TCP and a listener at TCP port 1723 (linux.go). Two conditions must hold:
//
//  1. Of what Linux delivers as GRE, or as TCP to port 1723, the tracker
//     gave at least one frame a reason that says so, or read it as such TCP.
//  2. Of the frames that a tracker with pptp = "deny" lets pass, a second
//     Linux host delivers no GRE, and nothing that opens a connection to port
//     1723.
//
// The reverse need not hold: a receiver that accepts more than Linux does must
// find the box prepared.
//
//	go test ./bridge/oracle/receive -v -args -frames 500000 -seed 1
//
// needs root. It tells its seed and counts what was delivered.
//
// This Linux host takes off up to two VLAN tags that are not of VID 0, as VLAN
// devices would: a program at its tc ingress hook does.
package receive
