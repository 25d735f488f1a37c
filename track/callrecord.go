package track

import (
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// call is a call of a control connection and guarded by that connection's
// lock. The connection has it in one of three lists.
type call struct {
	// serial is the call's number; 0 while the record is unused. It is the
	// one field read without the lock, to tell whether a ref still means the
	// call it once meant.
	serial atomic.Uint64
	callData
}

type callData struct {
	prev, next ref
	list       callList
	kind       pptp.CallKind
	state      pptp.CallState
	pns        Side
	ids        [2]uint16 // by role, see id
	idKnown    [2]bool
	alias      uint16           // what the WAN calls the ID that the LAN's end assigned
	named      bool             // it has a use of that name
	refused    bool             // it could get none
	seen       [flow.Sides]bool // GRE came in by that side
	adopted    bool             // found by its GRE: kind and roles are a guess
	contested  bool             // agreed, but a call of another connection has its key
	told       bool             // that this is so
	started    Time
	control    Time // its last message
	waits      Time // since when it is where it is, of a call that is not active
}

// side returns where the end with this role is.
func (k *call) side(role pptp.Role) Side {
	if role == pptp.PNS {
		return k.pns
	}
	return k.pns.Other()
}

// roleOn is the role of the end on side.
func (k *call) roleOn(side Side) pptp.Role {
	if k.pns == side {
		return pptp.PNS
	}
	return pptp.PAC
}

// id returns the call ID that the end with this role assigned, if it has.
func (k *call) id(role pptp.Role) (uint16, bool) {
	return k.ids[role-pptp.PNS], k.idKnown[role-pptp.PNS]
}

func (k *call) setID(c *connection, role pptp.Role, id uint16) {
	if k.side(role) == LAN {
		k.takeName(c, id)
	}
	k.ids[role-pptp.PNS], k.idKnown[role-pptp.PNS] = id, true
}

// undead reports whether k was refused while one of its ends thinks that it is
// agreed.
func (k *call) undead() bool { return k.refused && k.idKnown[0] && k.idKnown[1] }

// party names one end of a call by what a message says of it.
type party struct {
	kind pptp.CallKind // 0: any
	role pptp.Role     // 0: whichever is on side
	side Side
	id   uint16
	from Side // who says so: the WAN knows the LAN's end by its alias
}

// is reports whether the party is an end of k.
func (p *party) is(k *call) bool {
	role := p.role
	if role == 0 || k.adopted {
		if role = pptp.PNS; k.pns != p.side {
			role = pptp.PAC
		}
	}
	id, known := k.id(role)
	if p.side == LAN && p.from == WAN {
		id = k.alias
		known = known && !k.undead() // it has its answer
	}
	return known && id == p.id && k.side(role) == p.side && (p.kind == 0 || p.kind == k.kind)
}

// callList is a list of calls that a connection has.
type callList uint8

// The lists.
const (
	pending   callList = iota // asked for, not agreed
	expecting                 // agreed, no GRE seen yet
	active                    // carries GRE
	callLists
)

// link puts a call at the head of a list of its connection.
func (t *Tracker) link(c *connection, r ref, list callList) {
	k := t.calls.at(r)
	head := &c.lists[list]
	k.list, k.prev, k.next = list, 0, *head
	if *head != 0 {
		t.calls.at(*head).prev = r
	} else {
		c.oldest[list] = r
	}
	*head = r
	c.count(list, 1)
	if list == pending {
		t.forgetNodes(r) // as they were left with another call
	}
}

// count adds n, 1 or -1, to the number of calls in a list.
func (c *connection) count(list callList, n int) {
	switch list {
	case pending:
		c.pending += int32(n)
	case expecting:
		c.expecting += int32(n)
	}
}

func (t *Tracker) unlink(c *connection, r ref) {
	k := t.calls.at(r)
	if k.next != 0 {
		t.calls.at(k.next).prev = k.prev
	} else {
		c.oldest[k.list] = k.prev
	}
	if k.prev != 0 {
		t.calls.at(k.prev).next = k.next
	} else {
		c.lists[k.list] = k.next
	}
	c.count(k.list, -1)
	if k.list == pending {
		for trie := range idTries {
			t.leaveIndex(c, trie, r)
		}
	}
}

// move puts a call into another list of its connection.
func (t *Tracker) move(c *connection, r ref, list callList) {
	t.unlink(c, r)
	t.link(c, r, list)
}

// findAgreed returns the agreed call of c that the party belongs to, or 0: the
// key map leads from the ID that a party assigned to the call.
func (t *Tracker) findAgreed(c *connection, p *party) ref {
	id := p.id
	if p.side == LAN && p.from == LAN {
		id, _ = t.aliasOf(c, id)
	}
	key := c.greTo(p.side, id)
	e, ok := t.entry(&key)
	if !ok || !e.belongsTo(c) || !t.lives(e.conn, e.numbered()) || !p.is(t.calls.at(e.call)) {
		return 0
	}
	return e.call
}

// greTo is the key of the GRE sent to the end on side, whose ID is this where it
// comes in.
func (c *identity) greTo(side Side, id uint16) flow.Key {
	k := flow.Key{Kind: flow.GREKey, Side: side.Other(), Zone: c.key.Zone, Src: c.key.Src, Dst: c.key.Dst, DstID: id}
	if side == LAN {
		k.Src, k.Dst = c.key.Dst, c.greAddr
	}
	return k
}
