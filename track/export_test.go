package track

import "reflect"

// KeyEntrySize is what the key map holds for a direction, in octets.
var KeyEntrySize = reflect.TypeFor[keyEntry]().Size()

// TableSizes returns the number of entries of the tables that Usage does not
// show: hosts, and the key map.
func (t *Tracker) TableSizes() (hosts, keys int) {
	return t.hosts.Len(), t.keymap[0].Len() + t.keymap[1].Len()
}

// ControlKeys returns the number of keys that lead to connections.
func (t *Tracker) ControlKeys() int { return t.controls.Len() + t.pairs.Len() }
