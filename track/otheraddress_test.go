package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// multihomed plays a call whose server answers GRE from another address, and
// returns what is reported of it.
func multihomed(t *testing.T, w *tracktest.World, client, server *tracktest.Host) (reports []track.Event) {
	t.Helper()
	c := w.Dial(client, server)
	c.OutCall(7, 9)
	other := tracktest.NewHost(server.Side, "198.51.100.77")
	w.Events()
	for range 3 {
		wantPass(t, w.GRE(client, server, 9), track.ReasonCall)
		wantDrop(t, w.GRE(other, client, 7), track.ReasonNotNegotiated)
		wantDrop(t, w.GRE(other, client, 8), track.ReasonNotNegotiated)
	}
	for _, e := range w.Events() {
		if e.Kind == track.EventCallOtherAddress {
			reports = append(reports, e)
		}
	}
	return reports
}

// TestGREFromAnotherAddress drops it, and reports it once for the call.
func TestGREFromAnotherAddress(t *testing.T) {
	for _, byWAN := range []bool{false, true} {
		w := tracktest.New(t)
		client, server := w.Client, w.Server
		if byWAN {
			client, server = server, client
		}
		reports := multihomed(t, w, client, server)
		if len(reports) != 1 || reports[0].Address.String() != "198.51.100.77" || reports[0].Call.PNS.CallID != 7 {
			t.Errorf("dialed by the WAN %v: reports %v, want one that names the call and the address", byWAN, reports)
		}
		w.CheckEmpty()
	}
}

// A call whose GRE comes from the right address is not reported, nor one that
// has ended.
func TestNoOtherAddress(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	up, over := c.OutCall(7, 9), c.OutCall(8, 10)
	wantUp(t, up)
	wantPass(t, w.GRE(w.Client, w.Server, 10), track.ReasonCall)
	over.Disconnect()
	w.Events()
	other := tracktest.NewHost(track.WAN, "198.51.100.77")
	wantDrop(t, w.GRE(other, w.Client, 7), track.ReasonNotNegotiated)
	wantDrop(t, w.GRE(other, w.Client, 8), track.ReasonNotNegotiated)
	for _, kind := range w.Kinds() {
		t.Errorf("event %s", kind)
	}
}
