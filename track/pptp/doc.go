// Package pptp is the Point-to-Point Tunneling Protocol of RFC 2637: the
// control messages that two ends exchange over a TCP connection to port 1723,
// and the states that these messages lead through.
//
// It serves two kinds of caller:
//
//   - Who follows traffic uses View, which reads single fields out of a
//     message in place and never allocates, and the state machines
//     SessionState and CallState. Both are driven by tables.
//   - Who wants a whole message uses Decode and Append. All 15 control
//     messages have a struct with every field, reserved ones included, so that
//     decoding and encoding again gives the same octets.
//
// String and Verbose print a message the way tcpdump does. The layer for
// gopacket is in package pptplayer.
//
// The end that asks for outgoing calls is the PNS (PPTP Network Server), the
// end that places and answers them the PAC (PPTP Access Concentrator): an
// ordinary VPN client is a PNS, an ordinary VPN server a PAC.
package pptp
