package wire

import "encoding/binary"

// The shape that nearly all of a call's data has: Ethernet without tags, IPv4
// without options, GRE with its key. Every offset is known.
const (
	commonL3     = ethernetLength
	commonL4     = commonL3 + ipv4MinLength
	commonLength = commonL4 + enhancedGREMinLength
)

// common decodes a frame of the common shape and reports whether it is one; if
// not, it leaves the rest to general. It finds what general finds in such a
// frame, sooner (TestCommonShape).
func (p *Packet) common(frame []byte) bool {
	if len(frame) < commonLength || binary.BigEndian.Uint16(frame[12:]) != etherIPv4 {
		return false
	}
	packet, gre := frame[commonL3:], frame[commonL4:]
	total := int(binary.BigEndian.Uint16(packet[2:]))
	fits := total >= commonLength-commonL3 && total <= len(packet)
	if !fits || packet[0] != 4<<4|ipv4MinLength/4 || packet[9] != ProtocolGRE ||
		binary.BigEndian.Uint16(packet[6:])&ipv4FragmentMask != 0 || !isEnhancedGRE(gre) {
		return false
	}
	*p = Packet{}
	p.Version, p.Proto = 4, ProtocolGRE
	p.Src, p.Dst = addr4(packet[12:]), addr4(packet[16:])
	p.span(commonL3, ipv4MinLength, total)
	p.enhancedGRE(packet[ipv4MinLength:total], binary.BigEndian.Uint16(gre))
	return true
}

// isEnhancedGRE tells version 1 with key and protocol PPP.
func isEnhancedGRE(gre []byte) bool {
	const mask, want = (greKey|greVersion)<<16 | 0xffff, (greKey|1)<<16 | greProtocolPPP
	return binary.BigEndian.Uint32(gre)&mask == want
}
