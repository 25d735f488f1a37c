// Package stream turns one direction of a PPTP control connection into whole
// control messages.
//
// TCP delivers octets, not messages (RFC 9293, section 3.7): a message may
// come in several segments, several in one, again with other boundaries, out
// of order, or twice with different contents. A Direction follows the octets
// by their sequence numbers and yields each message once, with the stream
// position of its first octet, so that whoever must change a field knows
// where it lies however it is cut.
//
// A message that is whole in a segment that comes in order is read where it
// lies. Anything else goes through a buffer of BufferSize octets from a Pool,
// which bounds what all connections together may hold. Where two copies of an
// octet differ, the first that was seen counts.
//
// The Length field and the magic cookie are believed only while they make
// sense. RFC 2637, section 1.4.1 makes loss of the cookie the end of the
// connection, so a Direction that loses it is Lost and reads no further; it
// never searches for the cookie inside of data. Only a Direction that starts
// in the middle of a connection, or that missed octets, takes up the thread
// again: at the first segment that begins with a plausible header. Octets that
// it has from behind a gap, when the receiver acknowledges the gap, are read if
// they are such headers and their messages from the first octet on.
package stream
