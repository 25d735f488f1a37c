package wire

import "encoding/binary"

// Kind says what a frame turned out to be. It decides which fields of a
// Packet are valid; the zero Kind is Other.
type Kind uint8

// The kinds of frame.
const (
	// Other is everything the box has no opinion about, and everything that
	// cannot be read: it crosses untouched unless policy says otherwise.
	Other Kind = iota
	// TCP has a whole TCP header. A first fragment without the whole of it is
	// OtherIP.
	TCP
	// EnhancedGRE is GRE version 1 with at least the 8 octets up to and
	// including the call ID, the key bit set and protocol 0x880B (RFC 2637,
	// section 4.1). Optional fields that do not fit are reported in Faults.
	EnhancedGRE
	// PlainGRE is GRE version 0 (RFC 2784, RFC 2890).
	PlainGRE
	// OtherGRE is GRE version 1 of another protocol than PPP, such as MikroTik's
	// EoIP (0x6400).
	OtherGRE
	// OddGRE is any other GRE whose headers are there: versions 2 to 7, and
	// version 1 of PPP without key.
	OddGRE
	// ICMP is an ICMPv4 message in IPv4, or an ICMPv6 message in IPv6, of which
	// at least the type is there.
	ICMP
	// LaterFragment is an IPv4 or IPv6 fragment with a non-zero offset: no
	// transport header is in it.
	LaterFragment
	// MalformedGRE says IP protocol 47, but its headers, or those around IP,
	// lie or are cut; or it is a fragment that hides which protocol it
	// carries, which no sender may make (RFC 7112, section 5).
	MalformedGRE
	// ARP is an ARP frame. Src and Dst are the sender's and the target's IPv4
	// address, if it is about such.
	ARP
	// LinkControl is a frame to a reserved link-local group address
	// (IEEE 802.1Q, table 8-1): STP, LACP, EAPOL, LLDP.
	LinkControl
	// Pause is an IEEE 802.3 MAC control frame that stops a link. It concerns
	// one link only and is never forwarded.
	Pause
	// OtherIP is IPv4 or IPv6 that carries none of the above, or that cannot
	// be believed.
	OtherIP
)

// Offload is the part of a frame's virtio_net_hdr that says what the sender
// left to be finished: the checksum (NeedsChecksum) and the segmentation
// (GSOType). Offsets count from the first byte of the frame as it is in Data,
// VLAN tags included. The zero value says that nothing is left to do.
type Offload struct {
	Flags      uint8  // VIRTIO_NET_HDR_F_*
	GSOType    uint8  // VIRTIO_NET_HDR_GSO_*
	HeaderLen  uint16 // Ethernet + IP + transport headers, octets
	GSOSize    uint16 // payload octets per segment
	CsumStart  uint16 // where the checksum starts
	CsumOffset uint16 // where, from CsumStart, it is stored
}

// Faults are what is wrong with the header of an EnhancedGRE packet, beyond
// what makes it one (RFC 2637, section 4.1).
type Faults uint8

// The faults of a GRE header.
const (
	// FaultFlags: C, R, s, Recur or the reserved flags are not zero.
	FaultFlags Faults = 1 << iota
	// FaultLength: the payload length is not what the IP length leaves: more
	// lies, less hides octets behind the payload.
	FaultLength
	// FaultNoSequence: there is payload, but no sequence number.
	FaultNoSequence
	// FaultShort: the sequence or acknowledgment number is cut off.
	FaultShort
)

// TCP flags as they stand in octet 13 of the header (RFC 9293, section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// IP protocol numbers that the box knows.
const (
	ProtocolICMP   = 1
	ProtocolTCP    = 6
	ProtocolGRE    = 47
	ProtocolICMPv6 = 58
)

// Packet is the meaning of a frame, filled in by Decode. It is reused: no
// field is left over from an earlier frame. Offsets count octets from the
// start of the frame.
type Packet struct {
	Kind Kind
	// Version is 4 or 6 for every Kind that is IP, else 0; of a MalformedGRE
	// it is 0 if the IP header itself lies or is cut.
	Version uint8
	// Proto is the IP protocol of the transport header; of a LaterFragment
	// what its own headers say. Valid iff Version is set.
	Proto uint8
	// Fragment is set for every part of a fragmented datagram; the fields
	// MoreFragments, FragmentID and FragmentOffset (octets) are valid iff it is.
	Fragment, MoreFragments bool
	FragmentOffset          uint16
	FragmentID              uint32
	// FragmentProto is the protocol as every fragment of the datagram names it:
	// in IPv6 that of the first header behind the Fragment header.
	FragmentProto uint8

	Zone     Zone
	Src, Dst Addr

	// L3 is where the IP header starts, L4 where the transport header (of a
	// LaterFragment: its data) does, End where the IP length ends: what
	// follows is padding or a trailer. Payload is where the data of TCP and
	// GRE starts, FragmentData where the piece of a datagram does that a
	// Fragment has: in IPv6, extension headers may stand between it and L4.
	L3, L4, Payload, End, FragmentData uint32
	// IPLength is the length that the IP header states, header included.
	IPLength uint32

	// SrcPort and DstPort are valid for TCP. Of OtherIP whose TCP header is cut or
	// lies they are what it says, 0 if they are cut, too.
	SrcPort, DstPort uint16
	// Seq and Ack are TCP's, or GRE's iff HasSeq and HasAck are set.
	Seq, Ack uint32
	// Window is TCP's, not yet scaled, and Flags are TCP's.
	Window uint16
	Flags  uint8

	// CallID names the call to the receiver of an EnhancedGRE packet.
	CallID         uint16
	HasSeq, HasAck bool
	Faults         Faults
	// ICMPType is valid for ICMP.
	ICMPType uint8

	// Super is set by DecodeSuper.
	Super bool
	// Opaque says that there are frames or packets inside that are not read: a
	// tunnel, what is compressed or encrypted, a third VLAN tag.
	Opaque bool
}

// PayloadLength is the number of octets of TCP or GRE data that the frame
// holds.
func (p *Packet) PayloadLength() int { return int(p.End) - int(p.Payload) }

// FirstFragment reports whether more of the datagram follows elsewhere while
// its transport header is here.
func (p *Packet) FirstFragment() bool { return p.Fragment && p.FragmentOffset == 0 }

// The flags of a virtio_net_hdr (virtio 1.2, section 5.1.6).
const (
	offloadNeedsChecksum = 1
	offloadDataValid     = 2
)

// tcpChecksumOffset is where a TCP header has its checksum.
const tcpChecksumOffset = 16

// PartialChecksum is the Offload of a TCP segment whose sender left the checksum
// to its NIC, with the sum of the pseudo-header in its place.
func PartialChecksum(p *Packet) Offload {
	return Offload{Flags: offloadNeedsChecksum, CsumStart: uint16(p.L4), CsumOffset: tcpChecksumOffset}
}

// CheckedChecksum is the Offload of a frame whose checksum is not to be judged.
func CheckedChecksum() Offload { return Offload{Flags: offloadDataValid} }

// Unfinished reports whether the frame's checksum says nothing yet, because
// whoever sends the frame on finishes it, or nothing more, because the NIC
// has checked it.
func (o *Offload) Unfinished() bool {
	return o.Flags&(offloadNeedsChecksum|offloadDataValid) != 0 || o.GSOType != 0
}

// DestinationMAC is SourceMAC for the destination.
func DestinationMAC(frame []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(frame))<<32 | uint64(binary.BigEndian.Uint32(frame[2:]))
}

// SourceMAC returns the source MAC address of a frame that was decoded, as a
// number.
func SourceMAC(frame []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(frame[6:]))<<32 | uint64(binary.BigEndian.Uint32(frame[8:]))
}

// NeedsChecksum reports whether the frame's checksum has only the sum of the
// pseudo-header so far: whoever sends the frame on finishes it.
func (o *Offload) NeedsChecksum() bool { return o.Flags&offloadNeedsChecksum != 0 }
