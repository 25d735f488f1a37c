package oracle

import "slices"

// tuple is one direction of GRE as conntrack keys it: the destination key is
// the call ID in the packet, the source key is the other end's.
type tuple struct {
	src, dst       Host
	srcKey, dstKey uint16
}

func (t tuple) inverse() tuple { return tuple{t.dst, t.src, t.dstKey, t.srcKey} }

// mapping is an entry of the GRE key map: the source key of packets that look
// like this (nf_ct_gre_keymap).
type mapping struct {
	tuple
	call *call
}

// expectation is GRE that is RELATED when it comes (nf_conntrack_expect).
type expectation struct {
	tuple
	call *call
}

// flow is a GRE entry of conntrack.
type flow struct {
	tuple
	call *call // that it was expected by, its master
}

// outward is the tuple of the call's GRE from PNS to PAC.
func (k *call) outward() tuple {
	return tuple{k.control.At(k.pns), k.control.At(k.pns.Other()), k.pnsID, k.pacID}
}

// connect lets the call's GRE through (exp_gre).
func (m *model) connect(k *call) {
	k.agreed, k.taken = true, false
	out := k.outward()
	if !m.has(IDsClash) && !(m.takes(k, out.inverse()) && m.takes(k, out)) {
		m.wait(k)
		return
	}
	if !m.expectRelated(k, out) {
		return
	}
	if !m.expectRelated(k, out.inverse()) {
		m.unexpect(k, out)
		return
	}
	if !m.addKeys(k, out) {
		m.unexpect(k, out.inverse())
		m.unexpect(k, out)
	}
	m.release(k)
}

// await has GRE to the ends of a call whose IDs are known wait for it.
func (m *model) await(k *call) {
	if k.control.before != nil || k.taken {
		return
	}
	out := k.outward()
	for _, w := range [...]struct {
		tuple
		known bool
	}{{out, k.pacKnown}, {out.inverse(), k.pnsKnown}} {
		w.srcKey = 0
		had := m.awaited[w.tuple]
		if !w.known || had == k || had != nil && had.waits() && had.number >= k.number {
			continue
		}
		m.awaited[w.tuple] = k
		m.early = slices.DeleteFunc(m.early, func(e early) bool { return e.call == had && e.tuple == w.tuple })
	}
}

// waits reports whether a call is asked for and not agreed.
func (k *call) waits() bool { return !k.gone && !k.agreed }

// hold holds GRE of no call if there is one that it may be of soon.
func (m *model) hold(t tuple) {
	t.srcKey = 0
	if k := m.awaited[t]; k != nil && k.waits() && !m.has(EarlyDropped) {
		m.early = append(m.early, early{t, k, m.steps})
	}
}

// release lets the GRE pass that was held and is of a call now that is agreed.
func (m *model) release(k *call) {
	out := k.outward()
	for _, t := range [...]tuple{out, out.inverse()} {
		t.srcKey = 0
		had := m.awaited[t]
		for _, e := range m.early {
			if e.call == had && e.tuple == t && (had == k || had.waits()) {
				m.gre(&GRE{From: e.src, To: e.dst, ID: e.dstKey})
				m.late = append(m.late, e.step)
			}
		}
		m.early = slices.DeleteFunc(m.early, func(e early) bool { return e.call == had && e.tuple == t })
		delete(m.awaited, t)
	}
}

// takes reports whether a call gets the ID that such GRE is sent to. RFC 2637, section
// 3.2.1 makes IDs unique per pair: a call of the same connection that has it ends, and
// one of another if the ID's owner has left that. Otherwise it is taken.
func (m *model) takes(k *call, t tuple) bool {
	for _, e := range slices.Clone(m.keymap) {
		if e.call == k || !e.matches(t) {
			continue
		}
		if c := e.call.control; c != k.control && !c.hasLeft(t.dst) {
			return false
		}
		m.end(e.call)
	}
	return true
}

// wait leaves a call as it is whose ID is taken, and holds nothing for it.
func (m *model) wait(k *call) {
	k.agreed, k.taken = false, true
	if k.state = outRequested; k.incoming {
		k.state = inReplied
	}
	m.early = slices.DeleteFunc(m.early, func(e early) bool { return e.call == k })
	for t, waits := range m.awaited {
		if waits == k {
			delete(m.awaited, t)
		}
	}
}

// maxExpected is pptp_exp_policy.max_expected.
const maxExpected = 2

// expectRelated is nf_ct_expect_related.
func (m *model) expectRelated(k *call, t tuple) bool {
	var mine []*expectation
	for _, e := range slices.Clone(m.expect) {
		switch {
		case e.tuple == t && e.call.control == k.control:
			m.unexpect(e.call, t)
		case e.tuple == t:
			return false
		case e.call == k:
			mine = append(mine, e)
		}
	}
	if len(mine) >= maxExpected {
		m.unexpect(k, mine[0].tuple) // evict_oldest_expect
	}
	m.expect = append(m.expect, &expectation{t, k})
	return true
}

func (m *model) unexpect(k *call, t tuple) {
	m.expect = slices.DeleteFunc(m.expect, func(e *expectation) bool { return e.call == k && e.tuple == t })
}

// addKeys is nf_ct_gre_keymap_add for both directions: a call has room for
// one pair of keys. A key that is there already counts as the same if packets
// look the same, whatever the source key; when only the second direction is
// refused, exp_gre takes the first back, and with it the keys that were there.
func (m *model) addKeys(k *call, out tuple) bool {
	var there []*mapping
	for _, e := range m.keymap {
		if e.call == k {
			there = append(there, e)
		}
	}
	switch {
	case there == nil:
		m.keymap = append(m.keymap, &mapping{out, k}, &mapping{out.inverse(), k})
		return true
	case !there[0].matches(out):
		return false
	case !there[1].matches(out.inverse()):
		if m.has(KeysTakenBack) {
			m.removeKeys(k)
		}
		return false
	}
	return true
}

// matches reports whether packets of both tuples look the same
// (gre_key_cmpfn).
func (e *mapping) matches(t tuple) bool {
	return e.src == t.src && e.dst == t.dst && e.dstKey == t.dstKey
}

func (m *model) removeKeys(k *call) {
	m.keymap = slices.DeleteFunc(m.keymap, func(e *mapping) bool { return e.call == k })
}

// forget removes all GRE of a call.
func (m *model) forget(k *call) {
	m.removeKeys(k)
	m.expect = slices.DeleteFunc(m.expect, func(e *expectation) bool { return e.call == k })
	m.flows = slices.DeleteFunc(m.flows, func(f *flow) bool { return f.call == k })
}

// remove removes the GRE of a call that is over (pptp_destroy_siblings).
func (m *model) remove(k *call) {
	if !m.has(RestStays) {
		m.forget(k)
		return
	}
	m.removeKeys(k)
	out := k.outward()
	for _, t := range [...]tuple{out, out.inverse()} {
		if f := m.flowOf(t); f != nil {
			m.kill(f)
		} else if e := m.expected(t); e != nil {
			m.unexpect(e.call, t)
		}
	}
}

// kill removes a flow. Its destructor takes the master's keys along.
func (m *model) kill(f *flow) {
	m.removeKeys(f.call)
	m.flows = slices.DeleteFunc(m.flows, func(g *flow) bool { return g == f })
}

// destroy is what conntrack does when the entry of the connection goes.
func (m *model) destroy(c *control) {
	m.sole(c)
	for _, k := range c.calls {
		m.remove(k)
	}
	m.expect = slices.DeleteFunc(m.expect, func(e *expectation) bool { return e.call.control == c })
}

func (m *model) flowOf(t tuple) *flow {
	for _, f := range m.flows {
		if f.tuple == t || f.tuple == t.inverse() {
			return f
		}
	}
	return nil
}

func (m *model) expected(t tuple) *expectation {
	for _, e := range m.expect {
		if e.tuple == t {
			return e
		}
	}
	return nil
}

// gre reports whether a GRE packet passes.
func (m *model) gre(g *GRE) bool {
	if g.Spoofed && !m.has(SidesUnknown) {
		return false
	}
	t, ok := m.tupleOf(g)
	if !ok {
		if g.Form == Enhanced {
			m.hold(t)
		}
		return false
	}
	if m.flowOf(t) != nil {
		return true
	}
	e := m.expected(t)
	if e == nil {
		m.hold(t)
		return false
	}
	m.unexpect(e.call, t)
	if other := m.expected(t.inverse()); other != nil { // pptp_expectfn
		m.unexpect(other.call, other.tuple)
	}
	m.flows = append(m.flows, &flow{t, e.call})
	return true
}

// tupleOf is gre_pkt_to_tuple.
func (m *model) tupleOf(g *GRE) (tuple, bool) {
	t := tuple{src: g.From, dst: g.To}
	switch g.Form {
	case Plain:
		return t, m.has(Version0IsID0)
	case OtherProtocol:
		return t, false
	case NoKey:
		if !m.has(HeaderUnread) {
			return t, false
		}
	}
	t.dstKey = g.ID
	for _, e := range m.keymap {
		if e.matches(t) {
			t.srcKey = e.srcKey
			return t, true
		}
	}
	return t, m.has(UnknownIsID0)
}
