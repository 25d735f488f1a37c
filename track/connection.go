package track

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
	"github.com/grewire/grewire/track/wire"
)

// phase is how far the TCP of a control connection is. Only an open or closed
// one was confirmed by both ends; whoever cannot see a connection can make the
// others, so they are short-lived and have little.
type phase uint8

// The phases.
//
//	opening --SYN,ACK--> answered --ACK--> open --both FIN, RST--> closed
//	pickedUp --the other end agrees-------> open
const (
	opening  phase = iota // SYN seen
	answered              // SYN,ACK seen
	pickedUp              // a segment out of the middle seen, from one end
	open
	closed
)

// connection is a control connection. It is guarded by the lock of its key's
// hash (Tracker.lock), and so are its calls.
type connection struct {
	identity
	hash      uint64
	serial    uint64
	phase     phase
	midway    bool // seen from its middle: what was agreed before is unknown
	adopted   bool // has or had an adopted call
	contested bool // calls of it may wait for the ID of a call of another
	silent    bool // reported as silent since its last segment
	opener    Side // who sent SYN
	client    Side // the end that is not the server at port 1723
	lastFrom  Side // which end was heard of at lastSeen
	synSide   Side // see syn
	requester Side // who sent the first Start-Control-Connection-Request
	session   pptp.SessionState
	doubtful  bool             // it was restored, and missed messages
	joined    [flow.Sides]bool // heard of since it was restored
	lastSeen  Time
	look      Time // when its active calls are to be looked at again
	// callEnded is when a call of it ended last.
	callEnded Time
	// tried packets of adoptees passed since trySecond.
	trySecond Time
	tried     uint8
	doubts    uint16 // packets of adoptees on both sides since a call was adopted
	otherSeen uint32 // the second when the end was last heard of that is not lastFrom
	// holdsSince is since when a stream holds a buffer for the message on its way,
	// by the side that sends; 0 if it held none when the sweeper last looked.
	holdsSince [flow.Sides]Time

	ends    [flow.Sides]tcpEnd           // by the side that sends
	streams [flow.Sides]stream.Direction // by the side that sends

	// syn is the end that a SYN began which came, by synSide, on an open
	// connection: the host there may have restarted (RFC 9293, section 3.5.1).
	syn   tcpEnd
	first [flow.Sides]uint32 // position of the first octet behind SYN

	// restored is when c was restored, or found then to have missed messages;
	// 0 if it was not, or shows to be as it was.
	restored  Time
	rejoining [flow.Sides]candidate
	trial     trial // of the candidates, if they shook hands
	// trialHeads are of what the LAN's end has said on trial, from trialFirst on.
	trialHeads headList
	trialFirst uint32

	reserved reservation
	heads    [flow.Sides]headList // by the side that sends

	calls     int            // in all lists
	pending   int32          // in the list of pending ones
	expecting int32          // in the list of expecting ones
	lists     [callLists]ref // the newest call of each
	oldest    [callLists]ref
	index     callIndex        // of the pending ones
	vain      [flow.Sides]vain // messages that changed nothing, by the side that sends
}

// identity is whose connection it is, and by which names the WAN knows its end
// on the LAN: what the keys of its calls' entries are made of. Calls that have
// ended with their connection keep a copy of it until their records are cleaned
// up (ending.go).
type identity struct {
	key     flow.Key
	self    ref
	named   bool      // the IDs of its calls are translated
	alias   endpoint  // the LAN's end as the WAN knows it
	greAddr wire.Addr // where GRE from the WAN goes to; zero if its call ID decides
}

// controlKey is the key of the control connection that a TCP segment coming in
// by side belongs to.
func controlKey(p *wire.Packet, side Side) flow.Key {
	k := flow.Key{Kind: flow.ControlKey, Zone: p.Zone, Src: p.Src, Dst: p.Dst, SrcID: p.SrcPort, DstID: p.DstPort}
	if side == WAN {
		k.Src, k.Dst, k.SrcID, k.DstID = k.Dst, k.Src, k.DstID, k.SrcID
	}
	return k
}

// anyZone is the key under which a connection is found whatever its zone.
func anyZone(k flow.Key) flow.Key {
	k.Kind, k.Zone = flow.AnyZoneKey, 0
	return k
}

// swapped is the key of the same addresses and ports with the sides changed.
func swapped(k flow.Key) flow.Key {
	k.Src, k.Dst, k.SrcID, k.DstID = k.Dst, k.Src, k.DstID, k.SrcID
	return k
}

// addr returns the address of the connection's end on side.
func (c *identity) addr(side Side) wire.Addr {
	if side == LAN {
		return c.key.Src
	}
	return c.key.Dst
}

// serverPort is where PPTP servers listen.
const serverPort = pptp.Port

// clientSide returns the side of the client: the end that is not at port 1723;
// if both are, the one that opened the connection.
func clientSide(k *flow.Key, opener Side) Side {
	switch {
	case k.SrcID == serverPort && k.DstID != serverPort:
		return WAN
	case k.DstID == serverPort && k.SrcID != serverPort:
		return LAN
	}
	return opener
}

// hear notes that the end on side was heard of.
func (c *connection) hear(side Side, now Time) {
	if side != c.lastFrom {
		c.lastFrom, c.otherSeen = side, secondOf(c.lastSeen)
	}
	c.lastSeen, c.silent = now, false
}

// heardAt is when the end on side was heard of last, to a second.
func (c *connection) heardAt(side Side) Time {
	if side == c.lastFrom {
		return c.lastSeen
	}
	return Time(c.otherSeen) * 1e9
}

func secondOf(t Time) uint32 { return uint32(t / 1e9) }

// find returns the connection with the given key, or nil. The caller holds the
// lock of its hash.
func (t *Tracker) find(hash uint64, k *flow.Key) *connection {
	if r := t.lookup(hash, k); r != 0 {
		return t.connections.at(r)
	}
	return nil
}

func (t *Tracker) lookup(hash uint64, k *flow.Key) ref {
	s := t.controls.Lock(hash)
	defer s.Unlock()
	if v := s.Find(hash, k); v != nil {
		return *v
	}
	return 0
}

// enter puts r under k, in place of what is there.
func (t *Tracker) enter(hash uint64, k *flow.Key, r ref) bool {
	s := t.controls.Lock(hash)
	defer s.Unlock()
	v, _ := s.Insert(hash, k)
	if v != nil {
		*v = r
	}
	return v != nil
}

// countZones adds to the number of confirmed connections that have k but for
// its zone.
func (t *Tracker) countZones(k flow.Key, n int) {
	k = anyZone(k)
	hash := t.controls.Hash(&k)
	s := t.controls.Lock(hash)
	defer s.Unlock()
	v, _ := s.Insert(hash, &k)
	if v == nil {
		return
	}
	if *v += ref(n); *v == 0 {
		s.Delete(hash, &k)
	}
}

func (t *Tracker) leave(hash uint64, k *flow.Key) {
	s := t.controls.Lock(hash)
	defer s.Unlock()
	s.Delete(hash, k)
}

// create makes a connection that the WAN sees with this end on the LAN, if it is
// the WAN's end that opens it, or returns nil if a limit is reached. The caller
// holds the lock of hash.
func (w *work) create(hash uint64, k *flow.Key, seen endpoint, opener Side) *connection {
	if !w.hasRoom(k) {
		w.limit("connections_per_host")
		return nil
	}
	r := w.t.connections.get(w.settings.Limits.Connections)
	if r == 0 {
		w.limit("connections")
		return nil
	}
	c := w.t.connections.at(r)
	*c = connection{identity: identity{key: *k, self: r}, hash: hash, serial: w.t.connectionSerial.Add(1), lastSeen: w.now}
	if !w.t.nat.admitAlias(c, seen, opener) {
		w.t.connections.put(r)
		w.limit("nat.ports")
		return nil
	}
	if !w.t.enter(hash, k, r) {
		w.t.nat.leaveAlias(c)
		w.t.connections.put(r)
		w.limit("connections")
		return nil
	}
	w.evict(w.t.unconfirmed.push(c))
	w.t.others.remove(k)
	return c
}

// confirmed returns the key under which a connection that both ends were heard
// of is found by those that it makes misplaced.
func confirmed(k flow.Key) flow.Key {
	k.Kind = flow.ConfirmedKey
	return k
}

// confirm notes that both ends of c were heard of.
func (w *work) confirm(c *connection, cause string) {
	c.phase = open
	w.t.enterConfirmed(c)
	w.controlEvent(EventControlOpen, c, cause)
}

func (t *Tracker) enterConfirmed(c *connection) {
	k := confirmed(c.key)
	t.enter(t.controls.Hash(&k), &k, c.self)
	t.countZones(c.key, 1)
	t.countConfirmed(c, 1)
}

// unconfirm takes back what confirm entered.
func (w *work) unconfirm(c *connection) {
	k := confirmed(c.key)
	w.t.leave(w.t.controls.Hash(&k), &k)
	w.t.countZones(c.key, -1)
	w.t.countConfirmed(c, -1)
}

// remove forgets a connection. Its calls have ended.
func (w *work) remove(c *connection) {
	w.closeStreams(c)
	w.forgetNames(c)
	w.t.nat.leaveAlias(c)
	w.t.leave(c.hash, &c.key)
	w.t.connections.put(c.self)
}

// forgetNames gives up what c has of IDs and of messages on their way.
func (w *work) forgetNames(c *connection) {
	if c.named {
		w.unreserve(c)
		for side := range c.heads {
			w.t.nat.heads.forget(c, Side(side))
		}
	}
}

// endStreams reads no further of what c's ends send.
func (w *work) endStreams(c *connection) {
	for side := range c.streams {
		w.endStream(c, Side(side))
	}
	w.closeCandidates(c)
}

// endStream reads no further of what one end sends. Of the LAN's end of a translated
// connection it stays known what was read: nothing else may leave.
func (w *work) endStream(c *connection, side Side) {
	if d := &c.streams[side]; c.named && side == LAN {
		d.Lose(w.t.buffers)
	} else {
		d.Close(w.t.buffers)
	}
}

func (w *work) closeStreams(c *connection) {
	for side := range c.streams {
		c.streams[side].Close(w.t.buffers)
	}
	w.closeCandidates(c)
}

// misplaced tells a segment that belongs to no connection of its side and zone
// but whose addresses and ports are those of a live one elsewhere.
func (t *Tracker) misplaced(k *flow.Key, syn bool) (Reason, bool) {
	other := confirmed(swapped(*k))
	if t.lookup(t.controls.Hash(&other), &other) != 0 {
		return ReasonWrongSide, true
	}
	if syn {
		return 0, false // a host of another VLAN may have the same address
	}
	for _, any := range [...]flow.Key{anyZone(*k), anyZone(other)} {
		if t.lookup(t.controls.Hash(&any), &any) != 0 {
			return ReasonWrongZone, true
		}
	}
	return 0, false
}
