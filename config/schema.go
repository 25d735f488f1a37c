package config

import (
	"maps"
	"slices"
	"time"
)

// schema says of every key what it takes and where in c that goes. It is the
// one list of the keys of the format.
func (c *Config) schema() table {
	b, p, l, t := &c.Bridge, &c.Policy, &c.Limits, &c.Timeouts
	return table{
		"bridge": table{
			"lan":              nic(&b.LAN),
			"wan":              nic(&b.WAN),
			"workers":          integer(&b.Workers, 1, 64, "more threads than that do not make it faster"),
			"backend":          choice(&b.Backend, BackendAuto, BackendMMsg, BackendRing),
			"ring_slots":       integer(&b.RingSlots, minRingSlots, 1<<18, memoryGrows),
			"receive_buffer":   integer(&b.ReceiveBuffer, minBuffer, 1<<30, memoryGrows),
			"send_buffer":      integer(&b.SendBuffer, minBuffer, 1<<30, memoryGrows),
			"qdisc_bypass":     boolean(&b.QdiscBypass),
			"link_propagation": boolean(&b.LinkPropagation),
			"fail":             choice(&b.Fail, FailClosed, FailOpen),
		},
		"policy": table{
			"gre":        choice(&p.GRE, GRENegotiated, GREAny),
			"gre_v0":     choice(&p.GREv0, ActionDrop, ActionForward),
			"gre_other":  choice(&p.GREOther, ActionDrop, ActionForward),
			"other":      choice(&p.Other, ActionForward, ActionDrop),
			"opaque":     choice(&p.Opaque, ActionForward, ActionDrop),
			"pptp":       choice(&p.PPTP, Allow, Deny),
			"clients":    prefixes(&p.Clients),
			"servers":    prefixes(&p.Servers),
			"strict_gre": choice(&p.StrictGRE, ActionDrop, ActionCount),
			"adopt":      choice(&p.Adopt, AdoptOff, AdoptLiveControl),
		},
		"limits": table{
			"connections":          integer(&l.Connections, 1, 1<<20, memoryGrows),
			"connections_per_host": integer(&l.ConnectionsPerHost, 1, 1<<20, memoryGrows),
			"calls":                integer(&l.Calls, 1, 1<<20, memoryGrows),
			"calls_per_connection": integer(&l.CallsPerConnection, 1, 1<<16, "call IDs have 16 bits"),
			"calls_per_host":       integer(&l.CallsPerHost, 1, 1<<20, memoryGrows),
			"expectations":         integer(&l.Expectations, 1, 1<<21, memoryGrows),
			"fragments":            integer(&l.Fragments, 1, 1<<20, memoryGrows),
			"hold_bytes":           integer(&l.HoldBytes, minHold, 1<<30, memoryGrows),
		},
		"timeouts": table{
			"expectation":     duration(&t.Expectation),
			"gre_unreplied":   duration(&t.GREUnreplied),
			"gre_stream":      duration(&t.GREStream),
			"tcp_established": duration(&t.TCPEstablished),
			"tcp_syn":         duration(&t.TCPSyn),
			"tcp_closing":     duration(&t.TCPClosing),
			"pending_call":    duration(&t.PendingCall),
		},
		"nat": table{
			"mode":    choice(&c.NAT.Mode, NATOff, NATCallID, NATMasquerade),
			"address": address(&c.NAT.Address),
			"ports":   portRange(&c.NAT.Ports),
			"forward": forwards{&c.NAT.Forward},
		},
		"status": table{
			"socket": socketPath(&c.Status.Socket),
			"state":  statePath(&c.Status.State),
			"listen": listenAddress(&c.Status.Listen),
		},
		"log": table{
			"level":  choice(&c.Log.Level, LevelDebug, LevelInfo, LevelWarn, LevelError),
			"format": choice(&c.Log.Format, FormatJSON, FormatText),
		},
	}
}

const (
	memoryGrows = "the box's memory grows with it"
	// minHold is room for one frame of the usual MTU with its tags; with less,
	// no frame could ever be held.
	minHold = 2048
	// minRingSlots is room for a few batches.
	minRingSlots = 256
	// minBuffer is room for a few super-frames of 64 KiB, as the kernel counts.
	minBuffer = 256 << 10
	// Timeouts below minTimeout are slips of the unit, "5ms" for "5m".
	minTimeout = time.Second
	maxTimeout = 365 * 24 * time.Hour
)

// schema says the same of one [[nat.forward]].
func (f *Forward) schema() table {
	return table{"address": address(&f.Address), "to": address(&f.To)}
}

// kind is what a key takes: set checks a value, stores it, and reports what is
// wrong with it.
type kind interface{ set(v value) }

// setter is a kind that has no keys of its own.
type setter func(v value)

func (s setter) set(v value) { s(v) }

// table is a kind with keys of its own.
type table map[string]kind

func (t table) set(v value) {
	fields, ok := v.raw.(map[string]any)
	if !ok {
		v.fault("must be a table, written [%s], not %s", v.key, typeName(v.raw))
		return
	}
	for name, raw := range fields {
		child := v.child(name, raw)
		kind, known := t[name]
		if !known {
			child.unknown(v.key, name)
			continue
		}
		faults := len(v.doc.faults)
		kind.set(child)
		if len(v.doc.faults) == faults {
			child.refuse()
		}
	}
}

// keysOf lists the keys of a kind, dotted and sorted, those of tables before
// those within.
func keysOf(key string, k kind) []string {
	var within table
	switch k := k.(type) {
	case table:
		within = k
	case forwards:
		within = new(Forward).schema()
	}
	var keys []string
	for _, name := range slices.Sorted(maps.Keys(within)) {
		child := join(key, name)
		keys = append(append(keys, child), keysOf(child, within[name])...)
	}
	return keys
}
