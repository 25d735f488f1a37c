package callid

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/grewire/grewire/track/flow"
)

// dice draw IDs that nobody can foretell from those drawn before.
type dice struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

// newDice makes dice of one secret word, or rather of its complement: the index
// spreads the word itself over the seed of its hash.
func newDice(secret uint64) *dice {
	words := flow.NewSeed(^secret)
	var key [32]byte
	for i := range len(key) / 8 {
		binary.LittleEndian.PutUint64(key[8*i:], words[i])
	}
	return &dice{source: rand.NewChaCha8(key)}
}

func (d *dice) draw() uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint16(d.source.Uint64())
}
