package track_test

import (
	"testing"

	"github.com/grewire/grewire/track/tracktest"
)

// TestAdoptNoHalfOfACall: a host with the address of an end that makes numbers up,
// though near those of the call, gets no half of the call.
func TestAdoptNoHalfOfACall(t *testing.T) {
	random := seeded(t)
	for range 50 {
		w := tracktest.New(t, adopting)
		talk(t, established(w))
		call := oldCall(w, w.Client, 7, w.Server, 9, 70_000)
		for range 12 {
			for _, from := range []int{1, 0} {
				call.send(from)
				if from == 0 {
					continue
				}
				me, peer := &call.ends[0], &call.ends[1]
				for range 1 + random.IntN(4) {
					g := tracktest.GRE{
						CallID: 666, HasSeq: true, Seq: me.seq + random.Uint32N(200),
						HasAck: true, Ack: peer.seq - 1 - random.Uint32N(200), Payload: make([]byte, 40),
					}
					w.Send(me.host.Side, g.Frame(me.host, peer.host))
				}
			}
		}
		calls := w.Tracker.Calls()
		if len(calls) > 2 {
			t.Fatalf("%d calls", len(calls))
		}
		found := false
		for _, k := range calls {
			mine := k.PNS.CallID == 7 || k.PAC.CallID == 9
			if mine && (k.PNS.CallID != 7 || k.PAC.CallID != 9) {
				t.Fatalf("the call lost a half: %d and %d", k.PNS.CallID, k.PAC.CallID)
			}
			found = found || mine
		}
		if !found {
			t.Fatal("the call was not adopted")
		}
	}
}
