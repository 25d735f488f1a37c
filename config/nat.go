package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// PortRange is a range of TCP ports, both ends in it.
type PortRange struct{ First, Last uint16 }

// String returns the range as FIRST-LAST.
func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// MarshalText implements encoding.TextMarshaler.
func (p PortRange) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Active reports whether anything is translated.
func (n *NAT) Active() bool { return n.Mode != NATOff || len(n.Forward) > 0 }

// Translated returns the addresses that are the box's own on the WAN side, in
// their order and each once: Address with NATMasquerade, and those of Forward.
func (n *NAT) Translated() []netip.Addr {
	var all []netip.Addr
	if n.Mode == NATMasquerade {
		all = append(all, n.Address)
	}
	for _, f := range n.Forward {
		all = append(all, f.Address)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// Servers returns what Forward leads to, in its order: each is there once.
func (n *NAT) Servers() []netip.Addr {
	all := make([]netip.Addr, len(n.Forward))
	for i, f := range n.Forward {
		all[i] = f.To
	}
	return all
}

const (
	// maxForwards bounds the addresses that are answered for.
	maxForwards = 1024
	// portPPTP is a server's (RFC 2637, section 3.1): at a port like that, a
	// client could be taken for one.
	portPPTP = 1723
	minPort  = 1024
)

// address takes the IPv4 address of one host; the empty string is none.
func address(to *netip.Addr) setter {
	const want = `an IPv4 address, such as "203.0.113.7"`
	return func(v value) {
		s, ok := v.raw.(string)
		if !ok {
			v.wrongType(want)
			return
		}
		a, err := netip.ParseAddr(s)
		switch {
		case s == "":
			*to = netip.Addr{}
		case err != nil || !a.Is4():
			v.fault("%s is not %s", show(s), want)
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == broadcast:
			v.fault("%s is not the address of one host on the network", show(s))
		default:
			*to = a
		}
	}
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// portRange takes FIRST-LAST.
func portRange(to *PortRange) setter {
	const want = `a range of ports, such as "32768-60999"`
	return func(v value) {
		s, ok := v.raw.(string)
		if !ok {
			v.wrongType(want)
			return
		}
		from, upTo, _ := strings.Cut(s, "-")
		first, errFirst := strconv.ParseUint(from, 10, 16)
		last, errLast := strconv.ParseUint(upTo, 10, 16)
		switch {
		case errFirst != nil || errLast != nil:
			v.fault("%s is not %s", show(s), want)
		case first < minPort || last < first:
			v.fault("%s is out of range: must go from %d or more up to 65535 or less", show(s), minPort)
		case first <= portPPTP && portPPTP <= last:
			v.fault("%s has %d in it, the port of PPTP's servers", show(s), portPPTP)
		default:
			*to = PortRange{uint16(first), uint16(last)}
		}
	}
}

// forwards is the kind of nat.forward.
type forwards struct{ to *[]Forward }

// set stores one Forward for each element, so that their indexes are the same:
// of one that is at fault, without the addresses that are.
func (k forwards) set(v value) {
	items, ok := v.items()
	if !ok {
		v.fault("must be an array of tables, each written [[%s]], not %s", v.key, typeName(v.raw))
		return
	}
	if len(items) > maxForwards {
		v.fault("%d are too many: at most %d", len(items), maxForwards)
		return
	}
	for _, item := range items {
		var f Forward
		faults := len(v.doc.faults)
		f.schema().set(item)
		if len(v.doc.faults) == faults {
			item.checkComplete(f)
		}
		*k.to = append(*k.to, f)
		v.doc.blamed[v.key] = v.doc.blamed[v.key] || len(v.doc.faults) > faults
	}
}

func (v value) checkComplete(f Forward) {
	for name, a := range map[string]netip.Addr{"address": f.Address, "to": f.To} {
		if !a.IsValid() {
			v.child(name, nil).fault("missing: a forward needs both an address and a to")
		}
	}
}

// checkForwards checks each forward against those before it, and against all
// addresses that are translated, nat.address included whatever the mode is.
func (n *NAT) checkForwards(doc *document, places *place) {
	translated := map[netip.Addr]bool{n.Address: true}
	for _, f := range n.Forward {
		translated[f.Address] = true
	}
	before := make(map[netip.Addr]int) // by To, the first
	for i, f := range n.Forward {
		if !f.Address.IsValid() || !f.To.IsValid() {
			continue
		}
		if translated[f.To] {
			doc.faultForward(places, i, "%s is itself an address that the WAN dials: name the server's own", f.To)
		}
		first, again := before[f.To]
		if again {
			n.refuseSecond(doc, places, first, i)
		} else {
			before[f.To] = i
		}
	}
}

// refuseSecond reports two forwards to the same server. With two addresses, a
// host that calls both may give the two calls the same id, and the server's GRE
// for them is the same then.
func (n *NAT) refuseSecond(doc *document, places *place, first, second int) {
	a, b := n.Forward[first], n.Forward[second]
	line := placeOfTo(places, first).line
	if a == b {
		doc.faultForward(places, second, "%s is forwarded to %s already, in line %d", b.Address, b.To, line)
		return
	}
	doc.faultForward(places, second, "%s is reached at %s already, in line %d: with two addresses, what it sends could not be told apart", b.To, a.Address, line)
}

// faultForward reports what is wrong with the to of one forward.
func (d *document) faultForward(places *place, i int, format string, args ...any) {
	d.blamed["nat.forward"] = true
	d.fault("nat.forward.to", placeOfTo(places, i).line, format, args...)
}

// placeOfTo returns the place of the to of one [[nat.forward]].
func placeOfTo(places *place, i int) *place {
	return places.keys["nat"].keys["forward"].items[i].keys["to"]
}
