package flow

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTagGroups compares what is said of a group of slots with a look at each.
func TestTagGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(groupSlots, 40).Draw(t, "slots")
		some := rapid.SampledFrom([]uint8{0, 0x80, 0x81, 0xfe, 0xff})
		tags := newTags(slots)
		for at := range slots {
			tags.set(at, some.Draw(t, "tag"))
		}
		for from := range slots {
			g, want := tags.group(from), tag(rapid.Uint64().Draw(t, "hash"))
			checkGroup(t, g.free(), tags[:slots], from, 0)
			checkGroup(t, g.like(want), tags[:slots], from, want)
			checkGroup(t, g.like(0x80), tags[:slots], from, 0x80)
		}
	})
}

// checkGroup sees that yes names the slots with the tag, of those from from on.
func checkGroup(t *rapid.T, yes group, tags tags, from int, tag uint8) {
	for i := range groupSlots {
		if tags[(from+i)%len(tags)] != tag {
			continue
		}
		if yes == 0 || yes.first() != i {
			t.Fatalf("slots %x from %d: %x does not name slot +%d, which has tag %#x", tags, from, uint64(yes), i, tag)
		}
		yes = yes.rest()
	}
	if yes != 0 {
		t.Fatalf("slots %x from %d: %x names slots without tag %#x", tags, from, uint64(yes), tag)
	}
}
