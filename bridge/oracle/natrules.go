package oracle

import "github.com/grewire/grewire/track/pptp"

// natRule names a way in which the kernel's NAT differs from grewire's
// masquerade.
type natRule struct {
	name string
	why  string // completes "they differ because"
	is   func(d *natDifference) bool
}

// natDifference is a field in which what came out of the two differs, or whether
// anything did that reaches the other end.
type natDifference struct {
	field           natField
	kernel, grewire *natStep // of the same deed
	others          []natConn
}

// natRules has every rule. The first one that fits explains a difference.
var natRules = [...]natRule{
	{"routed", "a router sends by its own MAC address to the next host's, and takes one from the time to live, but a bridge does not", routed},
	{"padding-cut", "a router sends no more than the IP packet, but a bridge forwards padding as it is", func(d *natDifference) bool { return d.field == fieldPadding }},
	{"another-port", "both keep a port that is free, but each takes another one if it is not", func(d *natDifference) bool {
		return d.field == fieldSrcPort && d.kernel.deed.from == Opener || d.field == fieldDstPort && d.kernel.deed.from == Answerer
	}},
	{"sums", "a checksum goes with what it covers, and has to be right", func(d *natDifference) bool { return d.field == fieldIPSum || d.field == fieldTCPSum }},
	{"opener-is-pns", "either end may be PNS, but the kernel takes who opened the connection for it, and opens and translates no other calls", answererIsPNS},
	{"in-calls-broken", "the ID in an Incoming-Call-Reply has to be translated as that in a request, " +
		"but the kernel leaves it, puts 0 where it comes back, and may give the same ID to another call", inCallBroken},
	{"port-as-id", "an ID that is free can stay, but the kernel puts the connection's port in its place, always", func(d *natDifference) bool {
		return d.field == fieldCallID && d.kernel.deed.from == Opener
	}},
	{"cdn-overwritten", "a Call-Disconnect-Notify has the PAC's ID (RFC 2637, section 2.13), but the kernel overwrites it with the PNS's", func(d *natDifference) bool {
		return d.field == fieldCallID && d.kernel.deed.act == says(pptp.CallDisconnectNotify)
	}},
	{"stop-keeps-calls", "a Stop-Control-Connection-Request ends all calls (section 2.3), but the kernel keeps them", keeps(says(pptp.StopControlConnectionRequest))},
	{"fin-keeps-calls", "calls end with their connection, but the kernel keeps them", keeps(natFIN)},
	{"reset-keeps-calls", "calls end with their connection, but the kernel keeps them", keeps(natReset)},
	{"rest-stays", "the end of a call ends all its GRE, but of an in-call the kernel keeps what the PNS sends", func(d *natDifference) bool {
		return d.kernel.conn.incoming && keeps(says(pptp.CallDisconnectNotify))(d)
	}},
	{"id-0-is-none", "0 is an ID like any other, but the kernel takes it for none, and gives GRE another one that seems to clash", func(d *natDifference) bool {
		return d.kernel.deed.act == natGRE && (d.kernel.conn.pnsID == 0 || d.kernel.conn.pacID == 0)
	}},
}

func routed(d *natDifference) bool {
	return d.field == fieldSrc || d.field == fieldDst || d.field == fieldTTL
}

// worse reports whether only grewire's reaches the other end, or one with another
// ID.
func (d *natDifference) worse() bool {
	switch d.field {
	case fieldReached:
		return d.grewire.reached
	case fieldCallID, fieldPeerID, fieldGREKey:
		return true
	case fieldIPDst:
		return d.kernel.deed.act == natGRE // to the other call's host
	}
	return false
}

func answererIsPNS(d *natDifference) bool { return d.kernel.conn.pns == Answerer && d.worse() }

// inCallBroken is about in-calls, and about those whose ID on the WAN is that
// which an in-call has on both sides.
func inCallBroken(d *natDifference) bool {
	c := &d.kernel.conn
	if c.incoming && c.pns == Opener && d.worse() {
		return true
	}
	for _, o := range d.others {
		if o.incoming && o.Answerer == c.Answerer && o.pnsID == value(d.kernel.in, fieldGREKey) && d.kernel.deed.from == Answerer && d.worse() {
			return true
		}
	}
	return false
}

// keeps makes the rule of GRE that passes the kernel after the end of its call.
func keeps(after natAct) func(d *natDifference) bool {
	return func(d *natDifference) bool {
		return d.field == fieldReached && d.kernel.reached && d.kernel.deed.act == natGRE && d.kernel.after == after
	}
}
