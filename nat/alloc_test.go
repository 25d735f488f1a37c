package nat_test

import (
	"sync"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// TestNoAllocations translates every kind of frame in the steady state.
func TestNoAllocations(t *testing.T) {
	const warm, runs = 200, 200
	say := func(host int, message func(k *tracktest.Call) pptp.Message, order ...[2]int) func(b *box, k *tracktest.Call) [][]byte {
		return func(b *box, k *tracktest.Call) (batch [][]byte) {
			from := []*tracktest.Host{b.lan[0], b.wan[0]}[host]
			data := tracktest.Encode(message(k))
			at := k.Conn.End(from).Next
			for _, cut := range order {
				s := k.Conn.Segment(from, at+uint32(cut[0]), wire.ACK, data[cut[0]:cut[1]])
				batch = append(batch, s.Frame(from, k.Conn.To(from)))
			}
			k.Conn.End(from).Next += uint32(len(data))
			k.Conn.Peer(from).Got = k.Conn.End(from).Next
			return batch
		}
	}
	gre := func(host int, size int) func(b *box, k *tracktest.Call) [][]byte {
		return func(b *box, k *tracktest.Call) [][]byte {
			from := []*tracktest.Host{b.lan[0], b.wan[0]}[host]
			return k.Packet(from, 900).IP().Fragment(from, k.Conn.To(from), size)
		}
	}
	info := func(k *tracktest.Call) pptp.Message { return tracktest.LinkInfo(k.PNSAlias) }
	for name, kind := range map[string]struct {
		side  track.Side
		batch func(b *box, k *tracktest.Call) [][]byte
	}{
		"GRE from the LAN":       {track.LAN, gre(0, 1000)},
		"GRE from the WAN":       {track.WAN, gre(1, 1000)},
		"fragments from the WAN": {track.WAN, gre(1, 600)},
		"Set-Link-Info":          {track.WAN, say(1, info, [2]int{0, 24})},
		"cut within its ID":      {track.WAN, say(1, info, [2]int{0, 13}, [2]int{13, 24})},
		"the last part first":    {track.WAN, say(1, info, [2]int{14, 24}, [2]int{0, 14})},
		"Echo-Request":           {track.LAN, say(0, func(*tracktest.Call) pptp.Message { return tracktest.EchoRequest(1) }, [2]int{0, 16})},
		"for the box itself": {track.WAN, func(b *box, k *tracktest.Call) [][]byte {
			return [][]byte{tracktest.GRE{CallID: 99}.Frame(b.wan[0], b.alias)}
		}},
	} {
		for mode, change := range map[string]func(*nat.Options){"masquerade": masquerade, "call-id": byCallID} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				b := newBox(t, change)
				b.Dial(b.lan[1], b.wan[0]).OutCall(7, 30)
				k := b.Dial(b.lan[0], b.wan[0]).OutCall(7, 9)
				wantUp(t, k)
				var batches [][][]byte
				for range warm + runs + 1 {
					batches = append(batches, kind.batch(b, k))
				}
				play := allocPlayer(b, kind.side, batches)
				for range warm {
					play()
				}
				if allocs := testing.AllocsPerRun(runs, play); allocs != 0 {
					t.Errorf("%v allocations per batch", allocs)
				}
			})
		}
	}
}

// allocPlayer returns what plays the next batch.
func allocPlayer(b *box, side track.Side, batches [][][]byte) func() {
	lane := b.Lane(side)
	frames := make([]track.Frame, 8)
	next := 0
	return func() {
		for i, data := range batches[next] {
			frames[i] = track.Frame{Data: data}
		}
		b.names.Apply(lane.Process(frames[:len(batches[next])], b.Now), side)
		lane.Events()
		next++
	}
}

// TestConcurrent lets several goroutines play calls on one box that translates, by
// Lanes of their own, while others tick, save and look. All of them have the same
// IDs and the same peer.
func TestConcurrent(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 40
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, func(o *nat.Options) { mode(o); o.CallIDs, o.Pause, o.LastPort = 1<<15, 1, 60000 }, func(o *track.Options) {
				o.Limits = track.Limits{
					Connections: 2048, Calls: 2048, CallsPerConnection: 64, CallsPerHost: 2048, Expectations: 4096,
					Fragments: 512, HoldBytes: 4 << 20,
				}
			})
			var players sync.WaitGroup
			done := make(chan struct{})
			for n := range 3 {
				w := b.Join()
				players.Go(func() { playConcurrent(t, w, b.lan[n], w.Server, rounds) }) // a Host counts its packets
			}
			var watchers sync.WaitGroup
			watchers.Go(func() {
				for saved := new(track.Saved); ; {
					select {
					case <-done:
						return
					default:
					}
					b.Tracker.Save(saved, b.Now)
					b.Tracker.Tick(b.Now)
					b.names.Tick(b.Now + 2)
					b.Tracker.Calls()
					b.Tracker.Usage()
				}
			})
			players.Wait()
			close(done)
			watchers.Wait()
			b.checkEmpty(t)
		})
	}
}

func playConcurrent(t *testing.T, w *tracktest.World, client, server *tracktest.Host, rounds int) {
	for i := range rounds {
		c := w.Dial(client, server)
		one, two := c.OutCall(7, uint16(2*i)), c.InCall(8, uint16(2*i+1))
		if !one.Both() || !two.Both() {
			t.Errorf("round %d of %s: GRE of a live call does not pass", i, client.Addr)
		}
		data := tracktest.Encode(tracktest.LinkInfo(one.PNSAlias))
		at := c.End(server).Next
		c.At(server, at+13, data[13:])
		c.At(server, at, data[:13])
		w.Released = nil
		one.Disconnect()
		if one.GRE(client).Passed() || !two.Both() {
			t.Errorf("round %d of %s: the wrong call ended", i, client.Addr)
		}
		c.Close()
		w.Events()
	}
}
