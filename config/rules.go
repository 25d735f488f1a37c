package config

import "net/netip"

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
	if c.Status.State == c.Status.Socket {
		doc.fault("status.state", places.lineOf("status", "state"),
			"%s is also status.socket: name another file", show(c.Status.State))
	}
	if c.NAT.Mode == NATMasquerade && !c.NAT.Address.IsValid() && doc.sound("nat.mode", "nat.address") {
		missing("nat.address", "nat", `mode "masquerade" needs the address that the WAN is to see`)
	}
}

// forwards is the kind of nat.forward.
type forwards struct{ to *[]Forward }

func (k forwards) set(v value) {
	items, ok := v.items()
	if !ok {
		v.fault("must be an array of tables, each written [[%s]], not %s", v.key, typeName(v.raw))
		return
	}
	taken := make(map[netip.Addr]netip.Addr)
	for _, item := range items {
		var f Forward
		faults := len(v.doc.faults)
		f.schema().set(item)
		if len(v.doc.faults) == faults {
			item.checkForward(f, taken)
			*k.to = append(*k.to, f)
		}
	}
}

// checkForward checks a forward against itself and those before it, which have
// taken these addresses.
func (v value) checkForward(f Forward, taken map[netip.Addr]netip.Addr) {
	for name, a := range map[string]netip.Addr{"address": f.Address, "to": f.To} {
		if !a.IsValid() {
			v.child(name, nil).fault("missing: a forward needs both an address and a to")
		}
	}
	if !f.Address.IsValid() || !f.To.IsValid() {
		return
	}
	if f.Address.Is4() != f.To.Is4() {
		v.child("to", nil).fault("%s is not of the same family as address %s", f.To, f.Address)
	}
	if to, dup := taken[f.Address]; dup {
		v.child("address", nil).fault("%s is forwarded already, to %s: one address leads to one server", f.Address, to)
	}
	taken[f.Address] = f.To
}
