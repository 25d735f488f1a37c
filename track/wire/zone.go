package wire

import "strconv"

// Zone is the VLAN identity of a frame: at most two VLAN IDs and a PPPoE
// session. It is part of every flow key, so that equal addresses in two VLANs
// never mix. Priority and TPID are no part of it, and VID 0 is no tag
// (IEEE 802.1Q, table 9-2). The zero Zone is an untagged frame's.
//
// Bits 0-15 are the PPPoE session, bit 16 says that there is one, bits 32-43
// are the inner and bits 48-59 the outer VLAN ID.
type Zone uint64

const (
	zonePPPoE      = 1 << 16
	zoneInnerShift = 32
	zoneOuterShift = 48
	vidMask        = 0xfff
)

// push adds a VLAN ID inside those the zone has; the zone has room for two.
func (z Zone) push(vid uint16) Zone {
	vid &= vidMask
	if z>>zoneOuterShift == 0 {
		return z | Zone(vid)<<zoneOuterShift
	}
	return z | Zone(vid)<<zoneInnerShift
}

// session adds a PPPoE session.
func (z Zone) session(id uint16) Zone { return z | zonePPPoE | Zone(id) }

// String returns "" (untagged), "100", "100.200" (outer.inner), "ppp7" or
// "100.ppp7".
func (z Zone) String() string { return string(z.append(nil)) }

// MarshalText implements encoding.TextMarshaler.
func (z Zone) MarshalText() ([]byte, error) { return z.append(nil), nil }

func (z Zone) append(b []byte) []byte {
	for _, shift := range [...]uint{zoneOuterShift, zoneInnerShift} {
		if vid := uint64(z>>shift) & vidMask; vid != 0 {
			b = strconv.AppendUint(dotted(b), vid, 10)
		}
	}
	if z&zonePPPoE != 0 {
		b = strconv.AppendUint(append(dotted(b), "ppp"...), uint64(uint16(z)), 10)
	}
	return b
}

func dotted(b []byte) []byte {
	if len(b) > 0 {
		return append(b, '.')
	}
	return b
}
