package track_test

import (
	"net/netip"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// TestClientsAndServers asks who may hold a control connection with whom. The
// server is the end at port 1723; if both are, the one that got the SYN.
func TestClientsAndServers(t *testing.T) {
	ours, theirs := "192.0.2.0/24", "198.51.100.0/24"
	for _, p := range []struct {
		name             string
		clients, servers []netip.Prefix
		deny             bool
		out, in          bool // may the LAN's host open one, may the WAN's
	}{
		{"all", nil, nil, false, true, true},
		{"denied", nil, nil, true, false, false},
		{"clients", prefixes(ours), nil, false, true, false},
		{"servers", nil, prefixes(theirs), false, true, false},
		{"other servers", nil, prefixes("203.0.113.0/24", ours), false, false, true},
		{"both", prefixes("203.0.113.7/32", ours), prefixes(theirs), false, true, false},
		{"both, other way", prefixes(theirs), prefixes(ours), false, false, true},
		{"other family", prefixes("2001:db8::/32"), nil, false, false, false},
	} {
		t.Run(p.name, func(t *testing.T) {
			change := func(o *track.Options) {
				o.Policy.Clients, o.Policy.Servers, o.Policy.DenyPPTP = p.clients, p.servers, p.deny
			}
			for _, clientPort := range []uint16{40000, pptp.Port} {
				mayOpen(t, tracktest.New(t, change), false, clientPort, p.out)
				mayOpen(t, tracktest.New(t, change), true, clientPort, p.in)
			}
		})
	}
}

// mayOpen opens a connection, all of whose frames pass, or drop both ways.
func mayOpen(t *testing.T, w *tracktest.World, byWAN bool, port uint16, may bool) {
	t.Helper()
	client, server := w.Client, w.Server
	if byWAN {
		client, server = server, client
	}
	c := w.NewConn(client, server)
	c.Ends[0].Port = port
	results := []tracktest.Result{
		c.Flags(client, wire.SYN), c.Flags(server, wire.SYN|wire.ACK), c.Ack(client),
		c.Say(client, tracktest.StartRequest()), c.Say(server, tracktest.StartReply(okStart)),
	}
	if !may && port == pptp.Port {
		results = results[:4] // who got a SYN that never crossed, nobody can tell
	}
	for _, r := range results {
		if may {
			wantControl(t, r)
		} else {
			wantDrop(t, r, track.ReasonPPTPDenied)
		}
	}
	if may {
		wantUp(t, c.OutCall(7, 9))
	}
}

// TestFlush gives up what is held when the input ends.
func TestFlush(t *testing.T) {
	w, call := agreed(t, false)
	frames := call.Packet(w.Client, 3000).IP().Fragment(w.Client, w.Server, 1000)
	for _, frame := range frames[1:] {
		want(t, w.Send(track.LAN, frame), track.Hold, 0)
	}
	w.Flush()
	wantReleased(t, w, len(frames)-1, track.Drop, track.ReasonFragmentOrphan)
	w.Step()
	wantUsed(t, w, "hold_bytes", 0)
}

// TestPlainGREReasons: GRE version 0 passes by the policy that lets it, its own
// first.
func TestPlainGREReasons(t *testing.T) {
	for _, p := range []struct {
		any  bool
		v0   track.Action
		pass bool
		why  track.Reason
	}{
		{false, track.ActDrop, false, track.ReasonGREv0Denied},
		{true, track.ActDrop, true, track.ReasonAnyGRE},
		{false, track.ActForward, true, track.ReasonGREv0},
		{true, track.ActForward, true, track.ReasonGREv0},
	} {
		w := tracktest.New(t, func(o *track.Options) { o.Policy.AnyGRE, o.Policy.GREv0 = p.any, p.v0 })
		r := w.Send(track.LAN, tracktest.GREFrame(w.Client, w.Server, []byte{0, 0, 8, 0}))
		if r.Passed() != p.pass || r.Reason != p.why {
			t.Errorf("any %v, gre_v0 %v: %s, want passed %v (%s)", p.any, p.v0, r, p.pass, p.why)
		}
	}
}
