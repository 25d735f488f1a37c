package track

import (
	"fmt"
	"reflect"

	"github.com/grewire/grewire/track/pptp"
)

// KeyEntrySize is what the key map holds for a direction, in octets.
var KeyEntrySize = reflect.TypeFor[keyEntry]().Size()

// TableSizes returns the number of entries of the tables that Usage does not
// show: hosts, and the key map.
func (t *Tracker) TableSizes() (hosts, keys int) {
	return t.hosts.Len(), t.keymap[0].Len() + t.keymap[1].Len()
}

// ControlKeys returns the number of keys that lead to connections.
func (t *Tracker) ControlKeys() int { return t.controls.Len() + t.pairs.Len() }

// EndTogether makes calls that end with their connection be cleaned up by Tick
// however few they are. It is for a Tracker that nobody has used yet.
func (t *Tracker) EndTogether() { t.endings = newEndings(&t.made, 0) }

// Endings returns how many calls have ended whose records are not cleaned up.
func (t *Tracker) Endings() int { return t.endings.count() }

// IndexFault looks for a call that waits and is not found as a walk over all of
// its connection's would find it. It returns what is wrong, "" if nothing is.
func (t *Tracker) IndexFault() (fault string) {
	t.eachCall(func(c *connection, r ref) {
		k := t.calls.at(r)
		if k.list != pending {
			return
		}
		for _, p := range k.parties() {
			got, want := t.findPending(c, &p), t.walkPending(c, &p)
			if got != want && t.only(c, &p) && !t.displacedIn(t.trieOf(&p), want) {
				fault = fmt.Sprintf("%+v: found %d, want %d", p, got, want)
			}
		}
	})
	return fault
}

// parties are the ways in which a message may name a call.
func (k *call) parties() (all []party) {
	for _, role := range [...]pptp.Role{pptp.PNS, pptp.PAC} {
		id, known := k.id(role)
		if !known {
			continue
		}
		for _, kind := range [...]pptp.CallKind{0, k.kind} {
			for _, role := range [...]pptp.Role{0, role} {
				all = append(all, party{kind, role, k.side(role), id, LAN}, party{kind, role, k.side(role), id, WAN},
					party{kind, role, LAN, k.alias, WAN}, party{kind, role, LAN, NoCallID, WAN})
			}
		}
	}
	return all
}

// walkPending is findPending by a walk.
func (t *Tracker) walkPending(c *connection, p *party) (found ref) {
	for r := c.lists[pending]; r != 0; r = t.calls.at(r).next {
		if k := t.calls.at(r); p.is(k) {
			if found = r; !k.refused {
				break
			}
		}
	}
	return found
}

// only reports whether one call at most has the party for an end, or those that
// got no ID have.
func (t *Tracker) only(c *connection, p *party) bool {
	n := 0
	for r := c.lists[pending]; r != 0; r = t.calls.at(r).next {
		if k := t.calls.at(r); p.is(k) && !(k.refused && t.trieOf(p) == byAlias) {
			n++
		}
	}
	return n <= 1
}

// displacedIn reports whether a later call had a call's key in a trie.
func (t *Tracker) displacedIn(trie idTrie, r ref) bool {
	return r != 0 && t.calls.at(r).indexKey(trie) != 0 && t.index[trie] != nil && t.node(trie, r).key == 0
}
