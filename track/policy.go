package track

import (
	"net/netip"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// other decides about what is neither PPTP control nor GRE.
func (l *Lane) other(f *Frame) {
	switch {
	case l.t.nat == nil:
		l.byPolicy(f)
	case f.Packet.Kind == wire.ICMP:
		l.byPolicy(f)
		l.translateQuote(f)
	case !l.stray(f):
		l.byPolicy(f)
		l.learnARP(f)
	}
}

// byPolicy is other without translation.
func (l *Lane) byPolicy(f *Frame) {
	p := &f.Packet
	if p.Opaque && l.settings.Policy.Opaque == ActDrop {
		f.decide(Drop, ReasonOpaque)
		return
	}
	if l.settings.Policy.Other == ActForward {
		f.decide(Forward, ReasonOther)
		return
	}
	switch {
	case p.Kind == wire.LinkControl:
		f.decide(Forward, ReasonLinkControl)
	case p.Kind == wire.ARP || p.IsNeighbourDiscovery():
		f.decide(Forward, ReasonNeighbour)
	case p.Kind == wire.ICMP && isAboutPPTP(f):
		f.decide(Forward, ReasonICMP)
	default:
		f.decide(Drop, ReasonOtherDenied)
	}
}

// isAboutPPTP reports whether an ICMP error quotes PPTP control or GRE.
func isAboutPPTP(f *Frame) bool {
	q, ok := wire.Quoted(f.Data, &f.Packet)
	switch {
	case !ok:
		return false
	case q.Proto == wire.ProtocolTCP:
		return q.SrcPort == serverPort || q.DstPort == serverPort
	}
	return q.Proto == wire.ProtocolGRE
}

// allows reports whether policy lets the ends of a control connection talk.
func (s *settings) allows(k *flow.Key, client Side) bool {
	policy := &s.Policy
	if policy.DenyPPTP {
		return false
	}
	if len(policy.Clients) == 0 && len(policy.Servers) == 0 {
		return true
	}
	c, v := k.Src, k.Dst
	if client == WAN {
		c, v = v, c
	}
	return within(policy.Clients, c) && within(policy.Servers, v)
}

// within reports whether a is in one of the prefixes; no prefixes mean all.
func within(prefixes []netip.Prefix, a wire.Addr) bool {
	addr := a.Netip()
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return len(prefixes) == 0
}

// restrictsPPTP reports whether some control connections may not pass.
func (p *Policy) restrictsPPTP() bool {
	return p.DenyPPTP || len(p.Clients) > 0 || len(p.Servers) > 0
}
