// Package wire turns the bytes of a frame into their meaning.
//
// Decode reads Ethernet, up to two VLAN tags, SNAP, MPLS, PPPoE sessions, IPv4
// with options and fragments, IPv6 with extension headers, the Authentication
// Header of both, TCP and GRE versions 0 and 1 into a Packet that the caller reuses. It allocates nothing, returns no
// error and reads nothing that is not there: whatever a frame holds, it gets a
// Kind, and the Kind says which fields of the Packet mean something.
//
// Lengths are believed in the order of the layers: a frame may be longer than
// its IP length (padding and trailers, which are no payload), never shorter.
// Where Linux takes an IP length of 0 for "all that is there", so does Decode:
// IPv6 with Hop-by-Hop Options, and frames that are left to be segmented.
// What lies about that is not IP as far as the box is concerned, unless it
// claims to be GRE: then it is MalformedGRE, since no endpoint could use it
// and no policy should let it pass.
//
// Headers that may have frames or packets inside which are not read make a
// Packet Opaque (opaque.go).
//
// Where receivers differ in what they accept, Decode follows the one that
// accepts more: what an endpoint might read must not pass as something else.
package wire
