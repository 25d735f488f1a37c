package track

import "github.com/grewire/grewire/track/stream"

// Messages that change nothing must not cost much: somebody may send seven million
// of 16 octets a second. Two things see to that.
//
// A message about a call that was asked for before is looked up. An end whose
// messages change nothing has a budget of look-ups; what is beyond it passes on
// without one (AnomalySkippedMessage), until the next interval. So the end that
// floods harms its own calls alone. Under translation call IDs leave as they
// have to all the same: that is decided before (idfield.go).
//
// A message whose header tells that it changes nothing is not even read, if the
// one before had the same header: those are counted, and passed over at once.

// An end has vainBudget look-ups in vain in each vainInterval: more than those
// who have calls to clear need.
const (
	vainBudget   = 32
	vainInterval = Time(10e6)
)

// vain counts the messages of an end in an interval that were looked up and
// changed nothing.
type vain struct {
	interval uint16 // the low bits of its number
	n        uint16
}

// beyondBudget counts a message and reports whether it is not to be looked up.
func (w *work) beyondBudget(c *connection, from Side) bool {
	v := &c.vain[from]
	if interval := uint16(w.now / vainInterval); v.interval != interval {
		*v = vain{interval: interval}
	}
	if v.n >= vainBudget {
		return true
	}
	v.n++
	return false
}

// notInVain takes a message back that has changed something.
func (c *connection) notInVain(from Side) {
	if v := &c.vain[from]; v.n > 0 {
		v.n--
	}
}

// alike says what becomes of messages that have the same header as the last.
type alike struct {
	pass   bool // they change nothing
	counts Anomaly
}

// noAnomaly: nothing is wrong with them.
const noAnomaly = NumAnomalies

// ignore counts a message that changes nothing, nor would another with the same
// header.
func (w *work) ignore(as Anomaly) {
	if w.alike = (alike{true, as}); as != noAnomaly {
		w.count(as)
	}
}

// passAlike passes over the messages behind m that have the same header, as far
// as they are whole in the segment.
func (w *work) passAlike(r *stream.Reader, m *stream.Message) {
	if !w.alike.pass {
		return
	}
	n := r.PassAlike(m)
	w.spent += n / passedPerUnit
	if w.alike.counts != noAnomaly {
		w.anomalies[w.alike.counts].Add(uint64(n))
	}
}
