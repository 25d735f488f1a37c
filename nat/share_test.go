package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// Hosts that ask for calls which nobody answers take a small share of the call IDs
// each: those of a server, and those of all, whatever rests of them included. What
// they ask for beyond it leaves without an ID, and others' calls do not notice.
func TestAskingInVainTakesAShare(t *testing.T) {
	for name, test := range map[string]struct{ ids, askers, servers int }{
		"two hosts, all IDs of a server": {2 * 65536, 2, 1},
		"five hosts, all servers":        {8192, 5, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && test.servers == 1 {
				t.Skip("65,736 requests")
			}
			b := newBox(t, func(o *nat.Options) { masquerade(o); o.CallIDs = test.ids }, func(o *track.Options) {
				o.Limits = track.DefaultOptions().Limits
				o.Limits.CallsPerConnection, o.Limits.CallsPerHost = 1<<16, 1<<17
			})
			victim := b.Dial(b.lan[0], b.wan[0])
			b.Events()
			without := askInVain(t, b, test.askers, test.servers, test.ids)
			wantEqual(t, "the limit reached", limitReached(b), "call_ids_per_host")
			used, limit := b.names.CallIDs()
			most := test.askers * min(limit, 65536) / 16
			t.Logf("%d hosts that ask have %d of %d IDs, at most %d; %d requests left without", test.askers, used, limit, most, without)
			if used > most || without == 0 {
				t.Errorf("%d IDs are used, want at most %d; %d requests left without", used, most, without)
			}
			for id := range uint16(20) {
				wantUp(t, victim.OutCall(1000+id, 2000+id))
			}
			b.Advance(nat.DefaultPause + time.Second) // what rested is there again
			b.Advance(b.Options.Timeouts.PendingCall)
			for range 1000 {
				b.names.Tick(b.Now + track.Time(2*nat.DefaultPause))
			}
			asker := tracktest.NewHost(track.LAN, "10.7.0.1")
			wantUp(t, b.Dial(asker, b.wan[0]).OutCall(7, 9))
		})
	}
}

// askInVain has hosts ask servers for more calls than there are IDs, and returns
// how many of the requests left without one.
func askInVain(t *testing.T, b *box, askers, servers, ids int) (without int) {
	each := min(ids, 65536)/askers + 100
	for n := range askers {
		host := tracktest.NewHost(track.LAN, []string{"10.7.0.1", "10.7.0.2", "10.7.0.3", "10.7.0.4", "10.7.0.5"}[n])
		for s := range servers {
			c := b.Dial(host, b.wan[s])
			for id := range each {
				r := c.Say(host, tracktest.OutRequest(uint16(id)))
				if r.CallID() == track.NoCallID {
					if without++; without%1000 > 0 {
						continue
					}
				}
				c.Ack(b.wan[s])
			}
		}
	}
	return without
}
