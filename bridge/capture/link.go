package capture

import (
	"encoding/binary"
	"fmt"
)

// LinkType is a LINKTYPE_ value of https://www.tcpdump.org/linktypes.html.
type LinkType uint32

// The link types that are read.
const (
	LinkEthernet   LinkType = 1
	LinkRaw        LinkType = 101 // IPv4 or IPv6 without a link header
	LinkLinuxSLL   LinkType = 113 // Linux cooked, version 1
	LinkIPv4       LinkType = 228
	LinkIPv6       LinkType = 229
	LinkLinuxSLL2  LinkType = 276 // Linux cooked, version 2
	linkRawBSD     LinkType = 12  // DLT_RAW where files were written with it
	linkRawOpenBSD LinkType = 14
)

func (t LinkType) check() error {
	switch t {
	case LinkEthernet, LinkRaw, LinkLinuxSLL, LinkIPv4, LinkIPv6, LinkLinuxSLL2, linkRawBSD, linkRawOpenBSD:
		return nil
	}
	return fmt.Errorf("link type %d is not supported; Ethernet (1), Linux cooked (113, 276) and raw IP (101, 228, 229) are", uint32(t))
}

// written returns the link type under which packets of type t are written.
// Raw IP is written as DLT_RAW's number on Linux: libpcap, which wants one link
// type in a file, compares the 101 of a second interface with the 12 that it
// made of the first, and then refuses the file. 228 and 229 would be two types
// where IPv4 and IPv6 are mixed.
func (t LinkType) written() LinkType {
	switch t {
	case LinkRaw, linkRawOpenBSD:
		return linkRawBSD
	}
	return t
}

const (
	sllLength  = 16
	sll2Length = 20
	etherLen   = 14
)

// Link is the link header that a packet has in its capture, where that is not
// Ethernet.
type Link struct {
	Type   LinkType
	length uint8
	header [sll2Length]byte
}

// restore returns frame as it stands in a capture of the link's type: the
// made-up Ethernet header replaced by the header that was there.
func (l *Link) restore(frame []byte) (header, payload []byte) {
	if l.Type == LinkEthernet {
		return nil, frame
	}
	return l.header[:l.length], frame[min(etherLen, len(frame)):]
}

// splitLink takes the link header off data and makes up an Ethernet header
// in its place.
func splitLink(t LinkType, data []byte) (link Link, payload []byte, ether [etherLen]byte, err error) {
	if err := t.check(); err != nil {
		return Link{}, nil, ether, err
	}
	link.Type = t
	switch t {
	case LinkEthernet:
		return link, data, ether, nil
	case LinkLinuxSLL:
		link.length = sllLength
	case LinkLinuxSLL2:
		link.length = sll2Length
	}
	link.length = uint8(copy(link.header[:link.length], data))
	payload = data[link.length:]
	ether = link.ethernet(payload)
	return link, payload, ether, nil
}

// ethernet makes up an Ethernet header: the source is the sender's where the
// link header knows it, the destination is nobody's.
func (l *Link) ethernet(payload []byte) (ether [etherLen]byte) {
	switch h := l.header[:]; {
	case l.Type == LinkLinuxSLL && l.length == sllLength:
		cooked(&ether, binary.BigEndian.Uint16(h[14:]), binary.BigEndian.Uint16(h[4:]), h[6:12], payload)
	case l.Type == LinkLinuxSLL2 && l.length == sll2Length:
		cooked(&ether, binary.BigEndian.Uint16(h[0:]), uint16(h[11]), h[12:18], payload)
	case l.length == 0:
		binary.BigEndian.PutUint16(ether[12:], rawEthertype(payload))
	}
	return ether
}

// cooked fills in what a Linux cooked header knows. A protocol below 0x600 is
// no ethertype but says that an IEEE 802.2 or 802.3 header follows, in front
// of which Ethernet has the length.
func cooked(ether *[etherLen]byte, protocol, addrLen uint16, addr, payload []byte) {
	if addrLen == 6 {
		copy(ether[6:12], addr)
	}
	if protocol < 0x600 {
		protocol = uint16(min(len(payload), 1500))
	}
	binary.BigEndian.PutUint16(ether[12:], protocol)
}

func rawEthertype(payload []byte) uint16 {
	if len(payload) == 0 {
		return 0
	}
	switch payload[0] >> 4 {
	case 4:
		return 0x0800
	case 6:
		return 0x86dd
	}
	return 0
}
