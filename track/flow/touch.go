//go:build !race

package flow

// Touch starts to bring what a look-up of hash needs into the cache, so that
// the misses of a batch of look-ups overlap. It returns where FindAt should
// look. It takes no lock: what it reads means nothing, and used is only there
// to be used by somebody. Under the race detector it does nothing.
func (t *Table[V]) Touch(hash uint64) (guess int, used uint64) {
	s := t.shard(hash)
	want := tag(hash)
	for from := s.home(hash); ; from = s.wrap(from + groupSlots) {
		g := s.tags.group(from)
		if like := g.like(want); like != 0 {
			at := s.wrap(from + like.first())
			e := &s.entries[at]
			return at, e.key.Src.Lo + e.end
		}
		if g.free() != 0 {
			return 0, 0
		}
	}
}
