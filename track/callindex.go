package track

import "github.com/grewire/grewire/track/pptp"

// The calls of a connection that wait to be agreed are found by the call IDs
// that their ends assigned. Each call is in up to three tries of its connection,
// one per name that a message may call it by. A node of a trie is a call, and
// the bits of its key lead there: whatever IDs the ends choose, a look-up takes
// no more steps than a key has bits. As all of a connection, its index is
// guarded by its lock.

// idTrie is one of the tries of a connection.
type idTrie uint8

// The tries.
const (
	byLANID idTrie = iota // the ID that the LAN's end assigned
	byAlias               // what the WAN calls that
	byWANID               // the ID that the WAN's end assigned
	idTries
)

// indexKey is what a message tells of a call: an ID, and who assigned it. Those
// differ in their low bits most, and are looked at from there. 0 is none.
type indexKey uint32

const (
	indexed      indexKey = 1 << 18 // every key has it
	isIncoming   indexKey = 1 << 17
	isPAC        indexKey = 1 << 16
	inNoIDsQueue indexKey = 1 << 19 // the call is not in the trie, but in a queue
)

func newIndexKey(kind pptp.CallKind, role pptp.Role, id uint16) indexKey {
	key := indexed | indexKey(id)
	if kind == pptp.IncomingCall {
		key |= isIncoming
	}
	if role == pptp.PAC {
		key |= isPAC
	}
	return key
}

// indexNode is a call's node in one of its connection's tries.
type indexNode struct {
	key      indexKey
	children [2]ref
}

// callNodes are the nodes of all calls, by trie. Where nothing is translated there
// is no trie of aliases.
type callNodes [idTries][]indexNode

func newCallNodes(o *Options) (nodes callNodes) {
	for trie := range nodes {
		if idTrie(trie) != byAlias || o.Translation != nil {
			nodes[trie] = make([]indexNode, o.Limits.Calls)
		}
	}
	return nodes
}

func (t *Tracker) node(trie idTrie, r ref) *indexNode { return &t.index[trie][r-1] }

// forgetNodes makes a call be in no trie, whatever its record was before.
func (t *Tracker) forgetNodes(r ref) {
	for _, nodes := range t.index {
		if nodes != nil {
			nodes[r-1] = indexNode{}
		}
	}
}

// callIndex is where the look-ups of a connection begin.
type callIndex struct {
	roots [idTries]ref
	// noIDs are the calls, by kind, that the LAN's end asked for and that got no
	// ID, in their order: the WAN calls all of them NoCallID, and answers the first
	// of them first.
	noIDs [2]struct{ first, last ref }
}

// seek returns where a trie has the node with a key, or would have it.
func (t *Tracker) seek(c *connection, trie idTrie, key indexKey) *ref {
	at := &c.index.roots[trie]
	for bits := key; *at != 0; bits >>= 1 {
		n := t.node(trie, *at)
		if n.key == key {
			break
		}
		at = &n.children[bits&1]
	}
	return at
}

// reindex makes c's index have a call that waits as it is now; otherwise it
// takes it out.
func (t *Tracker) reindex(c *connection, r ref) {
	k := t.calls.at(r)
	for trie := range idTries {
		if t.index[trie] == nil {
			continue
		}
		n, key := t.node(trie, r), k.indexKey(trie)
		if n.key == key {
			continue
		}
		t.leaveIndex(c, trie, r)
		switch n.key = key; {
		case key&inNoIDsQueue != 0:
			t.enqueue(c, r)
		case key != 0:
			t.enterIndex(c, trie, r)
		}
	}
}

// indexKey is the key under which a call is to be found in a trie, 0 if it is
// not.
func (k *call) indexKey(trie idTrie) indexKey {
	side := LAN
	if trie == byWANID {
		side = WAN
	}
	role := pptp.PNS
	if k.pns != side {
		role = pptp.PAC
	}
	id, known := k.id(role)
	switch {
	case !known || k.list != pending || trie == byAlias && k.undead(): // that has its answer
		return 0
	case trie == byAlias && k.refused:
		return inNoIDsQueue | newIndexKey(k.kind, role, NoCallID)
	case trie == byAlias:
		id = k.alias
	}
	return newIndexKey(k.kind, role, id)
}

// enterIndex puts a call into a trie. Of two calls with one key the latest
// counts: the other is found by this ID no more.
func (t *Tracker) enterIndex(c *connection, trie idTrie, r ref) {
	n := t.node(trie, r)
	at := t.seek(c, trie, n.key)
	n.children = [2]ref{}
	if *at != 0 {
		other := t.node(trie, *at)
		n.children, other.key = other.children, 0
	}
	*at = r
}

// leaveIndex takes a call out of a trie, or out of its queue. A leaf below takes
// its place: any node fits wherever its bits lead past.
func (t *Tracker) leaveIndex(c *connection, trie idTrie, r ref) {
	if t.index[trie] == nil {
		return
	}
	n := t.node(trie, r)
	switch key := n.key; {
	case key == 0:
		return
	case key&inNoIDsQueue != 0:
		t.dequeue(c, r)
	default:
		at := t.seek(c, trie, key)
		leaf := t.leafBelow(trie, at)
		last := *leaf
		*leaf = 0
		if last != r {
			t.node(trie, last).children, *at = n.children, last
		}
	}
	n.key = 0
}

// leafBelow returns where a trie has a leaf below a node, or that node.
func (t *Tracker) leafBelow(trie idTrie, at *ref) *ref {
	for {
		children := &t.node(trie, *at).children
		switch {
		case children[0] != 0:
			at = &children[0]
		case children[1] != 0:
			at = &children[1]
		default:
			return at
		}
	}
}

// A call in a queue has its neighbors where a trie has children.
const (
	before = iota
	behind
)

func (t *Tracker) queued(r ref) *[2]ref { return &t.node(byAlias, r).children }

func queueOf(key indexKey) int { return int(key & isIncoming / isIncoming) }

// enqueue puts a call at the end of the queue of those that got no ID.
func (t *Tracker) enqueue(c *connection, r ref) {
	q := &c.index.noIDs[queueOf(t.node(byAlias, r).key)]
	*t.queued(r) = [2]ref{before: q.last}
	if q.last != 0 {
		t.queued(q.last)[behind] = r
	} else {
		q.first = r
	}
	q.last = r
}

func (t *Tracker) dequeue(c *connection, r ref) {
	q := &c.index.noIDs[queueOf(t.node(byAlias, r).key)]
	n := *t.queued(r)
	if n[before] != 0 {
		t.queued(n[before])[behind] = n[behind]
	} else {
		q.first = n[behind]
	}
	if n[behind] != 0 {
		t.queued(n[behind])[before] = n[before]
	} else {
		q.last = n[before]
	}
}

// findPending returns the call of c that the party belongs to and that is not
// yet agreed, or 0: of several the latest, but of those that got no ID the
// first, since answers come in order.
func (t *Tracker) findPending(c *connection, p *party) (found ref) {
	if c.pending == 0 {
		return 0
	}
	trie := t.trieOf(p)
	for _, kind := range p.kinds() {
		for _, role := range p.roles() {
			r := *t.seek(c, trie, newIndexKey(kind, role, p.id))
			if r != 0 && (found == 0 || t.later(r, found)) {
				found = r
			}
		}
	}
	if found == 0 && trie == byAlias && p.id == NoCallID {
		return t.firstWithoutID(c, p)
	}
	return found
}

// firstWithoutID is findPending for what the WAN answers with NoCallID.
func (t *Tracker) firstWithoutID(c *connection, p *party) (found ref) {
	for _, kind := range p.kinds() {
		r := c.index.noIDs[queueOf(newIndexKey(kind, 0, 0))].first
		if r != 0 && p.is(t.calls.at(r)) && (found == 0 || t.later(found, r)) {
			found = r
		}
	}
	return found
}

// later reports whether one call was made after another.
func (t *Tracker) later(a, b ref) bool {
	return t.calls.at(a).serial.Load() > t.calls.at(b).serial.Load()
}

// trieOf is the trie that has calls by what the party is called by.
func (t *Tracker) trieOf(p *party) idTrie {
	switch {
	case p.side == WAN:
		return byWANID
	case p.from == WAN && t.nat != nil:
		return byAlias
	}
	return byLANID
}

var (
	bothKinds = [...]pptp.CallKind{pptp.OutgoingCall, pptp.IncomingCall}
	bothRoles = [...]pptp.Role{pptp.PNS, pptp.PAC}
)

// kinds are the kinds that the party's call may be of.
func (p *party) kinds() []pptp.CallKind {
	if p.kind == 0 {
		return bothKinds[:]
	}
	return bothKinds[p.kind-pptp.OutgoingCall:][:1]
}

// roles are the roles that the party may have.
func (p *party) roles() []pptp.Role {
	if p.role == 0 {
		return bothRoles[:]
	}
	return bothRoles[p.role-pptp.PNS:][:1]
}
