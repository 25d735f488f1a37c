package links

import (
	"time"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

// maxPatience bounds how long a side may take to find its link, in units of
// Options.Settle.
const maxPatience = 16

// propagation decides when a side is taken down because the other has lost its
// link, and when it is brought up. It has no clock and changes no NIC.
type propagation struct {
	settle time.Duration
	sides  [2]propagated
}

// propagated is what it knows of a side.
type propagated struct {
	taken    int           // index of the NIC that was taken down for the other side's loss; 0: none
	settling time.Time     // until then, being without a link is no loss
	patience time.Duration // how long it may settle when it is brought up
}

// order is a change to be made to a side.
type order struct {
	side track.Side
	up   bool
}

func newPropagation(now time.Time, settle time.Duration) *propagation {
	p := &propagation{settle: settle}
	for i := range p.sides {
		p.sides[i] = propagated{patience: settle, settling: now.Add(settle)}
	}
	return p
}

// decide returns what is to be done, given how the NICs are at this moment.
// done has to be called for each order that was carried out.
func (p *propagation) decide(now time.Time, nics [2]nic.State) (orders []order) {
	p.observe(now, nics)
	for side := range p.sides {
		s, other := &p.sides[side], track.Side(side).Other()
		n := nics[side]
		switch {
		case s.taken != 0 && nics[other].Running:
			orders = append(orders, order{track.Side(side), true})
		case s.taken == 0 && n.Up && (n.Running || now.Before(s.settling)) && p.lost(now, other, nics[other]):
			orders = append(orders, order{track.Side(side), false})
		}
	}
	return orders
}

// observe takes note of what others did.
func (p *propagation) observe(now time.Time, nics [2]nic.State) {
	for i := range p.sides {
		s, n := &p.sides[i], nics[i]
		switch {
		case s.taken != 0 && n.Index != s.taken: // that NIC is gone
			s.taken = 0
		case s.taken != 0 && n.Up: // somebody set it up
			s.taken, s.settling = 0, now.Add(s.patience)
		}
		if n.Running {
			s.settling = time.Time{}
		}
	}
	if nics[track.LAN].Running && nics[track.WAN].Running {
		p.sides[track.LAN].patience, p.sides[track.WAN].patience = p.settle, p.settle
	}
}

// lost reports whether a side has lost its link by itself.
func (p *propagation) lost(now time.Time, side track.Side, n nic.State) bool {
	s := &p.sides[side]
	return s.taken == 0 && !n.Running && !now.Before(s.settling)
}

// done takes note of an order that was carried out on the NIC of that index.
func (p *propagation) done(now time.Time, o order, index int) {
	s := &p.sides[o.side]
	if !o.up {
		s.taken = index
		return
	}
	s.taken, s.settling = 0, now.Add(s.patience)
	s.patience = min(2*s.patience, maxPatience*p.settle)
}

// next returns when decide has to be asked even if nothing happens; the zero
// time if it need not.
func (p *propagation) next(now time.Time) (at time.Time) {
	for i := range p.sides {
		if t := p.sides[i].settling; t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// takenDown returns the index of the NIC of a side that is down by an order, 0
// if it is not.
func (p *propagation) takenDown(side track.Side) int { return p.sides[side].taken }
