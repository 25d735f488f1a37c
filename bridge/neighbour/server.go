package neighbour

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// place is where a server is looked for.
type place struct {
	zone    wire.Zone
	address netip.Addr
}

// server is a host of the LAN side that calls are forwarded to.
type server struct {
	place
	tags string
	at   *whereIs

	wanted track.Time // by a frame, last
	sent   int        // probes since it was last heard
	asked  track.Time // when the last one was
	next   track.Time // when the next one is due
	quiet  track.Time // until then it is not asked for
}

// whereIs is where a server was heard, for the workers.
type whereIs struct {
	mac   atomic.Uint64 // see packMAC
	asked atomic.Bool   // a worker has made use of it since this was last looked at
}

// tell returns the address to a worker.
func (w *whereIs) tell() (MAC, bool) {
	mac, ok := unpackMAC(w.mac.Load())
	if ok && !w.asked.Load() {
		w.asked.Store(true)
	}
	return mac, ok
}

func (w *whereIs) known() bool { return w.mac.Load() != 0 }

// packMAC makes a number of an address; 0 is none.
func packMAC(a MAC) uint64 {
	return 1<<48 | uint64(binary.BigEndian.Uint16(a[:]))<<32 | uint64(binary.BigEndian.Uint32(a[2:]))
}

func unpackMAC(n uint64) (a MAC, ok bool) {
	binary.BigEndian.PutUint16(a[:], uint16(n>>32))
	binary.BigEndian.PutUint32(a[2:], uint32(n))
	return a, n != 0
}

// begin has the server asked for from now on.
func (s *server) begin(now track.Time, t *Timing, r *rand.Rand) {
	s.sent, s.next = 0, max(s.quiet, now.Add(within(r, t.ProbeWait)))
}

// step returns the probe that is due now: to the server alone where it was last,
// and to everybody if it is not known, or does not answer any more. Where it was
// last holds until it is heard from elsewhere.
func (s *server) step(from MAC, now track.Time, t *Timing) []byte {
	to, known := unpackMAC(s.at.mac.Load())
	if !known || s.sent >= probeCount {
		to = broadcast
	}
	s.sent++
	s.asked, s.next = now, now.Add(t.backoff(s.sent))
	return probe(from, to, s.tags, s.address)
}

// heard takes in where the server is.
func (s *server) heard(at MAC, now track.Time, t *Timing) {
	s.at.mac.Store(packMAC(at))
	s.sent, s.next = 0, now.Add(t.Refresh)
}

// hurry has the server asked for soon, whatever was before.
func (s *server) hurry(now track.Time, t *Timing) {
	s.wanted = now
	soon := max(now, s.asked.Add(t.RetryMin), s.quiet)
	if s.asked == 0 {
		soon = max(now, s.quiet)
	}
	if soon < s.next {
		s.sent, s.next = min(s.sent, probeCount), soon
	}
}

// probes notes that the server is about to take its address into use, which it
// does not if somebody else probes for it (RFC 5227, section 2.1.1).
func (s *server) probes(now track.Time, t *Timing) {
	s.quiet = now.Add(t.Quiet)
	s.next = max(s.next, s.quiet)
}

// unwanted reports whether no frame has wanted the server for long.
func (s *server) unwanted(now track.Time, t *Timing) bool {
	if s.at.asked.Swap(false) {
		s.wanted = now
	}
	return now.Sub(s.wanted) >= t.Forget
}
