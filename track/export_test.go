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

// EndTogether makes calls that end with their connection be cleaned up by Tick
// however few they are. It is for a Tracker that nobody has used yet.
func (t *Tracker) EndTogether() { t.endings = newEndings(&t.made, 0) }

// Endings returns how many calls have ended whose records are not cleaned up.
func (t *Tracker) Endings() int { return t.endings.count() }
