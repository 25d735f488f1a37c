package neighbour

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mdlayher/arp"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// Forward leads calls from the WAN to a server on the LAN side.
type Forward struct{ Address, To netip.Addr }

const (
	// maxServers bounds the servers that are looked for in a VLAN because of a
	// frame, those of each VLAN counted. Those of the configuration have their
	// place besides.
	maxServers = 4096
	// limitInterval is how often it is reported at most that there are as many.
	limitInterval = 10 * time.Second
	// maxReplies bounds the replies in a second to those who share a budget: no
	// host asks for so much at once, and again once it was answered.
	maxReplies = 100
	// budgets is how many budgets those who ask share.
	budgets = 64
	// evictInterval bounds how often one VLAN makes room for another.
	evictInterval = 10 * time.Millisecond
)

// Output is a frame that the Table wants sent.
type Output struct {
	Side  track.Side
	Frame []byte
}

// Table knows the addresses of the box and the servers behind it, and decides
// what to send. It is for one goroutine at a time, except for MAC and NIC.
type Table struct {
	timing  Timing
	random  *rand.Rand
	names   [2]string // of the NICs
	macs    [2]atomic.Uint64
	up      [2]bool
	owns    map[netip.Addr]*own
	all     []*own                      // of owns, in their order
	behind  map[netip.Addr][]netip.Addr // the servers of an address
	servers map[place]*server
	looked  []*server                          // of servers, in their order: those of the configuration first
	lasting int                                // of looked, those of the configuration
	known   atomic.Pointer[map[place]*whereIs] // what MAC reads; replaced when servers has changed
	stale   bool                               // it is to be replaced

	limited track.Time // when the limit of servers was last reported; 0: never

	second  track.Time     // since when replies are counted
	mix     maphash.Seed   // who shares a budget, for that second
	replies [budgets]uint8 // by budget

	evicted track.Time // when a VLAN last made room for another

	outputs []Output
	events  []track.Event
}

// NewTable returns the Table of a box with these NICs and addresses of its own,
// those of the forwards among them or not.
func NewTable(lan, wan string, addresses []netip.Addr, forwards []Forward, timing Timing, random *rand.Rand) *Table {
	t := &Table{
		timing: timing, random: random, names: [...]string{track.LAN: lan, track.WAN: wan},
		owns: make(map[netip.Addr]*own), behind: make(map[netip.Addr][]netip.Addr), servers: make(map[place]*server),
		mix: maphash.MakeSeed(),
	}
	for _, a := range addresses {
		t.have(a)
	}
	for _, f := range forwards {
		t.have(f.Address)
		t.behind[f.Address] = append(t.behind[f.Address], f.To)
		t.add(place{0, f.To}, "", 0)
	}
	t.lasting = len(t.looked)
	t.publish()
	return t
}

// have makes an address the box's own.
func (t *Table) have(a netip.Addr) {
	if t.owns[a] == nil {
		o := &own{address: a, tags: []string{""}}
		t.owns[a], t.all = o, append(t.all, o)
	}
}

// MAC returns the MAC address of a server in a zone, if it is known. It is for
// every goroutine, and takes a look into a map.
func (t *Table) MAC(zone wire.Zone, server netip.Addr) (mac MAC, ok bool) {
	if w := (*t.known.Load())[place{zone, server}]; w != nil {
		return w.tell()
	}
	return mac, false
}

// NIC returns the MAC address that a side's NIC had when it last came up. It is
// for every goroutine.
func (t *Table) NIC(side track.Side) (mac MAC, ok bool) { return unpackMAC(t.macs[side].Load()) }

// add has a server looked for in a zone. What is new is not seen by MAC before
// publish.
func (t *Table) add(at place, tags string, now track.Time) {
	s := &server{place: at, tags: tags, at: new(whereIs), wanted: now, next: now}
	t.servers[at], t.looked, t.stale = s, append(t.looked, s), true
}

// publish lets MAC see all servers, if any is new or gone.
func (t *Table) publish() {
	if !t.stale {
		return
	}
	known := make(map[place]*whereIs, len(t.servers))
	for _, s := range t.looked {
		known[s.place] = s.at
	}
	t.known.Store(&known)
	t.stale = false
}

// Up is told that a side's NIC came up, or is another one, with that MAC
// address.
func (t *Table) Up(side track.Side, mac MAC, now track.Time) {
	t.macs[side].Store(packMAC(mac))
	t.up[side] = true
	if side == track.WAN {
		for _, o := range t.all {
			o.begin(now, &t.timing, t.random)
		}
		return
	}
	for _, s := range t.looked {
		s.begin(now, &t.timing, t.random)
	}
}

// Down is told that a side's NIC has no link any more, or is gone.
func (t *Table) Down(side track.Side) {
	t.up[side] = false
	if side == track.WAN {
		for _, o := range t.all {
			o.next = 0
		}
	}
}

// Tick does what is due.
func (t *Table) Tick(now track.Time) {
	for _, o := range t.all {
		if mac, ok := t.sender(track.WAN); ok && o.next != 0 && o.next <= now {
			for _, frame := range o.step(mac, now, &t.timing, t.random) {
				t.send(track.WAN, frame)
			}
		}
	}
	t.search(now)
	t.publish()
}

// search asks for the servers that are due, and gives up those that only a frame
// made it look for and that no frame has wanted for long.
func (t *Table) search(now track.Time) {
	mac, ok := t.sender(track.LAN)
	if !ok {
		return
	}
	for i := 0; i < len(t.looked); i++ {
		switch s := t.looked[i]; {
		case s.next > now:
		case i >= t.lasting && s.unwanted(now, &t.timing):
			t.forget(i)
			i--
		default:
			t.send(track.LAN, s.step(mac, now, &t.timing))
		}
	}
}

// forget gives up a server of looked.
func (t *Table) forget(i int) {
	delete(t.servers, t.looked[i].place)
	t.looked, t.stale = slices.Delete(t.looked, i, i+1), true
}

// Next returns when there is something to do at the next Tick; ok is false if
// there will not be, as things are.
func (t *Table) Next() (next track.Time, ok bool) {
	soonest := func(at track.Time) {
		if !ok || at < next {
			next, ok = at, true
		}
	}
	for _, o := range t.all {
		if t.up[track.WAN] && o.next != 0 {
			soonest(o.next)
		}
	}
	for _, s := range t.looked {
		if t.up[track.LAN] {
			soonest(s.next)
		}
	}
	return next, ok
}

// sender is the MAC address to send from; none while the side is down.
func (t *Table) sender(side track.Side) (mac MAC, ok bool) {
	mac, ok = t.NIC(side)
	return mac, ok && t.up[side]
}

func (t *Table) send(side track.Side, frame []byte) {
	t.outputs = append(t.outputs, Output{side, frame})
}

// Take returns what is to be sent and what has happened since it was last
// called.
func (t *Table) Take() (outputs []Output, events []track.Event) {
	outputs, events = t.outputs, t.events
	t.outputs, t.events = nil, nil
	return outputs, events
}

// Receive takes in a frame that came in by a side. It takes any bytes.
func (t *Table) Receive(side track.Side, frame []byte, now track.Time) {
	m, ok := parse(frame)
	if !ok || t.isOurs(m.senderMAC) {
		return
	}
	if o := t.owns[m.sender]; o != nil {
		t.disputed(o, &m, side, now)
		return
	}
	if side == track.WAN {
		t.request(&m, now)
	} else {
		t.learn(&m, now)
	}
}

// isOurs reports whether a NIC of the box has that address.
func (t *Table) isOurs(mac MAC) bool {
	n := packMAC(mac)
	return n == t.macs[track.LAN].Load() || n == t.macs[track.WAN].Load()
}

// disputed deals with a message by another host that has an address of the
// box's, or wants it. On whichever side it is, hosts of the WAN may have seen
// the message, for ARP crosses the box; it is to them that the address is
// defended.
func (t *Table) disputed(o *own, m *message, side track.Side, now track.Time) {
	if o.report(m.senderMAC, now, &t.timing) {
		t.events = append(t.events, o.conflict(m, t.names[side], now))
	}
	if mac, ok := t.sender(track.WAN); ok && m.sender == o.address && o.defend(now, &t.timing) {
		t.send(track.WAN, announcement(mac, m.tags, o.address))
	}
}

// request answers for an address of the box's.
func (t *Table) request(m *message, now track.Time) {
	o := t.owns[m.target]
	mac, ok := t.sender(track.WAN)
	if o == nil || !ok || m.operation != arp.OperationRequest || !isGroup(m.to) && m.to != mac {
		return
	}
	if m.isProbe() && o.probing() { // both want it; the answer says who has it
		t.disputed(o, m, track.WAN, now)
	}
	if !t.mayReply(m.senderMAC, now) {
		return
	}
	t.send(track.WAN, m.reply(mac))
	if o.full(m.tags) && now.Sub(t.evicted) >= evictInterval {
		t.evicted = now
		t.leave(o)
	}
	if o.askedIn(m.tags) {
		t.lookIn(m, now)
	}
}

// mayReply counts a reply. Nobody can use up what others are to have, for more
// than the second in which they happen to share a budget with him.
func (t *Table) mayReply(to MAC, now track.Time) bool {
	if now.Sub(t.second) >= time.Second {
		t.second, t.mix, t.replies = now, maphash.MakeSeed(), [budgets]uint8{}
	}
	n := &t.replies[maphash.Comparable(t.mix, to)%budgets]
	if *n == maxReplies {
		return false
	}
	*n++
	return true
}

// lookIn looks for the servers of an address in the zone where it was asked
// for: calls will come from there.
func (t *Table) lookIn(m *message, now track.Time) {
	for _, address := range t.behind[m.target] {
		if s := t.servers[place{m.zone, address}]; s != nil {
			s.wanted = now
		} else {
			t.addMade(place{m.zone, address}, m.tags, now)
		}
	}
	t.publish()
}

// addMade has a server looked for because of a frame. If there are too many by
// that, one leaves: the first of those that have never answered, or else the
// first. Those of the configuration stay.
func (t *Table) addMade(at place, tags string, now track.Time) {
	if len(t.looked)-t.lasting >= maxServers {
		made := t.looked[t.lasting:]
		t.forget(t.lasting + max(0, slices.IndexFunc(made, func(s *server) bool { return !s.at.known() })))
		t.reachedLimit(now)
	}
	t.add(at, tags, now)
}

func (t *Table) reachedLimit(now track.Time) {
	if t.limited != 0 && now.Sub(t.limited) < limitInterval {
		return
	}
	t.limited = now
	t.events = append(t.events, track.Event{
		Time: now, Kind: track.EventLimitReached, Cause: "nat.forward",
		Detail: []string{fmt.Sprintf("servers are looked for in %d VLANs at most: one that has not answered leaves for the next", maxServers)},
	})
}

// leave gives up the VLAN in which an address was asked for the longest ago, and
// its servers there.
func (t *Table) leave(o *own) {
	tags := o.evict()
	t.looked = slices.DeleteFunc(t.looked, func(s *server) bool {
		gone := s.tags == tags && slices.Contains(t.behind[o.address], s.address)
		if gone {
			delete(t.servers, s.place)
			t.stale = true
		}
		return gone
	})
}

// learn takes in what a message of the LAN side says of a server.
func (t *Table) learn(m *message, now track.Time) {
	if s := t.servers[place{m.zone, m.sender}]; s != nil {
		s.heard(m.senderMAC, now, &t.timing)
	}
	if s := t.servers[place{m.zone, m.target}]; s != nil && m.isProbe() {
		s.probes(now, &t.timing)
	}
}

// Resolve asks soon where a server is in a zone, whether that is known or not,
// and in one that is new to the Table at once. It has no effect for an address
// that no call is forwarded to. MAC sees a new one after the next Tick.
func (t *Table) Resolve(zone wire.Zone, address netip.Addr, now track.Time) {
	at := place{zone, address}
	if s := t.servers[at]; s != nil {
		s.hurry(now, &t.timing)
		return
	}
	tags, ok := tagsOf(zone)
	if t.servers[place{0, address}] == nil || !ok {
		return
	}
	t.addMade(at, tags, now)
}
