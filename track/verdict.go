package track

import "fmt"

// Verdict is what happens to a frame.
type Verdict uint8

// The verdicts. The zero Verdict is invalid, so that a frame nobody decided
// about is noticed.
const (
	_ Verdict = iota
	// Forward lets the frame pass unchanged.
	Forward
	// Expect is Forward for the segment that completes the message which
	// opens a call: the call's GRE is expected from now on.
	Expect
	// Rewrite lets the frame pass with changed bytes.
	Rewrite
	// Drop lets the frame end here.
	Drop
	// Hold keeps a copy until what it waits for has come. It is never final:
	// a held frame is released with one of the other verdicts.
	Hold
)

var verdictNames = [...]string{Forward: "forward", Expect: "expect", Rewrite: "rewrite", Drop: "drop", Hold: "hold"}

// String returns the verdict's name as the commands print it.
func (v Verdict) String() string {
	if v == 0 || int(v) >= len(verdictNames) {
		return fmt.Sprintf("Verdict(%d)", uint8(v))
	}
	return verdictNames[v]
}

// Passes reports whether a frame with this verdict leaves by the other port.
func (v Verdict) Passes() bool { return v == Forward || v == Expect || v == Rewrite }

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Reason says why a frame got its verdict: a closed list, each with a counter
// of its own; the counters add up to the frames received.
type Reason uint8

// The reasons. Those from ReasonMalformed on are reasons to drop.
const (
	_ Reason = iota

	ReasonOther              // not PPTP: policy.other lets it pass
	ReasonControl            // part of a PPTP control connection
	ReasonControlOutOfWindow // TCP outside the window: passes, without effect
	ReasonControlBadChecksum // TCP with a wrong checksum: passes, without effect
	ReasonControlUntracked   // control beyond a limit: passes, opens no calls
	ReasonCall               // GRE of a connected call
	ReasonAdopting           // GRE of a call that policy.adopt is about to find
	ReasonAnyGRE             // GRE of no call: policy.gre = "any" lets it pass
	ReasonGREv0              // GRE version 0: policy.gre_v0 = "forward" lets it pass
	ReasonGREOther           // GRE version 1 of another protocol: policy.gre_other = "forward" lets it pass
	ReasonICMP               // ICMP about PPTP, under policy.other = "drop"
	ReasonNeighbour          // ARP or neighbour discovery, under policy.other = "drop"
	ReasonLinkControl        // STP, LACP, EAPOL, LLDP, under policy.other = "drop"

	ReasonMalformed       // IP protocol 47 whose headers lie or are cut
	ReasonTruncated       // the port could not take the frame whole
	ReasonPause           // MAC control concerns one link only
	ReasonNotNegotiated   // GRE version 1 of no call
	ReasonWrongSide       // GRE of a live call, or its control, from the wrong port
	ReasonWrongZone       // control of a live connection with another VLAN identity
	ReasonGREVersion      // GRE that is neither version 0 nor a PPTP version 1
	ReasonGREv0Denied     // GRE version 0 under policy.gre_v0 = "drop"
	ReasonGREOtherDenied  // GRE version 1 of another protocol under policy.gre_other = "drop"
	ReasonStrictGRE       // GRE of a call with a bad header, under policy.strict_gre = "drop"
	ReasonOtherDenied     // not PPTP, under policy.other = "drop"
	ReasonOpaque          // what cannot be looked into, under policy.opaque = "drop"
	ReasonPPTPDenied      // control of a pair that policy does not allow
	ReasonFragmentOrphan  // a fragment whose first fragment never came
	ReasonFragmentOverlap // a fragment that overlaps one already seen
	ReasonFragmentTiny    // a first fragment too short for the headers that decide
	ReasonFragmentLimit   // limits.fragments or limits.hold_bytes reached
	ReasonNoTranslation   // what translation knows no way for: for the box's own address, or of nobody's
	ReasonHairpin         // PPTP from the LAN for an address that the box has on the WAN side
	ReasonNotPPTP         // what a LAN host says to a server in a translated connection is not PPTP
	ReasonControlGap      // control of a translated connection behind octets that did not come
	ReasonEgressMTU       // too long for the port it would leave by
	ReasonEgressFull      // the port it would leave by took no more
	ReasonEgressDown      // the port it would leave by is down
	ReasonBypassed        // it went past the box, or its turn was over when the box came back

	// NumReasons is the length of an array indexed by Reason.
	NumReasons
)

var reasonNames = [NumReasons]string{
	ReasonOther: "other", ReasonControl: "control", ReasonControlOutOfWindow: "control-out-of-window",
	ReasonControlBadChecksum: "control-bad-checksum", ReasonControlUntracked: "control-untracked", ReasonCall: "call", ReasonAdopting: "adopting", ReasonAnyGRE: "any-gre", ReasonGREv0: "gre-v0",
	ReasonGREOther: "gre-other",
	ReasonICMP:     "icmp", ReasonNeighbour: "neighbour", ReasonLinkControl: "link-control",
	ReasonMalformed: "malformed", ReasonTruncated: "truncated", ReasonPause: "pause",
	ReasonWrongZone: "wrong-zone", ReasonGREVersion: "gre-version", ReasonGREv0Denied: "gre-v0-denied",
	ReasonGREOtherDenied: "gre-other-denied", ReasonNotPPTP: "not-pptp",
	ReasonNotNegotiated: "not-negotiated", ReasonWrongSide: "wrong-side",
	ReasonStrictGRE: "strict-gre", ReasonOtherDenied: "other-denied", ReasonOpaque: "opaque", ReasonPPTPDenied: "pptp-denied",
	ReasonFragmentOrphan: "fragment-orphan", ReasonFragmentOverlap: "fragment-overlap",
	ReasonFragmentTiny: "fragment-tiny", ReasonFragmentLimit: "fragment-limit",
	ReasonNoTranslation: "no-translation", ReasonHairpin: "hairpin", ReasonControlGap: "control-gap",
	ReasonEgressMTU: "egress-mtu", ReasonEgressFull: "egress-full", ReasonEgressDown: "egress-down", ReasonBypassed: "bypassed",
}

// String returns the reason's name as the commands print it.
func (r Reason) String() string {
	if r == 0 || r >= NumReasons {
		return fmt.Sprintf("Reason(%d)", uint8(r))
	}
	return reasonNames[r]
}

// MarshalText implements encoding.TextMarshaler.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
