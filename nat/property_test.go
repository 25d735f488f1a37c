package nat_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// TestConversations plays random conversations of several pairs of hosts over a
// network that loses, doubles and reorders segments on both sides of the box, and
// whose ends cut what they send, and send again, anyhow. What must hold is
// checked on the way, see simulation.
func TestConversations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		for range rapid.SampledFrom([]int{1500, 800, 400, 200}).Draw(t, "steps") {
			s.step()
		}
		s.quiesce()
		s.finish()
	})
}

// simulation is a box, hosts around it, and the network between them.
type simulation struct {
	*rapid.T
	dice  *rand.Rand
	b     *box
	dials []*dialogue
	calls []*simCall
	sent  map[uint64]*simEnd // who sent a frame that is held
	lossy bool
	// occupied are IDs that belong to a host which takes no part.
	occupied map[uint16]bool
	// apart is a host that has an address of its own on the WAN side, or nil.
	apart *tracktest.Host
	// restarts makes the box start anew now and then.
	restarts bool
}

// dialogue is a control connection and its two ends, the opener first.
type dialogue struct {
	conn *tracktest.Conn
	ends [2]*simEnd
}

func newSimulation(t *rapid.T) *simulation {
	seed := rapid.Uint64().Draw(t, "seed") // everything else follows from it: rapid prefers small numbers
	s := &simulation{T: t, dice: rand.New(rand.NewPCG(seed, 0)), sent: map[uint64]*simEnd{}, occupied: map[uint16]bool{}, lossy: true}
	names := []string{"call-id", "masquerade", "forward", "masquerade+forward"}
	mode := names[s.below(4)]
	few := s.below(4) == 0
	s.restarts = !few && s.below(4) == 0
	s.b = newBox(t, func(o *nat.Options) {
		map[string]func(*nat.Options){"call-id": byCallID, "masquerade": masquerade, "forward": forwarding, "masquerade+forward": both}[mode](o)
		if few {
			o.CallIDs = 5
		}
	})
	if mode == "masquerade+forward" {
		s.apart = s.b.lan[2]
	}
	if mode != "forward" && s.below(4) > 0 {
		s.occupy()
	}
	for range 2 + s.below(5) {
		s.dial(mode)
	}
	return s
}

// occupy has a host agree calls that have the IDs which the others assign, so that
// theirs get other names.
func (s *simulation) occupy() {
	c := s.b.Dial(tracktest.NewHost(track.LAN, "192.0.2.99"), s.b.wan[0])
	for id := range uint16(3) {
		if c.Say(c.Ends[0].Host, tracktest.OutRequest(1+id)).CallID() != track.NoCallID {
			c.Say(c.Ends[1].Host, tracktest.OutReply(100+id, 1+id, pptp.OutCallResultConnected))
			s.occupied[1+id] = true
		}
	}
}

// dial opens a connection, by either side.
func (s *simulation) dial(mode string) {
	lan, wan := s.b.lan[s.below(3)], s.b.wan[s.below(8)/7] // nearly all have the same peer
	c := s.b.NewConn(lan, wan)
	switch byForward := mode != "call-id" && mode != "masquerade"; {
	case byForward && s.below(2) == 0:
		c = s.b.NewConn(wan, s.b.lan[2])
		c.Ends[1].Alias, c.Ends[1].AliasPort = s.b.forward, pptp.Port
	case mode == "call-id" && s.below(3) == 0:
		c = s.b.NewConn(wan, lan)
	}
	c.Handshake()
	d := &dialogue{conn: c}
	for i := range d.ends {
		d.ends[i] = &simEnd{simulation: s, d: d, at: i, host: c.Ends[i].Host, next: c.Ends[i].Next, start: c.Ends[i].Next, expect: c.Ends[1-i].Next}
	}
	s.dials = append(s.dials, d)
	d.ends[0].say(tracktest.StartRequest(), nil)
}

func (s *simulation) below(n int) int { return s.dice.IntN(n) }

// step lets one thing happen.
func (s *simulation) step() {
	d := s.dials[s.below(len(s.dials))]
	e := d.ends[s.below(2)]
	switch s.below(12) {
	case 0, 1:
		e.speak()
	case 2, 3, 4:
		e.transmit()
	case 5, 6, 7:
		e.throughBox(s.below(8))
	case 8, 9, 10:
		e.receive(s.below(8))
	case 11:
		// A message must not take as long as the box keeps half of one.
		s.b.Advance([]time.Duration{1e6, 1e6, 1e6, 1e7, 1e7, 1e8, 1e8, 1.1e9}[s.below(8)])
		s.take(nil)
	}
	if s.restarts && s.below(100) == 0 {
		s.restart()
	}
	s.checkNames()
	s.checkGRE()
}

// restart starts the box anew. Of a message that is cut then, with its ID in the
// part that has left, the rest is lost to it: what comes of a call that is being
// agreed is not sure.
func (s *simulation) restart() {
	s.b.restart(nil)
	for _, k := range s.calls {
		k.refused = k.refused || !k.up[0] || !k.up[1]
	}
}

// quiesce lets everything arrive that was said, without further loss.
func (s *simulation) quiesce() {
	s.lossy = false
	for round := 0; ; round++ {
		busy := false
		for _, d := range s.dials {
			for _, e := range d.ends {
				busy = e.flush() || busy
			}
		}
		if !busy {
			return
		}
		if round > 400 {
			s.Fatalf("what was said does not arrive")
		}
		s.b.Advance(1e8)
		s.take(nil)
		s.checkNames()
	}
}

// finish compares what was said with what was heard, and ends the connections.
func (s *simulation) finish() {
	for _, d := range s.dials {
		for i, e := range d.ends {
			if peer := d.ends[1-i]; len(peer.got) != len(e.out) {
				s.Errorf("%s said %d octets, %s heard %d", e.host.Addr, len(e.out), peer.host.Addr, len(peer.got))
			}
		}
		if s.below(2) == 0 {
			d.conn.Close()
		} else {
			d.conn.Reset(d.ends[s.below(2)].host)
		}
	}
	s.b.checkEmpty(s.T)
}
