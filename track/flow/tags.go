package flow

import (
	"encoding/binary"
	"math/bits"
)

// tags has an octet for each slot of a shard: 0 if it is free, otherwise
// occupied and seven bits of the hash of its key. The first of them follow once
// more behind the last, so that a group of tags can be read from any slot.
type tags []uint8

const (
	occupied   = 0x80
	groupSlots = 8
)

func newTags(slots int) tags { return make(tags, slots+groupSlots-1) }

// tag is made of seven bits of the hash that neither shard nor home use much
// of.
func tag(hash uint64) uint8 { return occupied | uint8(hash>>32) }

func (t tags) set(slot int, tag uint8) {
	t[slot] = tag
	if slot < groupSlots-1 {
		t[len(t)-(groupSlots-1)+slot] = tag
	}
}

// group is what is known of groupSlots slots in a row, the first in the lowest
// octet: their tags, or, in the highest bit of each octet, a yes or no.
//
// Probing one tag after the other has the processor guess how many there will
// be, and in a table that is almost full it guesses wrong half of the time.
type group uint64

func (t tags) group(from int) group { return group(binary.LittleEndian.Uint64(t[from:])) }

const (
	everyOctet = 0x0101010101010101
	highBits   = 0x80 * everyOctet
	lowBits    = 0x7f * everyOctet
)

// like says which slots have the given tag.
func (g group) like(tag uint8) group {
	differ := g ^ group(tag)*everyOctet
	return ^(differ&lowBits + lowBits | differ) & highBits
}

// free says which slots are free.
func (g group) free() group { return ^g & highBits }

// first returns the first slot with a yes, and rest the others.
func (g group) first() int  { return bits.TrailingZeros64(uint64(g)) / 8 }
func (g group) rest() group { return g & (g - 1) }
