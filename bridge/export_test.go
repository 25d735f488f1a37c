package bridge

import "github.com/grewire/grewire/track"

// HubBacklog is how many events a subscriber may be behind.
const HubBacklog = hubBacklog

// Cycle carries one batch of frames that come in by side, as the worker of
// that side does over and over.
func (b *Box) Cycle(side track.Side) error { return b.workers[side][0].cycle() }

// CycleOf is Cycle for one of several workers.
func (b *Box) CycleOf(side track.Side, i int) error { return b.workers[side][i].cycle() }

// Turn says which CPU in turn is a worker's.
var Turn = turn
