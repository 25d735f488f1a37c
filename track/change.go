package track

import (
	"fmt"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/stream"
)

// SetOptions makes t work by o from now on, and returns what happened by that.
// No frame is lost by it and no call forgotten:
//
//   - A policy goes for every frame that comes in from now on. Calls between
//     hosts that it does not allow end, with cause "denied".
//   - A limit that is lower than what is in use refuses what is new and ends
//     nothing. Only unconfirmed and closed connections beyond their share of
//     limits.connections are given up, as in a flood of them.
//   - A timeout goes for what waits already, too.
//
// Limits.Connections and Limits.Calls size the tables: more of them than t was
// made for is an error, and then nothing has changed. o.Seed, o.Translation and
// o.Workers are ignored.
func (t *Tracker) SetOptions(o Options, now Time) ([]Event, error) {
	for _, sized := range [...]struct {
		key        string
		made, want int
	}{
		{"connections", t.made.Connections, o.Limits.Connections}, {"calls", t.made.Calls, o.Limits.Calls},
	} {
		if sized.want > sized.made {
			return nil, fmt.Errorf("limits.%s: %d is more than the %d that the table was made for", sized.key, sized.want, sized.made)
		}
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	was := t.settings.Load()
	o.Seed, o.Translation, o.Workers = was.Seed, was.Translation, was.Workers
	w := &work{t: t, now: now, settings: &settings{o}}
	t.settings.Store(w.settings)
	t.buffers.SetLimit(buffersIn(&o.Limits))
	for _, queue := range [...]*ageing{t.unconfirmed, t.closed} {
		for _, leaves := range queue.resize(o.Limits.Connections) {
			w.evict(leaves)
		}
	}
	w.endDenied()
	w.settle()
	t.ticks.addAnomalies(w)
	return w.events, nil
}

// buffersIn is how many buffers the streams may have: half of the octets that
// may be kept are theirs.
func buffersIn(l *Limits) int { return max(l.HoldBytes/2/stream.BufferMemory, 1) }

// endDenied forgets the connections that policy does not allow, and ends their
// calls. What is denied is dropped from now on, so nothing is to be followed;
// if policy allows it later it is picked up like any other.
func (w *work) endDenied() {
	if !w.settings.Policy.restrictsPPTP() {
		return
	}
	for _, key := range w.t.controlKeys() {
		w.endIfDenied(&key)
	}
}

func (w *work) endIfDenied(k *flow.Key) {
	hash := w.t.controls.Hash(k)
	lock := w.t.lock(hash)
	defer lock.Unlock()
	if c := w.t.find(hash, k); c != nil && !w.settings.allows(k, c.client) {
		w.closeControl(c, "denied")
		w.remove(c)
	}
}

// addAnomalies takes over what another goroutine's work has counted.
func (w *work) addAnomalies(from *work) {
	for a := range from.anomalies {
		w.anomalies[a].Add(from.anomalies[a].Load())
	}
}
