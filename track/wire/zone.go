package wire

import (
	"fmt"
	"strconv"
	"strings"
)

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

// InSession reports whether the frame is of a PPPoE session.
func (z Zone) InSession() bool { return z&zonePPPoE != 0 }

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

// UnmarshalText implements encoding.TextUnmarshaler: it reads what String
// writes.
func (z *Zone) UnmarshalText(text []byte) error {
	*z = 0
	if len(text) == 0 {
		return nil
	}
	for part := range strings.SplitSeq(string(text), ".") {
		if *z&zonePPPoE != 0 || !z.add(part) {
			return fmt.Errorf("zone %q: want at most two VLAN IDs and a PPPoE session, such as 100.200 or 100.ppp7", text)
		}
	}
	return nil
}

// add puts one part of a written zone in and reports whether it could.
func (z *Zone) add(part string) bool {
	if session, ok := strings.CutPrefix(part, "ppp"); ok {
		id, err := strconv.ParseUint(session, 10, 16)
		*z = z.session(uint16(id))
		return err == nil
	}
	vid, err := strconv.ParseUint(part, 10, 12)
	full := *z>>zoneInnerShift&vidMask != 0
	*z = z.push(uint16(vid))
	return err == nil && vid != 0 && !full
}

// VLANs returns the VLAN IDs of the zone, the outer first. ok is false if it is
// within a PPPoE session.
func (z Zone) VLANs() (vids []uint16, ok bool) {
	for _, shift := range [...]uint{zoneOuterShift, zoneInnerShift} {
		if vid := uint16(z>>shift) & vidMask; vid != 0 {
			vids = append(vids, vid)
		}
	}
	return vids, z&zonePPPoE == 0
}
