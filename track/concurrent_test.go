package track_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestConcurrent lets several goroutines play calls on one tracker, each by
// Lanes of its own, while others tick and look. Those whose hosts are their own
// must see every verdict as if they were alone; those who share hosts, and so
// call IDs, displace each other's calls all the time.
func TestConcurrent(t *testing.T) { testConcurrent(t, 1) }

// TestConcurrentWorkers is TestConcurrent with a key map that is made for it.
func TestConcurrentWorkers(t *testing.T) { testConcurrent(t, 6) }

func testConcurrent(t *testing.T, lanes int) {
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	w := tracktest.New(t, func(o *track.Options) {
		o.Limits = track.Limits{
			Connections: 4096, Calls: 4096, CallsPerConnection: 64, CallsPerHost: 4096, Expectations: 8192,
			Fragments: 512, HoldBytes: 4 << 20,
		}
		o.Workers = lanes
	})
	var players, watchers sync.WaitGroup
	var over atomic.Bool
	for i := range 3 {
		own, shared := w.Join(), w.Join()
		own.Client = tracktest.NewHost(track.LAN, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}[i])
		players.Go(func() { playAlone(t, own, rounds) })
		players.Go(func() { playAmongOthers(shared, uint16(50000+10000*i%15000), rounds) })
	}
	watchers.Go(func() {
		latest := tracktest.Epoch.Add(w.Options.Timeouts.PendingCall) - 1 // nothing is over by then
		for now := tracktest.Epoch; !over.Load(); now = min(now+1e5, latest) {
			w.Tracker.Tick(now)
		}
	})
	watchers.Go(func() {
		for saved := new(track.Saved); !over.Load(); {
			w.Tracker.Save(saved, tracktest.Epoch)
			w.Tracker.Calls()
			w.Tracker.Expectations()
			w.Tracker.Usage()
			w.Tracker.Anomalies()
		}
	})
	players.Wait()
	over.Store(true)
	watchers.Wait()
	w.CheckEmpty()
	if hosts, keys := w.Tracker.TableSizes(); hosts != 0 || keys != 0 {
		t.Errorf("%d hosts and %d keys left over", hosts, keys)
	}
}

// playAlone plays calls between hosts that nobody else plays.
func playAlone(t *testing.T, w *tracktest.World, rounds int) {
	for i := range rounds {
		c := w.Dial(w.Client, w.Server)
		one, two := c.OutCall(7, uint16(i)), c.InCall(8, uint16(i)+1)
		if !one.Both() || !two.Both() {
			t.Errorf("round %d: GRE of a live call does not pass", i)
		}
		w.SendAll(track.LAN, one.Packet(w.Client, 2000).IP().Fragment(w.Client, w.Server, 1000))
		one.Disconnect()
		if one.GRE(w.Client).Passed() || !two.Both() {
			t.Errorf("round %d: the wrong call ended", i)
		}
		c.Close()
		if two.GRE(w.Server).Passed() {
			t.Errorf("round %d: GRE passes without its connection", i)
		}
		w.Events()
	}
}

// playAmongOthers plays calls of the same pair of hosts as others do, with the
// same IDs.
func playAmongOthers(w *tracktest.World, port uint16, rounds int) {
	for i := range rounds {
		c := w.NewConn(w.Client, w.Server)
		c.Ends[0].Port = port + uint16(i)
		c.Handshake()
		c.Start(w.Client)
		for id := range uint16(4) {
			c.Say(w.Client, tracktest.OutRequest(id))
			c.Say(w.Server, tracktest.OutReply(id+uint16(i)&1, id, okOut))
			w.GRE(w.Client, w.Server, id)
			w.GRE(w.Server, w.Client, id)
		}
		c.Say(w.Server, tracktest.Disconnect(2))
		c.Close()
		w.Events()
	}
}
