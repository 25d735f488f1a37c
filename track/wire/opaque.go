package wire

// What carries other frames or packets inside, and is not read here, is opaque:
// a closed list. Tunnels over UDP and TCP are not part of it, since their ports
// are anybody's.

// isOpaqueEther tells the ethertypes of such headers.
func isOpaqueEther(ether uint16) bool {
	switch ether {
	case 0x22f3, // TRILL (RFC 6325)
		0x4305,         // B.A.T.M.A.N. advanced
		0x6558,         // transparent Ethernet bridging (RFC 1701)
		0x876b,         // compressed TCP/IP (RFC 1144)
		0x880b,         // PPP
		0x8909,         // Cisco MetaData
		0x8926,         // VN-Tag
		0x892f,         // HSR (IEC 62439-3)
		0x893f,         // E-TAG (IEEE 802.1BR)
		0x88e5,         // MACsec (IEEE 802.1AE)
		0x88e7,         // I-TAG (IEEE 802.1ah)
		0x894f,         // NSH (RFC 8300)
		0xa0ed, 0xf1c1: // 6LoWPAN (RFC 7973), R-TAG (IEEE 802.1CB)
		return true
	}
	return false
}

// isTunnel tells the IP protocols of such headers.
func isTunnel(proto uint8) bool {
	switch proto {
	case 4, // IPv4
		41,       // IPv6
		50,       // ESP
		55,       // minimal encapsulation (RFC 2004)
		94,       // IP in IP
		97,       // EtherIP (RFC 3378)
		98,       // encapsulation (RFC 1241)
		108,      // IPComp
		115,      // L2TP version 3
		137,      // MPLS (RFC 4023)
		141,      // wrapped ESP
		142,      // ROHC
		143, 145: // Ethernet (RFC 8986), NSH
		return true
	}
	return false
}

// isOpaquePPP tells the PPP protocols that carry data (RFC 1661, section 2), of
// which only IPv4 and IPv6 are read: what is left is compressed, encrypted, in
// parts of a multilink bundle, bridged, or of another network layer.
func isOpaquePPP(protocol uint16) bool { return protocol != 0 && protocol < 0x8000 }

const (
	mplsLabelLength = 4
	maxLabels       = 8
)

// mpls decodes what follows a stack of labels (RFC 3032), if that is IP. Labels
// are no part of a Zone: each direction has its own.
func (p *Packet) mpls(frame []byte, at int) {
	for range maxLabels {
		if len(frame) <= at+mplsLabelLength {
			return // nothing in it
		}
		bottom := frame[at+2]&1 != 0
		at += mplsLabelLength
		if bottom {
			p.labeled(frame, at)
			return
		}
	}
	p.Opaque = true
}

// labeled decodes what has nothing to say which protocol it is, but for its
// first four bits: a sound IP header, or else opaque.
func (p *Packet) labeled(frame []byte, at int) {
	kind := p.Kind
	switch frame[at] >> 4 {
	case 4:
		if ipv4SumOK(frame[at:]) {
			p.ipv4(frame, at)
		}
	case 6:
		p.ipv6(frame, at)
	}
	if p.Version == 0 {
		p.Kind, p.Proto, p.Opaque = kind, 0, true
	}
}

// ipv4SumOK reports whether the checksum of an IPv4 header is right.
func ipv4SumOK(packet []byte) bool {
	header := int(packet[0]&0xf) * 4
	if len(packet) < header || header < ipv4MinLength {
		return false
	}
	return foldSum(sumWords(packet[:header])) == 0xffff
}
