package config

// nicRules are the keys that only a program with NICs needs.
var nicRules = map[string]bool{"bridge.lan": true, "bridge.wan": true}

// checkRules checks what a key needs of another. A missing key is reported at
// the header of its table.
func (c *Config) checkRules(doc *document, places *place, without map[string]bool) {
	missing := func(key, table, why string) {
		doc.fault(key, places.lineOf(table), "missing: %s", why)
	}
	if c.Bridge.LAN == "" && doc.sound("bridge.lan") && !without["bridge.lan"] {
		missing("bridge.lan", "bridge", `name the NIC towards the LAN, such as "eth0"`)
	}
	if c.Bridge.WAN == "" && doc.sound("bridge.wan") && !without["bridge.wan"] {
		missing("bridge.wan", "bridge", `name the NIC towards the WAN, such as "eth1"`)
	}
	if c.Bridge.LAN != "" && c.Bridge.LAN == c.Bridge.WAN {
		doc.fault("bridge.wan", places.lineOf("bridge", "wan"),
			"%s is also bridge.lan: a wire has two ends, name two NICs", show(c.Bridge.WAN))
	}
	if c.Bridge.QdiscBypass && c.Bridge.Fail == FailOpen {
		doc.fault("bridge.qdisc_bypass", places.lineOf("bridge", "qdisc_bypass"),
			"true cannot be had with fail = %s: no program at egress could stop what a worker sends too late, behind frames that went past; use false", show(string(FailOpen)))
	}
	if c.Status.State == c.Status.Socket {
		doc.fault("status.state", places.lineOf("status", "state"),
			"%s is also status.socket: name another file", show(c.Status.State))
	}
	if c.NAT.Mode == NATMasquerade && !c.NAT.Address.IsValid() && doc.sound("nat.mode", "nat.address") {
		missing("nat.address", "nat", `mode "masquerade" needs the address that the WAN is to see`)
	}
	if c.NAT.Active() && c.Policy.Adopt != AdoptOff {
		doc.fault("policy.adopt", places.lineOf("policy", "adopt"),
			"%s cannot be had with [nat]: which IDs the WAN has for calls agreed before is not known; use %s", show(string(c.Policy.Adopt)), show(string(AdoptOff)))
	}
	c.NAT.checkForwards(doc, places)
}
