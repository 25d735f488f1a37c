package callid

import "math/bits"

// pool is the IDs of a pair that are in use or resting: a tree of three levels,
// made where there are such IDs. The highest 4 bits of an ID choose the child
// of the top node, the next 4 that node's child, a leaf, and the others a bit
// there. Each node knows which of its children are full, so that a free ID is
// found in three steps, however few there are.
type pool struct {
	pair Pair
	top  node
}

// node has 16 children; one that is 0 has all of its IDs free.
type node struct {
	child [16]ref
	full  uint16 // the children that have no free ID
}

const allFull = 0xffff

// next returns the first child that is not full, from one on and round. There
// must be one.
func (n *node) next(from uint16) uint16 { return rotateTo(^n.full, from) }

// rotateTo returns the first bit of set from one on and round, of the lowest
// 4 bits of from.
func rotateTo(set, from uint16) uint16 {
	from &= 15
	return (from + uint16(bits.TrailingZeros16(bits.RotateLeft16(set, -int(from))))) & 15
}

// setFull takes note whether a child is full.
func (n *node) setFull(child uint16, full bool) {
	n.full &^= 1 << child
	if full {
		n.full |= 1 << child
	}
}

// leaf is 256 IDs, two bits of its state each.
type leaf struct{ low, high [4]uint64 }

// state is what an ID is.
type state uint8

// The states of an ID.
const (
	free    state = iota
	asked         // in use, by a call that is not agreed
	agreed        // in use
	resting       // not in use, but not free either
)

// blank is the leaf of an ID when nobody has any of it. Dead is forever
// resting.
func blank(id uint16) (l leaf) {
	if id>>8 == Dead>>8 {
		l.set(Dead, resting)
	}
	return l
}

// place is where an ID is in its leaf.
func place(id uint16) (word uint16, bit uint64) { return id >> 6 & 3, 1 << (id & 63) }

func (l *leaf) state(id uint16) state {
	word, bit := place(id)
	return state(l.low[word]>>(id&63)&1 | (l.high[word]&bit)>>(id&63)<<1)
}

func (l *leaf) set(id uint16, to state) {
	word, bit := place(id)
	l.low[word] &^= bit
	l.high[word] &^= bit
	l.low[word] |= uint64(to&1) << (id & 63)
	l.high[word] |= uint64(to>>1) << (id & 63)
}

// taken are the IDs of a word that are not free.
func (l *leaf) taken(word uint16) uint64 { return l.low[word] | l.high[word] }

func (l *leaf) full() bool { return l.taken(0)&l.taken(1)&l.taken(2)&l.taken(3) == 1<<64-1 }

// next returns the first free ID, from one on and round. There must be one.
func (l *leaf) next(from uint16) uint16 {
	word, bit := from>>6&3, from&63
	for l.taken(word) == 1<<64-1 {
		word = (word + 1) & 3
	}
	free := bits.RotateLeft64(^l.taken(word), -int(bit))
	return from&^0xff | word<<6 | (bit+uint16(bits.TrailingZeros64(free)))&63
}

// trees are what the pools' trees are made of.
type trees struct {
	nodes  *slab[node]
	leaves *slab[leaf]
}

// steps are the children that lead to an ID's leaf.
func steps(id uint16) (first, second uint16) { return id >> 12, id >> 8 & 15 }

// find returns the leaf of an ID, or nil if all of it is free.
func (t *trees) find(o *pool, id uint16) *leaf {
	first, second := steps(id)
	if o.top.child[first] == 0 {
		return nil
	}
	n := t.nodes.at(o.top.child[first])
	if n.child[second] == 0 {
		return nil
	}
	return t.leaves.at(n.child[second])
}

// grow is find that makes what is not there. The caller takes an ID of it.
func (t *trees) grow(o *pool, id uint16) *leaf {
	first, second := steps(id)
	branch := &o.top.child[first]
	if *branch == 0 {
		*branch = t.nodes.get()
		*t.nodes.at(*branch) = node{}
	}
	twig := &t.nodes.at(*branch).child[second]
	if *twig == 0 {
		*twig = t.leaves.get()
		*t.leaves.at(*twig) = blank(id)
	}
	return t.leaves.at(*twig)
}

// settle tells the nodes above an ID's leaf whether it is full, and takes away
// what has become empty.
func (t *trees) settle(o *pool, id uint16) {
	first, second := steps(id)
	branch := &o.top.child[first]
	n := t.nodes.at(*branch)
	twig := &n.child[second]
	l := t.leaves.at(*twig)
	n.setFull(second, l.full())
	o.top.setFull(first, n.full == allFull)
	if *l == blank(id) {
		t.leaves.put(*twig)
		*twig = 0
	}
	if *n == (node{}) {
		t.nodes.put(*branch)
		*branch = 0
	}
}

// take takes an ID for this state and reports whether it was free.
func (t *trees) take(o *pool, id uint16, to state) bool {
	if id == Dead {
		return false
	}
	l := t.grow(o, id)
	if l.state(id) != free {
		return false
	}
	l.set(id, to)
	t.settle(o, id)
	return true
}

// takeAny takes the first free ID, from one on and round, level by level. It
// fails, with Dead, if there is none.
func (t *trees) takeAny(o *pool, from uint16) (id uint16, ok bool) {
	if o.top.full == allFull {
		return Dead, false
	}
	first, second := steps(from)
	first = o.top.next(first)
	if branch := o.top.child[first]; branch != 0 {
		second = t.nodes.at(branch).next(second)
	}
	from = first<<12 | second<<8 | from&0xff
	id = t.grow(o, from).next(from)
	return id, t.take(o, id, asked)
}

// free frees an ID that rests.
func (t *trees) free(o *pool, id uint16) {
	t.find(o, id).set(id, free)
	t.settle(o, id)
}
