package track

import (
	"slices"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
)

// Use is how much of a limit is taken.
type Use struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

// Usage returns how much of each limit is taken, by its key in the
// configuration's section [limits], and how much of the tables that translation
// has, which are as large as those limits call for.
func (t *Tracker) Usage() map[string]Use {
	limits := t.settings.Load().Limits
	usage := map[string]Use{
		"connections":  {t.connections.used(), limits.Connections},
		"calls":        {t.callsUsed(), limits.Calls},
		"expectations": {int(t.expectations.Load()), limits.Expectations},
		"fragments":    {t.fragmentsUsed(), limits.Fragments},
		"hold_bytes":   {int(t.heldBytes.Load()) + t.buffers.Used()*stream.BufferMemory, limits.HoldBytes},
	}
	if n := t.nat; n != nil {
		usage["nat.aliases"] = Use{n.controls.Len(), t.made.Connections}
		usage["nat.names"] = Use{n.names.Len(), t.made.Calls + t.made.Connections}
		usage["nat.quotes"] = Use{n.quotes.Len(), t.made.Calls}
		usage["nat.heads"] = n.heads.use()
	}
	return usage
}

// Calls returns the calls that have not ended, by number.
func (t *Tracker) Calls() []Call {
	var out []Call
	t.eachCall(func(c *connection, r ref) { out = append(out, t.snapshot(&c.identity, t.calls.at(r))) })
	slices.SortFunc(out, func(a, b Call) int { return int(int64(a.ID - b.ID)) })
	return out
}

// Expectations returns the directions of calls whose GRE is expected, by call.
func (t *Tracker) Expectations() []Expectation {
	var out []Expectation
	s := t.settings.Load()
	t.eachCall(func(c *connection, r ref) {
		if k := t.calls.at(r); k.list == expecting {
			out = append(out, s.expectation(c, k, LAN), s.expectation(c, k, WAN))
		}
	})
	slices.SortStableFunc(out, func(a, b Expectation) int { return int(int64(a.Call - b.Call)) })
	return out
}

func (s *settings) expectation(c *connection, k *call, from Side) Expectation {
	role := pptp.PNS
	if k.pns == from {
		role = pptp.PAC
	}
	id, _ := k.id(role)
	return Expectation{
		Call: k.serial.Load(), Zone: c.key.Zone, Side: from, CallID: id, Alias: c.aliasOf(k),
		Src: c.addr(from).Netip(), Dst: c.addr(from.Other()).Netip(), Expires: s.deadline(k).Std(),
	}
}

// eachCall visits every call under its connection's lock.
func (t *Tracker) eachCall(visit func(c *connection, r ref)) {
	var some []numbered
	for _, key := range t.controlKeys() {
		some = t.eachOf(&key, 0, some, visit)
	}
}

// numbered names a call for longer than it may live.
type numbered struct {
	ref    ref
	serial uint64
}

// eachOf visits every call of a connection under its lock, a few at a time: a
// worker may wait for it. The connection may have any serial if that is 0. some is
// room to work in, which is returned.
func (t *Tracker) eachOf(key *flow.Key, serial uint64, some []numbered, visit func(c *connection, r ref)) []numbered {
	some = some[:0]
	t.with(key, serial, func(c *connection) {
		serial = c.serial
		for _, head := range c.lists {
			for r := head; r != 0; r = t.calls.at(r).next {
				some = append(some, numbered{r, t.calls.at(r).serial.Load()})
			}
		}
	})
	for few := range slices.Chunk(some, visitedAtOnce) {
		t.with(key, serial, func(c *connection) {
			for _, n := range few {
				if t.lives(c.self, n) {
					visit(c, n.ref)
				}
			}
		})
	}
	return some
}

// with calls do for the connection with a key, if it is there and has the serial,
// or that is 0, under its lock.
func (t *Tracker) with(key *flow.Key, serial uint64, do func(c *connection)) {
	hash := t.controls.Hash(key)
	lock := t.lock(hash)
	defer lock.Unlock()
	if c := t.find(hash, key); c != nil && (serial == 0 || c.serial == serial) {
		do(c)
	}
}

// controlKeys returns the key of every connection.
func (t *Tracker) controlKeys() []flow.Key {
	keys := make([]flow.Key, 0, t.connections.used())
	t.controls.Each(func(k *flow.Key, _ *ref) {
		if k.Kind == flow.ControlKey {
			keys = append(keys, *k)
		}
	})
	return keys
}

// snapshot returns what there is to say about a call. The caller holds the lock
// that guards it.
func (t *Tracker) snapshot(c *identity, k *call) Call {
	out := Call{
		ID: k.serial.Load(), Zone: c.key.Zone, State: k.shown(), Kind: k.kind.String(), Adopted: k.adopted,
		Alias: c.aliasOf(k), Started: k.started.Std(), Control: c.control(),
	}
	out.PNS, out.PAC = out.Control.party(k, pptp.PNS), out.Control.party(k, pptp.PAC)
	last := k.control
	if k.state.CarriesGRE() && k.list != expecting {
		for _, from := range [...]Side{LAN, WAN} {
			e := t.traffic(c, k, from)
			last = max(last, e.last)
			out.add(from, &e)
		}
	}
	out.LastSeen = last.Std()
	return out
}

// add puts in what the key map counted of the direction that comes in by from.
func (out *Call) add(from Side, e *keyEntry) {
	traffic := &out.LANToWAN
	if from == WAN {
		traffic = &out.WANToLAN
	}
	*traffic = Traffic{Packets: e.packets, Bytes: e.bytes}
	out.Lost += uint64(e.sequence.lost)
	out.Reordered += uint64(e.sequence.reordered)
	out.Repeated += uint64(e.sequence.repeated)
	out.Jumps += uint64(e.sequence.jumps)
}

// traffic returns the key map's entry for the call's GRE that comes in by
// from, under its key or set aside.
func (t *Tracker) traffic(c *identity, k *call, from Side) keyEntry {
	key := c.greTo(from.Other(), k.outerID(k.roleOn(from.Other())))
	if e, _ := get(t.keymap[from], &key); e.serial == k.serial.Load() {
		return e
	}
	key = asideKey(from, k.serial.Load())
	e, _ := get(t.keymap[from], &key)
	return e
}

// shown is the call's state in the words of the commands.
func (k *call) shown() CallState {
	switch {
	case k.state == pptp.CallClearing:
		return CallClearing
	case k.state == pptp.CallConnected && k.seen[LAN] && k.seen[WAN]:
		return CallActive
	case k.state == pptp.CallConnected:
		return CallConnected
	}
	return CallRequested
}

// aliasOf is what the WAN sees of the call's end on the LAN; nil if it is not
// translated.
func (c *identity) aliasOf(k *call) *Alias {
	if !c.named {
		return nil
	}
	return &Alias{Addr: c.alias.addr.Netip(), CallID: k.alias}
}

// party is the end with a role of a call that c controls.
func (c *Control) party(k *call, role pptp.Role) Party {
	id, _ := k.id(role)
	p := Party{Addr: c.LANAddr, Side: k.side(role), CallID: id}
	if p.Side == WAN {
		p.Addr = c.WANAddr
	}
	return p
}

func (c *identity) control() Control {
	return Control{
		LANAddr: c.key.Src.Netip(), LANPort: c.key.SrcID,
		WANAddr: c.key.Dst.Netip(), WANPort: c.key.DstID,
	}
}
