package oracle

import (
	"bytes"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// masquerade is grewire as a translator.
type masquerade struct {
	world *tracktest.World
	notes notes
}

// newMasquerade returns one that has seen nothing, whose NICs have these MAC
// addresses.
func newMasquerade(nics [2][6]byte) *masquerade {
	m := new(masquerade)
	names := nat.New(nat.Options{Address: natAddr, FirstPort: firstNATPort, LastPort: lastNATPort, CallIDs: natCallIDs})
	for side, mac := range nics {
		names.SetNIC(track.Side(side), mac)
	}
	m.world = tracktest.New(&m.notes, func(o *track.Options) { o.Translation = names })
	m.world.Translate = names.Apply
	return m
}

// The names that there are.
const (
	firstNATPort, lastNATPort = 50000, 50099
	natCallIDs                = 256
)

// Send implements translator.
func (m *masquerade) Send(side track.Side, frame []byte) ([]byte, error) {
	m.world.Now = m.world.Now.Add(between)
	return m.world.Send(side, bytes.Clone(frame)).Out, nil
}
