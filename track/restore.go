package track

import (
	"math/bits"
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/pptp"
)

// Restored says what became of what was saved.
type Restored struct {
	Connections, Calls int // that go on
	LeftOut            int // calls that do not: denied by policy, beyond a limit, or of no sense
}

// Restore makes t know what was saved, elapsed before now; all times move
// along, so that what has timed out meanwhile ends soon. GRE of its calls
// passes at once. Their connections are as they were, but for what crossed
// while nobody looked: see rejoin.go.
//
// s may be anything that can be read from a file: what makes no sense is left
// out, and so is what t knows already. Limits count as for new calls.
func (t *Tracker) Restore(s *Saved, now Time, elapsed time.Duration) (Restored, []Event) {
	t.changing.Lock()
	defer t.changing.Unlock()
	r := restorer{work: work{t: t, now: now, settings: t.settings.Load()}, saved: s, then: max(now-max(Time(elapsed), 0), 1)}
	last := min(s.Serial, maxSerial)
	for serial := t.serial.Load(); serial < last && !t.serial.CompareAndSwap(serial, last); {
		serial = t.serial.Load()
	}
	r.cleanAll()
	r.known = make(map[uint64]struct{}, len(s.Calls))
	calls := s.Calls
	for i := range s.Connections {
		n := min(int(s.Connections[i].Calls), len(calls))
		r.connection(&s.Connections[i], calls[:n])
		calls = calls[n:]
	}
	r.out.LeftOut = len(s.Calls) - r.out.Calls
	t.ticks.addAnomalies(&r.work)
	return r.out, r.events
}

// maxSerial is beyond the number of every call there will be, and leaves room
// for as many more.
const maxSerial = 1 << 63

// restorer restores into a Tracker.
type restorer struct {
	work
	saved *Saved
	then  Time                // when it was saved, on the clock of now
	known map[uint64]struct{} // numbers of calls restored so far
	out   Restored
}

// time is a saved time on the clock of now; 0 stays what never was.
func (r *restorer) time(t Time) Time {
	if t <= 0 {
		return 0
	}
	age := max(max(r.saved.Now, 0)-t, 0)
	return max(r.then-age, 1)
}

func (r *restorer) connection(s *SavedConnection, calls []SavedCall) {
	if !s.sane() {
		return
	}
	key := flow.Key{Kind: flow.ControlKey, Zone: s.Zone, Src: s.LANAddr, Dst: s.WANAddr, SrcID: s.LANPort, DstID: s.WANPort}
	hash := r.t.controls.Hash(&key)
	lock := r.t.lock(hash)
	defer lock.Unlock()
	if r.t.find(hash, &key) != nil || !r.settings.allows(&key, s.Client) {
		return
	}
	if !r.hasRoom(&key) {
		r.limit("connections_per_host")
		return
	}
	at := r.t.connections.get(r.settings.Limits.Connections)
	if at == 0 {
		r.limit("connections")
		return
	}
	c := r.t.connections.at(at)
	*c = connection{
		identity: identity{key: key, self: at}, hash: hash, serial: r.t.connectionSerial.Add(1), phase: open, restored: r.now,
		midway: s.Midway, doubtful: s.Doubtful, adopted: s.Adopted, opener: s.Opener, client: s.Client, requester: s.Requester, session: s.Session, lastSeen: r.time(s.LastSeen),
	}
	c.otherSeen = secondOf(c.lastSeen)
	if !r.t.nat.readmit(c, endpoint{s.AliasAddr, s.AliasPort}, s.LANMAC) {
		r.t.connections.put(at)
		return
	}
	for side := range c.ends {
		s.Ends[side].restore(c, Side(side), r.t)
	}
	if !r.t.enter(hash, &key, at) {
		r.t.nat.leaveAlias(c)
		r.t.connections.put(at)
		r.limit("connections")
		return
	}
	if c.named {
		for side := range c.heads {
			r.restoreHeads(&s.Heads[side], c, Side(side))
		}
	}
	r.t.enterConfirmed(c)
	r.out.Connections++
	for i := range calls {
		if r.call(c, &calls[i]) {
			r.out.Calls++
		}
	}
}

// sane reports whether the fields are of values that they can have.
func (s *SavedConnection) sane() bool {
	return s.Opener < flow.Sides && s.Client < flow.Sides && s.Requester < flow.Sides && s.Session <= pptp.SessionStopping &&
		(s.LANPort == serverPort || s.WANPort == serverPort)
}

// maxScale is the largest shift of a window (RFC 7323, section 2.3).
const maxScale = 14

func (s *SavedEnd) restore(c *connection, side Side, t *Tracker) {
	scale := min(s.Scale, maxScale)
	c.ends[side] = tcpEnd{
		end: s.End, edge: s.Edge, window: min(s.Window, 0xffff<<maxScale), acked: s.Acked, scale: scale,
		known: s.Known, acks: s.Acks, limits: s.Limits, scales: s.Scales, agreed: s.Agreed, fin: s.Fin, unsummed: s.Unsummed,
	}
	switch d := &c.streams[side]; {
	case s.Lost:
		d.Start(t.buffers, s.Position)
		d.Lose(t.buffers)
	case s.Reading:
		d.Start(t.buffers, s.Position)
	default:
		d.Resume(t.buffers, s.End)
	}
}

// call restores a call of c and reports whether it could.
func (r *restorer) call(c *connection, s *SavedCall) bool {
	if _, twice := r.known[s.Serial]; twice || !s.sane() || s.Serial > min(r.saved.Serial, maxSerial) || r.t.endings.has(c.self, s.Serial) {
		return false
	}
	limits := &r.settings.Limits
	switch {
	case c.calls >= limits.CallsPerConnection:
		r.limit("calls_per_connection")
		return false
	case !r.t.admitHosts(c, limits.CallsPerHost):
		r.limit("calls_per_host")
		return false
	}
	at := r.callRecord()
	if at == 0 {
		r.t.releaseHosts(&c.identity, 1)
		r.limit("calls")
		return false
	}
	k := r.t.calls.at(at)
	k.callData = callData{
		kind: s.Kind, state: s.State, pns: s.PNS, ids: s.IDs, idKnown: s.Known, alias: s.Alias, adopted: s.Adopted,
		started: r.time(s.Started), control: r.time(s.Control), waits: r.time(s.Waits),
	}
	k.serial.Store(s.Serial)
	if !r.claimName(c, k) || !r.admitGRE(c, at, s) {
		r.unclaimName(c, k)
		k.serial.Store(0)
		r.t.calls.put(at)
		r.t.releaseHosts(&c.identity, 1)
		return false
	}
	c.calls++
	r.known[s.Serial] = struct{}{}
	return true
}

// claimName makes the call's ID have the name that it had. Without translation
// it is the ID itself.
func (r *restorer) claimName(c *connection, k *call) bool {
	id, known := k.id(k.lanRole())
	switch {
	case !known:
		return true
	case !c.named:
		return k.alias == id
	}
	k.named = r.t.nat.claim(c, id, k.alias)
	return k.named
}

func (r *restorer) unclaimName(c *connection, k *call) {
	if id, _ := k.id(k.lanRole()); k.named {
		r.t.nat.letGo(&c.identity, id, true, r.now)
		k.named = false
	}
}

// sane reports whether s can be a call: live, with the IDs that its state calls
// for.
func (s *SavedCall) sane() bool {
	if s.Serial == 0 || s.PNS >= flow.Sides || !s.State.Live() {
		return false
	}
	both := s.Known[0] && s.Known[1]
	switch {
	case s.State.CarriesGRE() || s.State == pptp.CallReplied:
		return both && (s.Kind == pptp.OutgoingCall || s.Kind == pptp.IncomingCall)
	case s.Kind == pptp.OutgoingCall:
		return s.Known[0]
	}
	return s.Kind == pptp.IncomingCall && s.Known[1]
}

// admitGRE puts the call into the list it belongs to and lets its GRE pass if
// it did.
func (r *restorer) admitGRE(c *connection, at ref, s *SavedCall) bool {
	k := r.t.calls.at(at)
	list := pending
	if s.State.CarriesGRE() {
		k.seen[LAN], k.seen[WAN] = s.GRE[LAN].Packets > 0, s.GRE[WAN].Packets > 0
		if list = active; !k.seen[LAN] && !k.seen[WAN] {
			list = expecting
		}
	}
	if list == expecting && r.t.expectations.Add(flow.Sides) > int64(r.settings.Limits.Expectations) {
		r.t.expectations.Add(-flow.Sides)
		r.limit("expectations")
		return false
	}
	if list != pending && !(r.direction(c, at, LAN, &s.GRE[LAN]) && r.direction(c, at, WAN, &s.GRE[WAN])) {
		r.t.leaveKey(&c.identity, k, pptp.PNS)
		r.t.leaveKey(&c.identity, k, pptp.PAC)
		if list == expecting {
			r.t.expectations.Add(-flow.Sides)
		}
		return false
	}
	if list != pending {
		r.t.enterQuote(&c.identity, k)
	}
	r.t.link(c, at, list)
	r.t.reindex(c, at)
	if list == pending {
		r.await(c, k)
	}
	return true
}

// direction enters the call's GRE that comes in by from into the key map, unless
// another call has its place.
func (r *restorer) direction(c *connection, at ref, from Side, s *SavedGRE) bool {
	k := r.t.calls.at(at)
	role := pptp.PNS
	if k.pns == from {
		role = pptp.PAC
	}
	key := c.greTo(from.Other(), k.outerID(role))
	hash := r.t.keymap[from].Hash(&key)
	shard := r.t.keymap[from].Lock(hash)
	defer shard.Unlock()
	e, found := shard.Insert(hash, &key)
	if e == nil || found {
		return false
	}
	*e = newKeyEntry(c, at, k)
	e.packets, e.bytes, e.last, e.sequence = s.Packets, s.Bytes, r.time(s.Last), s.sequence()
	return true
}

func (s *SavedGRE) sequence() sequence {
	out := sequence{seen: s.Seen, top: s.Top, ack: s.Ack, lost: s.Lost, reordered: s.Reordered, repeated: s.Repeated, jumps: s.Jumps}
	if s.Seen != 0 { // each number not seen is one lost, until it comes late
		out.lost = max(out.lost, uint32(bits.OnesCount64(^s.Seen)))
	}
	return out
}
