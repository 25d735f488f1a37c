package track

import (
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// Call IDs are unique between two hosts, not on a connection (RFC 2637, section
// 3.2.1). So a call that is agreed with an ID that a call of another connection of
// theirs has may be one of an end that has forgotten the other call: it has
// restarted, or lost the connection. Or it is made up by somebody who sends with
// the addresses of both ends, to end the other call. The other call lives as long as
// the owner of the ID, the end that assigned it, gives a sign of life, which nobody
// can keep from coming who is not on the way: GRE of the call, or a segment in the
// window of its connection. Until then the newcomer's GRE is GRE of no call. Tick
// asks again, until the newcomer times out.
//
// Who of the two is an impostor cannot be told: an ID belongs to the call that had
// it first. The impostor has to be first, and to go on with each ID it wants.

// ownerSilence is how long a call keeps its key without a sign of life from the
// owner of its ID. An end asks for an echo once the connection is silent for a
// minute (RFC 2637, section 2.5), and the other one answers or acknowledges; the
// rest is for that to be sent again. The kernel of a host that has restarted
// answers a segment of the old connection with RST, which ends its calls at once.
const ownerSilence = 75 * time.Second

// contest is a call that is agreed and whose GRE to one end has the key of a call of
// another connection, the holder.
type contest struct {
	control flow.Key // of the call
	serial  uint64   // of its connection
	call    numbered
	key     flow.Key
	holder  keyEntry
}

// contestsAtOnce is how many calls of a connection that wait to be agreed are
// looked at in one go for those that wait for a key.
const contestsAtOnce = 64

// contest has settle decide whether a call gets the key that a live call of another
// connection has.
func (w *work) contest(c *connection, r ref, key *flow.Key, holder *keyEntry) {
	k := w.t.calls.at(r)
	if k.adopted {
		return // a guess replaces nothing
	}
	k.contested, c.contested = true, true
	w.contests = append(w.contests, contest{c.key, c.serial, numbered{r, k.serial.Load()}, *key, *holder})
}

// settleContests decides about contested keys, and reports whether a call was let
// in. The caller holds no lock.
func (w *work) settleContests() (opened bool) {
	for i := 0; i < len(w.contests); i++ { // one call may have two keys of others
		if x := w.contests[i]; w.settleContest(&x) {
			opened = true
		}
	}
	w.contests = w.contests[:0]
	return opened
}

func (w *work) settleContest(x *contest) (opened bool) {
	w.spent += callWork
	yields := w.yields(x)
	w.t.with(&x.control, x.serial, func(c *connection) {
		if !w.t.lives(c.self, x.call) || !w.t.calls.at(x.call.ref).awaitsKey() {
			return
		}
		if yields {
			opened = w.connect(c, x.call.ref)
		} else {
			w.keyTaken(c, w.t.calls.at(x.call.ref))
		}
	})
	return opened
}

// awaitsKey reports whether k is agreed but for its key.
func (k *call) awaitsKey() bool {
	return k.contested && (k.state == pptp.CallRequested || k.state == pptp.CallReplied)
}

// yields reports whether the holder of a key has no right to it any more, and ends it
// if the owner of the ID is silent.
func (w *work) yields(x *contest) bool {
	control := w.t.controlOf(&x.holder, &x.key)
	hash := w.t.controls.Hash(&control)
	lock := w.t.lock(hash)
	defer lock.Unlock()
	c := w.t.find(hash, &control)
	if c == nil || !w.t.lives(x.holder.conn, x.holder.numbered()) {
		return true // it ended meanwhile
	}
	if w.ownerLives(c, w.t.calls.at(x.holder.call), x.key.Side.Other()) {
		return false
	}
	w.endCall(c, x.holder.call, "replaced")
	return true
}

// ownerLives reports whether the end on side, whose call of c is k, was heard of as
// recently as it is if it lives. One that has closed has no calls, and a connection
// that is not confirmed is nobody's.
func (w *work) ownerLives(c *connection, k *call, side Side) bool {
	if c.phase != open || c.ends[side].fin {
		return false
	}
	from := w.t.traffic(&c.identity, k, side)
	return w.now.Sub(max(c.heardAt(side), from.last)) < ownerSilence
}

// keyTaken tells, once, that a call is agreed with an ID of another call that lives.
func (w *work) keyTaken(c *connection, k *call) {
	w.answer(&c.identity, k) // GRE that was held for it is GRE of no call
	if !k.told {
		k.told = true
		w.count(AnomalyCallIDTaken)
		w.callEvent(EventCallIDTaken, c, k)
	}
}

// waitForKey makes a call wait again whose second answer has an ID that is taken.
func (w *work) waitForKey(c *connection, r ref) {
	k := w.t.calls.at(r)
	w.t.leaveKey(&c.identity, k, pptp.PNS)
	w.t.expectations.Add(-flow.Sides)
	k.state, k.waits = pptp.CallRequested, w.now
	w.t.move(c, r, pending)
	w.t.reindex(c, r)
}

// contestAgain asks once more for the keys of the oldest calls of c that wait for
// one.
func (w *work) contestAgain(c *connection) {
	if !c.contested {
		return
	}
	c.contested = false
	r := c.oldest[pending]
	for n := 0; r != 0 && n < contestsAtOnce; n++ {
		next := w.t.calls.at(r).prev
		if w.t.calls.at(r).awaitsKey() {
			w.connect(c, r)
		}
		r = next
	}
	c.contested = c.contested || r != 0
}
