package track_test

import (
	"math/rand/v2"
	"testing"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// TestIndexAgainstWalk has a connection ask for calls, answer and end them at
// random, with few IDs and with many; after each message the index finds what a
// walk over all calls that wait would find.
func TestIndexAgainstWalk(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for _, ids := range []int{2, 16, 1 << 16} {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		id := func() uint16 { return uint16(random.IntN(ids)) }
		for n := range 800 {
			from := c.Ends[random.IntN(2)].Host
			own, peers := id(), id()
			for _, k := range w.Tracker.Calls() { // mostly it is about a call there is
				if random.IntN(8) == 0 {
					own, peers = k.PNS.CallID, k.PAC.CallID
				}
			}
			c.Say(from, []pptp.Message{
				tracktest.OutRequest(id()), tracktest.InRequest(id()), tracktest.OutRequest(id()), tracktest.InRequest(id()),
				tracktest.OutReply(peers, own, okOut), tracktest.InReply(own, peers, okIn), tracktest.InConnected(own),
				tracktest.ClearRequest(own), tracktest.Disconnect(peers),
			}[random.IntN(9)])
			c.Ack(c.Peer(from).Host)
			if fault := w.Tracker.IndexFault(); fault != "" {
				t.Fatalf("seed %d, %d IDs, message %d: %s", seed, ids, n, fault)
			}
		}
		w.CheckEmpty()
	}
}
