package track

import "github.com/grewire/grewire/track/pptp"

// Messages that can open nothing, and that nothing stays up without, are looked up
// only so often. They are short: somebody may send seven million of them a second.
// What is beyond the budget of a connection's end passes on, and where the next
// message begins is known all the same; under translation its call ID leaves as
// it has to, which is decided before (idfield.go). Replies and what ends a call
// are always looked up. So is a Call-Disconnect-Notify, by which the answer to a
// Call-Clear-Request that was not looked up ends the call.

// vainBudget is how many such messages of an end that change nothing are looked up
// in a batch: more than those who have calls to clear send.
const vainBudget = 32

// vain counts the messages of an end in a batch that were looked up and changed
// nothing.
type vain struct {
	batch uint32
	n     uint32
}

// budgeted tells the messages that are looked up only so often.
func budgeted(t pptp.ControlType) bool {
	return t == pptp.CallClearRequest || t == pptp.WANErrorNotify || t == pptp.SetLinkInfo
}

// beyondBudget counts a message and reports whether it is not to be looked up.
func (w *work) beyondBudget(c *connection, from Side, t pptp.ControlType) bool {
	if !budgeted(t) {
		return false
	}
	v := &c.vain[from]
	if v.batch != w.batch {
		*v = vain{batch: w.batch}
	}
	if v.n >= vainBudget {
		w.count(AnomalySkippedMessage)
		return true
	}
	v.n++
	return false
}

// notInVain takes a message back that has changed something.
func (c *connection) notInVain(from Side, t pptp.ControlType) {
	if budgeted(t) {
		c.vain[from].n--
	}
}
