package nat_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// In TestNoInnerIDLeaves the IDs that hosts on the LAN assign, those that hosts on
// the WAN assign, and those that the WAN knows the LAN's by have no value in
// common, nor a first octet.
const (
	innerIDs = 0x0100
	wanIDs   = 0x4000
	aliasIDs = 0x8000
)

// apartIDs gives out aliases from aliasIDs on only, and notes whose they are.
type apartIDs struct {
	track.Translation
	owners map[outerID]wire.Addr // hosts on the LAN
}

// outerID is an ID by the two addresses that see it.
type outerID struct {
	alias, peer wire.Addr
	id          uint16
}

func (a *apartIDs) ClaimID(pool track.IDPool, id uint16) bool {
	a.owners[outerID{pool.Alias, pool.Peer, id}] = pool.Host
	return a.Translation.ClaimID(pool, id)
}

func (a *apartIDs) TakeID(pool track.IDPool, want uint16, now track.Time) (uint16, bool) {
	for try := range uint16(100) {
		alias := aliasIDs | (want + 77*try)
		if alias == track.NoCallID {
			continue
		}
		id, ok := a.Translation.TakeID(pool, alias, now)
		if !ok {
			return track.NoCallID, false
		}
		if id == alias {
			a.owners[outerID{pool.Alias, pool.Peer, id}] = pool.Host
			return id, true
		}
		a.Translation.FreeID(pool, id)
	}
	return track.NoCallID, false
}

// TestNoInnerIDLeaves has hosts say all messages in all roles, whether they make
// sense or not, cut and sent again anyhow, acknowledged or not, with IDs of live
// calls, of calls that have gone and of none. Whatever leaves the LAN has no ID
// that a host there has assigned, and what leaves twice leaves the same.
func TestNoInnerIDLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		talkAtRandom(t, rapid.Uint64().Draw(t, "seed"))
	})
}

// TestNoInnerIDLeavesAgain has the talks with which faults were found.
func TestNoInnerIDLeavesAgain(t *testing.T) {
	for _, seed := range []uint64{0x33c9c, 0xd986, 0x568, 0x5b4, 0x652, 0x1a27, 0x214a, 0x235f, 0x19248} {
		t.Logf("seed %#x", seed)
		talkAtRandom(t, seed)
	}
}

func talkAtRandom(t tracktest.TB, seed uint64) {
	s := newTalk(t, seed)
	for range 400 {
		s.step()
	}
}

// talk is a box and the connections that are talked on.
type talk struct {
	tracktest.TB
	dice  *rand.Rand
	b     *box
	ids   *apartIDs
	conns []*talkConn
}

// talkConn is what has been said on a connection, by its two ends.
type talkConn struct {
	*tracktest.Conn
	lan, wan *tracktest.Host
	said     [2][]byte // by the side that says it
	start    [2]uint32
	fields   map[uint32]pptp.ControlType // where Call IDs of the LAN's messages begin
	halves   map[uint32]bool             // where one begins of which there is no more
	left     map[uint32]byte             // octets of the LAN as they left first
	alias    map[uint32]uint16
	aliases  []uint16 // IDs that the WAN has heard
}

func newTalk(t tracktest.TB, seed uint64) *talk {
	s := &talk{TB: t, dice: rand.New(rand.NewPCG(seed, 1))}
	s.ids = &apartIDs{owners: map[outerID]wire.Addr{}}
	mode := []func(*nat.Options){byCallID, masquerade, both}[s.below(3)]
	s.b = newBox(t, mode, func(o *track.Options) {
		s.ids.Translation = o.Translation
		o.Translation = s.ids
	})
	for range 3 {
		s.connect()
	}
	return s
}

func (s *talk) below(n int) int { return s.dice.IntN(n) }

// connect opens a connection by either side and, nearly always, a session.
func (s *talk) connect() {
	lan, wan := s.b.lan[s.below(3)], s.b.wan[s.below(2)]
	k := &talkConn{lan: lan, wan: wan, fields: map[uint32]pptp.ControlType{}, halves: map[uint32]bool{}, left: map[uint32]byte{}, alias: map[uint32]uint16{}}
	k.Conn = s.b.NewConn(lan, wan)
	if s.b.names.ByCallID() && s.below(2) == 0 {
		k.Conn = s.b.NewConn(wan, lan)
	}
	k.Handshake()
	k.start = [2]uint32{k.End(lan).Next, k.End(wan).Next}
	s.conns = append(s.conns, k)
	if s.below(8) > 0 {
		client := track.Side(s.below(2))
		s.say(k, client, tracktest.StartRequest())
		s.say(k, client.Other(), tracktest.StartReply(pptp.StartResultOK))
	}
}

func (k *talkConn) host(side track.Side) *tracktest.Host {
	if side == track.LAN {
		return k.lan
	}
	return k.wan
}

// say has an end say a message, in one segment or two.
func (s *talk) say(k *talkConn, from track.Side, m pptp.Message) {
	octets := tracktest.Encode(m)
	at := k.start[from] + uint32(len(k.said[from]))
	if s.below(30) == 0 { // too short, or cut within its ID
		octets = octets[:12+s.below(4)]
		binary.BigEndian.PutUint16(octets, uint16(len(octets)))
	}
	k.said[from] = append(k.said[from], octets...)
	if offset, ok := pptp.CallIDOffset(m.ControlType()); ok && from == track.LAN {
		switch n := len(octets) - offset; {
		case n == 1:
			k.halves[at+uint32(offset)] = true
		case n > 1:
			k.fields[at+uint32(offset)] = m.ControlType()
		}
	}
	cut := len(octets)
	if s.below(3) == 0 {
		cut = []int{1, 2, 11, 12, 13, 14, 15, 16}[s.below(8)]
		cut = min(cut, len(octets))
	}
	switch s.below(12) {
	case 0: // it gets lost before the box, to be sent again
	case 1:
		s.send(k, from, at+uint32(cut), octets[cut:])
		s.send(k, from, at, octets[:cut])
	default:
		s.send(k, from, at, octets[:cut])
		s.send(k, from, at+uint32(cut), octets[cut:])
	}
}

// send sends octets from a position on, and looks at what leaves.
func (s *talk) send(k *talkConn, from track.Side, at uint32, octets []byte) {
	s.b.Released = nil
	r := k.At(k.host(from), at, octets)
	for _, r := range append([]tracktest.Result{r}, s.b.Released...) {
		s.left(r)
	}
	s.b.Released = nil
}

// left checks a frame that has left the LAN. Of a connection that the box has
// forgotten, with port 1723 on the LAN, it takes what begins no message for other
// traffic; what begins one stays in, so that none arrives.
func (s *talk) left(r tracktest.Result) {
	if !r.Passed() || r.Side != track.LAN || r.Reason == track.ReasonOther {
		return
	}
	var p wire.Packet
	wire.Decode(r.Out, &p)
	for _, k := range s.conns {
		if p.Kind != wire.TCP || p.SrcPort != k.knownPort() || p.Dst != wire.AddrFrom(k.wan.Addr) || p.DstPort != k.End(k.wan).Port {
			continue
		}
		for i, octet := range r.Out[p.Payload:p.End] {
			s.octet(k, p.Src, p.Seq+uint32(i), octet)
		}
	}
}

// knownPort is the port by which the WAN knows the end on the LAN.
func (k *talkConn) knownPort() uint16 {
	if e := k.End(k.lan); e.Alias != nil {
		return e.AliasPort
	}
	return k.End(k.lan).Port
}

func (s *talk) octet(k *talkConn, alias wire.Addr, at uint32, octet byte) {
	if had, again := k.left[at]; again && had != octet {
		s.Fatalf("octet %d of %s left as %#x, and again as %#x", at-k.start[0], k.lan.Addr, had, octet)
	}
	k.left[at] = octet
	if k.halves[at] && octet == innerIDs>>8 {
		s.Fatalf("%s says half an ID, and that leaves as %#x", k.lan.Addr, octet)
	}
	if t, ok := k.fields[at]; ok {
		s.field(k, alias, t, at)
	}
	if t, ok := k.fields[at-1]; ok {
		s.field(k, alias, t, at-1)
	}
}

// field checks the ID of a message of the LAN, as far as it has left.
func (s *talk) field(k *talkConn, alias wire.Addr, t pptp.ControlType, at uint32) {
	high, first := k.left[at]
	low, second := k.left[at+1]
	id := uint16(high)<<8 | uint16(low)
	ends := t == pptp.CallClearRequest || t == pptp.CallDisconnectNotify
	switch {
	case first && high == innerIDs>>8:
		s.Fatalf("%s of %s leaves with the ID %#x", t, k.lan.Addr, id)
	case !first || !second || id == track.NoCallID || ends && id>>8 == wanIDs>>8:
	case id < aliasIDs:
		s.Fatalf("%s of %s leaves with the ID %#x", t, k.lan.Addr, id)
	case k.alias[at] != id:
		if s.b.names.ByCallID() {
			alias = wire.Addr{}
		}
		if s.ids.owners[outerID{alias, wire.AddrFrom(k.wan.Addr), id}] != wire.AddrFrom(k.lan.Addr) {
			s.Fatalf("%s of %s leaves with the ID %#x, which is another host's", t, k.lan.Addr, id)
		}
		k.alias[at] = id
		k.aliases = append(k.aliases, id)
	}
}

// step lets one thing happen.
func (s *talk) step() {
	k := s.conns[s.below(len(s.conns))]
	switch n := s.below(40); {
	case n < 8:
		s.say(k, track.LAN, s.message(k, track.LAN))
	case n < 16:
		s.say(k, track.WAN, s.message(k, track.WAN))
	case n < 20:
		s.agree(k)
	case n < 30:
		s.again(k, track.LAN)
	case n < 32:
		s.again(k, track.WAN)
	case n < 37:
		s.acknowledge(k)
	case n == 37:
		s.b.Advance([]time.Duration{1e6, 1e8, 1.1e9, 31e9}[s.below(4)])
	case n == 38 && s.below(4) == 0:
		s.restart()
	case s.below(4) == 0:
		s.finish(k)
	}
}

// restart starts the box anew.
func (s *talk) restart() {
	saved := s.b.Save()
	s.b.names = newTranslator(s.b.mode, func(o *nat.Options) { o.Neighbour = s.b.neighbour })
	s.ids.Translation = s.b.names
	s.b.Options.Translation, s.b.Translate = s.ids, s.b.names.Apply
	s.b.Restart(saved, 0)
}

// finish ends a connection, of which everything may still be sent again.
func (s *talk) finish(k *talkConn) {
	from := k.host(track.Side(s.below(2)))
	if s.below(2) == 0 {
		k.Fin(from)
	} else {
		k.Reset(from)
	}
	s.again(k, track.LAN)
	s.connect()
}

// acknowledge has one end acknowledge what the other said, all of it or a part.
func (s *talk) acknowledge(k *talkConn) {
	from := track.Side(s.below(2))
	said := k.start[from.Other()] + uint32(len(k.said[from.Other()]))
	end := k.End(k.host(from))
	if left := said - end.Got; int32(left) > 0 {
		end.Got += uint32(s.below(int(left) + 1))
		if s.below(2) == 0 {
			end.Got = said
		}
	}
	k.Ack(k.host(from))
}

// again sends some of what was said again.
func (s *talk) again(k *talkConn, from track.Side) {
	said := k.said[from]
	if len(said) == 0 {
		return
	}
	at := s.below(len(said))
	if s.below(2) == 0 {
		at = max(len(said)-1-s.below(400), 0)
	}
	end := min(at+[]int{1, 2, 14, 32, 168, 400}[s.below(6)], len(said))
	s.send(k, from, k.start[from]+uint32(at), said[at:end])
}

// inner and number draw an ID of the LAN and of the WAN, alias one that the WAN
// has heard.
func (s *talk) inner() uint16  { return innerIDs + uint16(s.below(8)) }
func (s *talk) number() uint16 { return wanIDs + uint16(s.below(8)) }
func (s *talk) heard(k *talkConn) uint16 {
	if len(k.aliases) == 0 {
		return track.NoCallID
	}
	return k.aliases[max(len(k.aliases)-1-s.below(4), 0)]
}

// agree has an end ask for a call and the other answer, nearly always with success.
func (s *talk) agree(k *talkConn) {
	asker := track.Side(s.below(2))
	incoming := s.below(2) == 0
	var ask pptp.Message = tracktest.OutRequest(s.own(asker))
	if incoming {
		ask = tracktest.InRequest(s.own(asker))
	}
	own := binary.BigEndian.Uint16(tracktest.Encode(ask)[12:])
	s.say(k, asker, ask)
	peers := own
	if asker == track.LAN {
		peers = s.heard(k)
	}
	result := uint8(1 + s.below(5)/4)
	mine := s.own(asker.Other())
	var answer pptp.Message = tracktest.OutReply(mine, peers, pptp.OutCallResult(result))
	if incoming {
		answer = tracktest.InReply(mine, peers, pptp.InCallResult(result))
	}
	s.say(k, asker.Other(), answer)
	if incoming && result == 1 {
		if asker == track.WAN {
			mine = s.heard(k)
		}
		s.say(k, asker, tracktest.InConnected(mine))
	}
}

func (s *talk) own(side track.Side) uint16 {
	if side == track.LAN {
		return s.inner()
	}
	return s.number()
}

// message draws any message with any IDs. What it calls the other end's ID is one
// of that end, as far as the sender can know.
func (s *talk) message(k *talkConn, from track.Side) pptp.Message {
	own, peers := s.own(from), s.number()
	if from == track.WAN {
		peers = s.heard(k)
	}
	either := own
	if s.below(3) == 0 {
		either = peers
	}
	result := uint8(s.below(4))
	if s.below(40) == 0 {
		return []pptp.Message{tracktest.StopRequest(), tracktest.StopReply()}[s.below(2)]
	}
	messages := []pptp.Message{
		tracktest.StartRequest(), tracktest.StartReply(pptp.StartResult(1)), tracktest.EchoRequest(1), tracktest.EchoReply(1),
		tracktest.OutRequest(own), tracktest.OutReply(own, peers, pptp.OutCallResult(result)),
		tracktest.InRequest(own), tracktest.InReply(own, peers, pptp.InCallResult(result)), tracktest.InConnected(peers),
		tracktest.ClearRequest(either), tracktest.ClearRequest(either), tracktest.Disconnect(either), tracktest.Disconnect(either),
		tracktest.WANError(peers), tracktest.LinkInfo(peers),
	}
	return messages[s.below(len(messages))]
}
