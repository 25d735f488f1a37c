//go:build !race

package flow

// Touch starts to bring what a look-up of hash needs into the cache, so that
// the misses of a batch of look-ups overlap, and returns where FindAt should
// look. It takes no lock: the tags that it reads tell what is worth fetching,
// and nothing else. Under the race detector it does nothing.
func (t *Table[V]) Touch(hash uint64) (guess int) {
	s := t.shard(hash)
	want := tag(hash)
	for from := s.home(hash); ; from = s.wrap(from + groupSlots) {
		g := s.tags.group(from)
		if like := g.like(want); like != 0 {
			guess = s.wrap(from + like.first())
			prefetch(&s.entries[guess].key.Src.Hi, t.last)
			return guess
		}
		if g.free() != 0 {
			return noGuess
		}
	}
}

// TouchFree is Touch for a key that is to be inserted: it starts to bring in the
// slot that the key will get, if no other takes it before.
func (t *Table[V]) TouchFree(hash uint64) {
	s := t.shard(hash)
	for from := s.home(hash); ; from = s.wrap(from + groupSlots) {
		if free := s.tags.group(from).free(); free != 0 {
			prefetch(&s.entries[s.wrap(from+free.first())].key.Src.Hi, t.last)
			return
		}
	}
}
