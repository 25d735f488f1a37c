package capture

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// SideRule is the rule of Sides in words, for a command's usage text.
const SideRule = `Which side a frame came from is taken from the first of these that applies:
 1. A pcapng with interfaces named lan and wan: the frame's interface; the
    other one for a frame marked outbound.
 2. -lan PREFIX|MAC: a frame from such a source is from the LAN, any other
    from the WAN. ARP and link-local sources count by MAC address: LAN, if it
    is given or also sends from a prefix.
 3. The host that opens the first connection to TCP port 1723 is on the LAN
    and its peer on the WAN. Whoever has a connection to port 1723 with a
    known host is on the other side of it; of two unknown hosts the opener is
    on the LAN. A frame is then judged by its source IP address, else its
    source MAC address, else as opposite to its destination, else as LAN.
    Without an opening in the capture, the end that is not at port 1723 counts
    as the opener; without any port 1723, the source of the first frame.`

// mac is a MAC address; the zero one is nobody's.
type mac [6]byte

func (m mac) unicast() bool { return m != mac{} && m[0]&1 == 0 }

// host is an IP address in its zone.
type host struct {
	zone wire.Zone
	addr netip.Addr
}

func (h host) known() bool { return h.addr.IsValid() }

// ends is who sends a frame to whom.
type ends struct {
	kind             wire.Kind
	src, dst         host
	srcMAC, dstMAC   mac
	srcPort, dstPort uint16
	flags            uint8
}

// endsOf decodes as much of a frame as sides are told by.
func endsOf(frame []byte) (e ends) {
	if len(frame) < etherLen {
		return e
	}
	copy(e.dstMAC[:], frame[0:6])
	copy(e.srcMAC[:], frame[6:12])
	var p wire.Packet
	wire.Decode(frame, &p)
	if p.Version != 0 {
		e.src = host{p.Zone, p.Src.Netip()}
		e.dst = host{p.Zone, p.Dst.Netip()}
	}
	e.kind, e.srcPort, e.dstPort, e.flags = p.Kind, p.SrcPort, p.DstPort, p.Flags
	return e
}

// Sides tells which side of the box the frames of a capture came from, by the
// rule of SideRule. A Survey makes one.
type Sides struct {
	named    bool // rule 1
	prefixes []netip.Prefix
	given    map[mac]bool // rule 2, with prefixes
	hosts    map[host]flow.Side
	stations map[mac]sideSet

	matched, judged uint64 // frames from the LAN by rule 2, and all by rule 2
}

// sideSet is one bit for each side.
type sideSet uint8

func (s sideSet) only() (flow.Side, bool) {
	switch s {
	case 1 << flow.LAN:
		return flow.LAN, true
	case 1 << flow.WAN:
		return flow.WAN, true
	}
	return flow.LAN, false
}

// parseLAN reads the values of -lan.
func (s *Sides) parseLAN(values []string) error {
	for _, value := range values {
		if prefix, err := netip.ParsePrefix(value); err == nil {
			if err := checkPrefix(prefix); err != nil {
				return err
			}
			s.prefixes = append(s.prefixes, prefix)
		} else if addr, err := netip.ParseAddr(value); err == nil {
			s.prefixes = append(s.prefixes, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		} else if hw, err := net.ParseMAC(value); err == nil && len(hw) == len(mac{}) {
			s.given[mac(hw)] = true
		} else {
			return fmt.Errorf("%q is neither an IP prefix like 192.0.2.0/24 nor a MAC address", value)
		}
	}
	return nil
}

// checkPrefix refuses a prefix of which another was probably meant.
func checkPrefix(p netip.Prefix) error {
	switch {
	case p.Addr().Is4In6():
		return fmt.Errorf("%q has to be written in IPv4's form", p)
	case p.Masked() != p:
		return fmt.Errorf("%q has bits set beyond its length: write %q, or the address alone", p, p.Masked())
	}
	return nil
}

// ruleTwo reports whether the user said who is on the LAN.
func (s *Sides) ruleTwo() bool { return len(s.prefixes)+len(s.given) > 0 }

// Of returns the side that the frame came from.
func (s *Sides) Of(rec *Record) flow.Side {
	if side, ok := s.byInterface(rec); ok {
		return side
	}
	e := endsOf(rec.Data)
	if !s.ruleTwo() {
		return s.asLearnt(&e)
	}
	side := s.asGiven(&e)
	s.judged++
	if side == flow.LAN {
		s.matched++
	}
	return side
}

// GivenLAN returns how many of the frames seen by Of were judged by the LAN
// that the user gave, and how many of those came from it.
func (s *Sides) GivenLAN() (matched, judged uint64) { return s.matched, s.judged }

func (s *Sides) byInterface(rec *Record) (flow.Side, bool) {
	var side flow.Side
	if !s.named || side.UnmarshalText([]byte(rec.Interface)) != nil {
		return flow.LAN, false
	}
	if rec.Outbound {
		side = side.Other()
	}
	return side, true
}

// asGiven applies rule 2.
func (s *Sides) asGiven(e *ends) flow.Side {
	if s.given[e.srcMAC] || s.inPrefixes(e.src.addr) {
		return flow.LAN
	}
	if side, ok := s.stations[e.srcMAC].only(); ok && !tells(e.src) {
		return side
	}
	return flow.WAN
}

// tells reports whether an address says anything about where a host is.
func tells(h host) bool {
	return h.known() && !h.addr.IsUnspecified() && !h.addr.IsLinkLocalUnicast()
}

func (s *Sides) inPrefixes(addr netip.Addr) bool {
	for _, prefix := range s.prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// asLearnt applies rule 3.
func (s *Sides) asLearnt(e *ends) flow.Side {
	if side, ok := s.hosts[e.src]; ok {
		return side
	}
	if side, ok := s.stations[e.srcMAC].only(); ok {
		return side
	}
	if side, ok := s.hosts[e.dst]; ok {
		return side.Other()
	}
	if side, ok := s.stations[e.dstMAC].only(); ok {
		return side.Other()
	}
	return flow.LAN
}
