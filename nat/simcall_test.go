package nat_test

import (
	"net/netip"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// simCall is a call as both ends know it, by their place in the dialogue.
type simCall struct {
	d        *dialogue
	pns      int // which end is the PNS
	outgoing bool
	own      [2]uint16 // IDs that the ends have assigned
	assigned [2]bool
	seen     [2]uint16 // the other's ID, as this end knows it
	up       [2]bool   // this end thinks that it is agreed
	over     [2]bool   // this end has ended it, or heard of its end
	ending   bool      // somebody has asked for the end
	refused  bool      // there was no ID for it, or there may be none
}

func (k *simCall) live() bool { return !k.over[0] || !k.over[1] }

// agreed reports whether the call's GRE must pass.
func (k *simCall) agreed() bool { return k.up[0] && k.up[1] && !k.ending && !k.refused }

// freshID draws an ID that this end uses with no call that may live with the same
// peer. On the WAN an end has one set of IDs for all.
func (e *simEnd) freshID() (uint16, bool) {
	id := uint16(1 + e.below(4))
	for _, k := range e.calls {
		for i, other := range k.d.ends {
			if k.live() && k.assigned[i] && k.own[i] == id && other.host == e.host && (e.host.Side == track.WAN || other.peer().host == e.peer().host) {
				return 0, false
			}
		}
	}
	return id, true
}

// speak lets the program say something.
func (e *simEnd) speak() {
	if !e.started || e.restarts && len(e.out)-int(e.next-e.start) > 170 { // what is saved of the stream is little
		return
	}
	switch n := e.below(10); n {
	case 0, 1, 2:
		e.ask(n == 0)
	case 3:
		e.say(tracktest.EchoRequest(uint32(len(e.out))), nil)
	default:
		if k := e.someCall(); k != nil {
			e.speakOf(k, n)
		}
	}
}

// ask asks for a call.
func (e *simEnd) ask(incoming bool) {
	id, ok := e.freshID()
	if !ok {
		return
	}
	k := &simCall{d: e.d, pns: e.at, outgoing: !incoming}
	k.own[e.at], k.assigned[e.at] = id, true
	e.calls = append(e.calls, k)
	if incoming {
		k.pns = 1 - e.at
		e.say(tracktest.InRequest(id), k)
	} else {
		e.say(tracktest.OutRequest(id), k)
	}
}

// someCall is a call of this dialogue which is agreed for this end.
func (e *simEnd) someCall() *simCall {
	var mine []*simCall
	for _, k := range e.calls {
		if k.d == e.d && k.up[e.at] && !k.over[e.at] {
			mine = append(mine, k)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return mine[e.below(len(mine))]
}

func (e *simEnd) speakOf(k *simCall, n int) {
	switch pns := k.pns == e.at; {
	case n < 7 || k.ending:
		e.say(tracktest.LinkInfo(k.seen[e.at]), k)
	case n == 7 && !pns:
		e.say(tracktest.WANError(k.seen[e.at]), k)
	case n == 8 && pns:
		k.ending = true
		e.say(tracktest.ClearRequest(k.own[e.at]), k)
	case n == 9 && !pns:
		e.disconnect(k)
	}
}

// disconnect ends a call, by the PAC's ID or, where that can be nobody else's, the
// PNS's.
func (e *simEnd) disconnect(k *simCall) {
	id := k.own[e.at]
	if e.below(3) == 0 && k.seen[e.at] > 100 {
		id = k.seen[e.at]
	}
	k.ending, k.over[e.at] = true, true
	e.say(tracktest.Disconnect(id), k)
}

// understand does what a message asks for, and checks its ID.
func (e *simEnd) understand(m simMessage, v pptp.View) {
	k, id, peers := m.call, uint16(0), uint16(0)
	id, _ = v.CallID()
	peers, hasPeers := v.PeerCallID()
	if hasPeers {
		e.checkPeers(k, v.ControlType(), peers)
	}
	result, _ := v.Result()
	if k != nil && v.ControlType() <= pptp.IncomingCallReply && result <= 1 && e.host == e.b.wan[0] && k.d.conn.Ends[0].Host != e.host && k.d.conn.Ends[0].Host != e.apart && e.occupied[id] {
		e.Fatalf("%s hears %v with ID %d, which is another's", e.host.Addr, v.ControlType(), id)
	}
	switch v.ControlType() {
	case pptp.StartControlConnectionRequest:
		e.started = true
		e.say(tracktest.StartReply(pptp.StartResultOK), nil)
	case pptp.StartControlConnectionReply:
		e.started = true
	case pptp.EchoRequest:
		e.say(tracktest.EchoReply(1), nil)
	case pptp.OutgoingCallRequest, pptp.IncomingCallRequest:
		k.seen[e.at] = id
		k.refused = k.refused || id == track.NoCallID
		e.reply(k)
	case pptp.OutgoingCallReply, pptp.IncomingCallReply:
		e.replied(k, id, result)
	case pptp.IncomingCallConnected:
		k.up[e.at] = true
	case pptp.CallClearRequest:
		if id != k.seen[e.at] && id != track.NoCallID {
			e.Fatalf("Call-Clear-Request for %d, want %d", id, k.seen[e.at])
		}
		if !k.over[e.at] {
			e.disconnect(k)
		}
	case pptp.CallDisconnectNotify:
		if id != k.seen[e.at] && id != k.own[e.at] && !k.refused {
			e.Fatalf("Call-Disconnect-Notify for %d, want %d or %d", id, k.seen[e.at], k.own[e.at])
		}
		k.over[e.at] = true
	}
}

// checkPeers fails if an ID is not the one which this end has assigned. If the
// call has ended on its way, it must not be another call's.
func (e *simEnd) checkPeers(k *simCall, t pptp.ControlType, id uint16) {
	if id == k.own[e.at] {
		return
	}
	if !k.ending && !k.refused {
		e.Fatalf("%s hears %v for its call %d, which is %d", e.host.Addr, t, id, k.own[e.at])
	}
	if e.restarts {
		return // IDs at rest are forgotten then
	}
	for _, other := range e.calls {
		if other.d.ends[e.at].host == e.host && other.d.ends[1-e.at].host == e.peer().host && other != k && other.up[e.at] && !other.ending && other.own[e.at] == id {
			e.Fatalf("%s takes %v about call %d for one about %d", e.host.Addr, t, k.own[e.at], id)
		}
	}
}

// reply answers a request.
func (e *simEnd) reply(k *simCall) {
	id, ok := e.freshID()
	accepted := ok && e.below(5) > 0
	if accepted {
		k.own[e.at], k.assigned[e.at] = id, true
	} else {
		k.ending, k.over[e.at] = true, true
	}
	switch {
	case k.outgoing && accepted:
		k.up[e.at] = true
		e.say(tracktest.OutReply(id, k.seen[e.at], pptp.OutCallResultConnected), k)
	case k.outgoing:
		e.say(tracktest.OutReply(0, k.seen[e.at], pptp.OutCallResultBusy), k)
	case accepted:
		e.say(tracktest.InReply(id, k.seen[e.at], pptp.InCallResultConnect), k)
	default:
		e.say(tracktest.InReply(0, k.seen[e.at], pptp.InCallResultDoNotAccept), k)
	}
}

func (e *simEnd) replied(k *simCall, id uint16, result uint8) {
	k.refused = k.refused || id == track.NoCallID
	switch {
	case result != 1:
		k.refused = k.refused || result == 2 // nobody here says that
		k.over = [2]bool{true, true}         // who answered has a call that nobody else has
	case k.outgoing:
		k.seen[e.at], k.up[e.at] = id, true
	default:
		k.seen[e.at], k.up[e.at] = id, true
		e.say(tracktest.InConnected(id), k)
	}
}

// checkNames fails unless the IDs of live calls and what the WAN calls them map
// one to one, and those between two addresses there are different.
func (s *simulation) checkNames() {
	type end struct {
		addr, peer netip.Addr
		id         uint16
	}
	owners, names := map[end]end{}, map[end]end{}
	for _, k := range s.b.Tracker.Calls() {
		host, peer := k.PNS, k.PAC
		if host.Side == track.WAN {
			host, peer = peer, host
		}
		if k.Alias == nil || k.Alias.CallID == track.NoCallID || k.State == track.CallRequested && host.CallID == 0 {
			continue
		}
		own, alias := end{host.Addr, peer.Addr, host.CallID}, end{k.Alias.Addr, peer.Addr, k.Alias.CallID}
		if s.b.names.ByCallID() {
			alias.addr = netip.Addr{}
		}
		if had, ok := owners[alias]; ok && had != own {
			s.Fatalf("both %v and %v are known as %v", had, own, alias)
		}
		own.peer = peer.Addr
		if had, ok := names[own]; ok && had != alias && had.addr == alias.addr {
			s.Fatalf("%v is known as %v and %v", own, had, alias)
		}
		owners[alias], names[own] = own, alias
	}
}

// checkGRE sends GRE of a call both ways, and of nobody's.
func (s *simulation) checkGRE() {
	if len(s.calls) == 0 {
		return
	}
	k := s.calls[s.below(len(s.calls))]
	for i, e := range k.d.ends {
		to := e.peer()
		r := s.b.Send(e.host.Side, tracktest.GRE{CallID: k.seen[i], HasSeq: true, Payload: make([]byte, 8)}.Frame(e.host, k.d.conn.To(e.host)))
		if k.agreed() && !r.Passed() {
			s.Fatalf("GRE of %s to %s, call %d, does not pass: %s", e.host.Addr, to.host.Addr, k.seen[i], r)
		}
		if r.Passed() {
			s.checkArrived(e, to, r)
		}
		stranger := s.b.lan[s.below(3)]
		r = s.b.Send(track.LAN, tracktest.GRE{CallID: k.seen[i], HasSeq: true, Payload: make([]byte, 8)}.Frame(stranger, s.b.wan[1]))
		if r.Passed() && !s.has(stranger, s.b.wan[1], k.seen[i]) {
			s.Fatalf("GRE of %s, which has no such call, passes: %s", stranger.Addr, r)
		}
	}
}

// checkArrived fails unless GRE has gone to an end that has a call with the one it
// comes from, by that call's ID.
func (s *simulation) checkArrived(from, to *simEnd, r tracktest.Result) {
	var p wire.Packet
	wire.Decode(r.Out, &p)
	for _, k := range s.calls {
		for i, e := range k.d.ends {
			if e.peer().host == from.host && k.assigned[i] && k.own[i] == p.CallID && e.host.Addr == p.Dst.Netip() && e.host.MAC == [6]byte(r.Out[:6]) {
				return
			}
		}
	}
	s.Fatalf("GRE of %s went to %s, call %d, which has none: %s", from.host.Addr, p.Dst.Netip(), p.CallID, r)
}

// has reports whether two hosts have a call to which the one sends GRE by this ID.
func (s *simulation) has(from, to *tracktest.Host, id uint16) bool {
	for _, k := range s.calls {
		for i, e := range k.d.ends {
			if e.host == from && e.peer().host == to && k.assigned[1-i] && k.own[1-i] == id {
				return true
			}
		}
	}
	return false
}
