package wire

import "encoding/binary"

// The first 16 bits of a GRE header (RFC 2637, section 4.1; RFC 2890).
const (
	greChecksum   = 0x8000 // C
	greRouting    = 0x4000 // R
	greKey        = 0x2000 // K
	greSequence   = 0x1000 // S
	greStrict     = 0x0800 // s, source route
	greRecursion  = 0x0700
	greAck        = 0x0080 // A, version 1 only
	greReserved   = 0x0078
	greVersion    = 0x0007
	greMustBeZero = greChecksum | greRouting | greStrict | greRecursion | greReserved

	greProtocolPPP = 0x880b
)

const (
	greMinLength         = 4
	enhancedGREMinLength = 8
)

// gre decodes a GRE header of any version.
func (p *Packet) gre(data []byte) {
	p.Kind = MalformedGRE
	if len(data) < greMinLength {
		return
	}
	flags := binary.BigEndian.Uint16(data[0:2])
	protocol := binary.BigEndian.Uint16(data[2:4])
	switch {
	case flags&greVersion == 0:
		p.plainGRE(data, flags)
	case flags&greVersion == 1 && protocol != greProtocolPPP:
		p.Kind = OtherGRE
	case flags&greVersion != 1 || flags&greKey == 0:
		p.Kind = OddGRE
	case len(data) >= enhancedGREMinLength:
		p.enhancedGRE(data, flags)
	}
}

// plainGRE decodes version 0, whose optional fields are 4 octets each
// (RFC 2890, section 2; the checksum word is there for R, too: RFC 1701).
func (p *Packet) plainGRE(data []byte, flags uint16) {
	length := greMinLength
	for _, flag := range [...]uint16{greChecksum | greRouting, greKey, greSequence} {
		if flags&flag != 0 {
			length += 4
		}
	}
	if length <= len(data) {
		p.Kind = PlainGRE
	}
}

// enhancedGRE decodes the header of RFC 2637, section 4.1; data has at least
// its first 8 octets.
func (p *Packet) enhancedGRE(data []byte, flags uint16) {
	p.Kind = EnhancedGRE
	payload := int(binary.BigEndian.Uint16(data[4:6]))
	p.CallID = binary.BigEndian.Uint16(data[6:8])
	if flags&greMustBeZero != 0 {
		p.Faults |= FaultFlags
	}
	header := enhancedGREMinLength
	if flags&greSequence != 0 {
		p.Seq, p.HasSeq = p.word(data, &header)
	} else if payload > 0 {
		p.Faults |= FaultNoSequence
	}
	if flags&greAck != 0 {
		p.Ack, p.HasAck = p.word(data, &header)
	}
	p.Payload = p.L4 + uint32(min(header, len(data)))
	if header+payload != len(data) && !p.Fragment {
		p.Faults |= FaultLength
	}
}

// word reads the optional 32-bit field at *at and moves *at past it.
func (p *Packet) word(data []byte, at *int) (uint32, bool) {
	if *at+4 > len(data) {
		p.Faults |= FaultShort
		*at = len(data) + 1 // nothing behind a cut field is there either
		return 0, false
	}
	*at += 4
	return binary.BigEndian.Uint32(data[*at-4:]), true
}
