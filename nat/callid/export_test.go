package callid

// Held is how many elements there are of what pools are made of.
type Held struct{ Pools, Nodes, Leaves, Resting, Hosts int }

// Held returns how many elements are in use.
func (p *Pools) Held() Held {
	return Held{p.pools.held(), p.trees.nodes.held(), p.trees.leaves.held(), p.rests.rests.held(), p.hosts.Len()}
}

func (s *slab[T]) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.unused) - len(s.free)
}

// What Take and Put, and Tick, free in passing.
const (
	Lazily = lazily
	Paced  = paced
)
