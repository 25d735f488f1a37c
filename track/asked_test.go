package track

import (
	"testing"

	"github.com/grewire/grewire/track/flow"
	"pgregory.net/rapid"
)

// TestAskedTableAgainstMap compares the table with a map, over keys most of which
// share their chain with others.
func TestAskedTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		table, model := newAskedTable(limit), map[uint16]uint64{}
		for serial := range uint64(rapid.IntRange(0, 100).Draw(t, "steps")) {
			id := rapid.Uint16Range(0, 11).Draw(t, "id")
			key, hash := flow.Key{Kind: flow.GREKey, DstID: id}, uint64(id%3)
			r, before := table.find(hash, &key)
			want, there := model[id]
			switch {
			case (r != 0) != there || there && table.at(r).serial != want:
				t.Fatalf("ID %d is node %d; in the map it is %v, %d", id, r, there, want)
			case there && table.none(hash):
				t.Fatalf("the chain of ID %d is said to be empty", id)
			case there:
				table.remove(hash, r, before)
				delete(model, id)
			default:
				a := table.insert(hash, &key)
				if (a != nil) != (len(model) < limit) {
					t.Fatalf("insert with %d of %d entries: %v", len(model), limit, a)
				}
				if a != nil {
					a.serial, model[id] = serial, serial
				}
			}
		}
		for hash := range uint64(3) {
			some := false
			for id := range model {
				some = some || uint64(id%3) == hash
			}
			if table.none(hash) == some {
				t.Fatalf("none(%d) is %v, want %v", hash, !some, some)
			}
		}
	})
}
