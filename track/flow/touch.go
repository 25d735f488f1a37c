//go:build !race

package flow

// Touch starts to bring what a look-up of hash needs into the cache, so that
// the misses of a batch of look-ups overlap. It takes no lock: what it reads
// means nothing, and its result is only there to be used by somebody. Under
// the race detector it does nothing.
func (t *Table[V]) Touch(hash uint64) (used uint64) {
	s := t.shard(hash)
	want := tag(hash)
	for at := s.home(hash); ; {
		switch s.tags[at] {
		case 0:
			return used
		case want:
			return used + s.entries[at].key.Src.Lo + s.entries[at].end
		}
		if at++; at == len(s.tags) {
			at = 0
		}
	}
}
