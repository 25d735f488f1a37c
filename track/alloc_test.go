package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// steady is a kind of traffic in the steady state: batches of one side, each
// played once.
type steady struct {
	side    track.Side
	batches func(w *tracktest.World, k *tracktest.Call, n int) [][][]byte
}

// each makes batches of one frame.
func each(frame func(w *tracktest.World, k *tracktest.Call, i int) []byte) func(*tracktest.World, *tracktest.Call, int) [][][]byte {
	return func(w *tracktest.World, k *tracktest.Call, n int) [][][]byte {
		var batches [][][]byte
		for i := range n {
			batches = append(batches, [][]byte{frame(w, k, i)})
		}
		return batches
	}
}

// segments makes segments with one message each, or with its two parts in turn.
func segments(from func(*tracktest.World) *tracktest.Host, message pptp.Message, cut int) func(*tracktest.World, *tracktest.Call, int) [][][]byte {
	return func(w *tracktest.World, k *tracktest.Call, n int) [][][]byte {
		var batches [][][]byte
		data := tracktest.Encode(message)
		for i := range n {
			part := data
			if cut > 0 {
				part = [][]byte{data[:cut], data[cut:]}[i%2]
			}
			s := k.Conn.Segment(from(w), k.Conn.End(from(w)).Next, wire.ACK, part)
			k.Conn.End(from(w)).Next += uint32(len(part))
			batches = append(batches, [][]byte{s.Frame(from(w), k.Conn.Peer(from(w)).Host)})
		}
		return batches
	}
}

func client(w *tracktest.World) *tracktest.Host { return w.Client }

// fragmented makes a datagram per batch; order says which fragment comes when.
func fragmented(id uint16, order ...int) func(*tracktest.World, *tracktest.Call, int) [][][]byte {
	return func(w *tracktest.World, k *tracktest.Call, n int) [][][]byte {
		var batches [][][]byte
		for range n {
			g := k.Packet(w.Client, 2000)
			g.CallID = id
			frames := g.IP().Fragment(w.Client, w.Server, 1000)
			var batch [][]byte
			for _, at := range order {
				batch = append(batch, frames[at])
			}
			batches = append(batches, batch)
		}
		return batches
	}
}

func otherFrame(name string) func(*tracktest.World, *tracktest.Call, int) [][][]byte {
	return each(func(w *tracktest.World, _ *tracktest.Call, _ int) []byte { return otherFrames(w)[name] })
}

var steadyKinds = map[string]steady{
	"GRE of a call": {track.LAN, each(func(w *tracktest.World, k *tracktest.Call, _ int) []byte {
		return k.Packet(w.Client, 100).Frame(w.Client, w.Server)
	})},
	"GRE not negotiated": {track.LAN, each(func(w *tracktest.World, _ *tracktest.Call, i int) []byte {
		return tracktest.GRE{CallID: uint16(1000 + i)}.Frame(w.Client, w.Server)
	})},
	"GRE from the wrong side": {track.WAN, each(func(w *tracktest.World, _ *tracktest.Call, _ int) []byte {
		return tracktest.GRE{CallID: 9}.Frame(w.Client, w.Server)
	})},
	"GRE with faults": {track.LAN, each(func(w *tracktest.World, k *tracktest.Call, _ int) []byte {
		return tracktest.GREFrame(w.Client, w.Server, poke(k.Packet(w.Client, 20).Bytes(), 4, 99))
	})},
	"GRE version 0": {track.LAN, each(func(w *tracktest.World, _ *tracktest.Call, _ int) []byte {
		return tracktest.GREFrame(w.Client, w.Server, []byte{0, 0, 8, 0, 1, 2, 3, 4})
	})},
	"GRE malformed": {track.LAN, each(func(w *tracktest.World, _ *tracktest.Call, _ int) []byte {
		return tracktest.GREFrame(w.Client, w.Server, []byte{0x30, 1})
	})},
	"Echo-Request":          {track.LAN, segments(client, tracktest.EchoRequest(1), 0)},
	"Set-Link-Info":         {track.LAN, segments(client, tracktest.LinkInfo(9), 0)},
	"message of two halves": {track.LAN, segments(client, tracktest.LinkInfo(9), 13)},
	"acknowledgment": {track.LAN, each(func(w *tracktest.World, k *tracktest.Call, _ int) []byte {
		return k.Conn.Segment(w.Client, k.Conn.End(w.Client).Next, wire.ACK, nil).Frame(w.Client, w.Server)
	})},
	"segment out of window": {track.LAN, each(func(w *tracktest.World, k *tracktest.Call, _ int) []byte {
		return k.Conn.Segment(w.Client, k.Conn.End(w.Client).Next+1<<30, wire.ACK, nil).Frame(w.Client, w.Server)
	})},
	"SYN to a server, half open": {track.LAN, each(func(w *tracktest.World, _ *tracktest.Call, i int) []byte {
		return tracktest.TCP{SrcPort: 77, DstPort: pptp.Port, Seq: uint32(i), Flags: wire.SYN}.Frame(w.Client, w.Server)
	})},
	"SYN beyond the limit": {track.LAN, each(func(w *tracktest.World, _ *tracktest.Call, i int) []byte {
		return tracktest.TCP{SrcPort: uint16(i), DstPort: pptp.Port, Flags: wire.SYN}.Frame(w.Client, w.Server)
	})},
	"fragments in order":               {track.LAN, fragmented(9, 0, 1, 2)},
	"fragments before the first":       {track.LAN, fragmented(9, 2, 1, 0)},
	"fragments of GRE of no call":      {track.LAN, fragmented(10, 0, 1, 2)},
	"fragments of no call, first last": {track.LAN, fragmented(10, 1, 2, 0)},
	"fragments without a first":        {track.LAN, fragmented(9, 1)},
	"UDP":                              {track.LAN, otherFrame("UDP")}, "other TCP": {track.LAN, otherFrame("other TCP")},
	"ARP": {track.LAN, otherFrame("ARP")}, "LLDP": {track.LAN, otherFrame("LLDP")},
	"one octet": {track.LAN, otherFrame("one octet")},
}

// TestNoAllocations plays every kind of frame in the steady state.
func TestNoAllocations(t *testing.T) {
	const warm, runs = 200, 200
	for name, kind := range steadyKinds {
		t.Run(name, func(t *testing.T) {
			w, k := agreed(t, false)
			k.Both()
			lane := w.Lane(kind.side)
			batches := kind.batches(w, k, warm+runs+1)
			frames := make([]track.Frame, 8)
			next := 0
			play := func() {
				for i, data := range batches[next] {
					frames[i] = track.Frame{Data: data}
				}
				lane.Process(frames[:len(batches[next])], w.Now)
				lane.Events()
				next++
			}
			for range warm {
				play()
			}
			if allocs := testing.AllocsPerRun(runs, play); allocs != 0 {
				t.Errorf("%v allocations per batch", allocs)
			}
		})
	}
}

// TestIdleTickAllocatesNothing has calls, none of which is over.
func TestIdleTickAllocatesNothing(t *testing.T) {
	w, _ := agreed(t, false)
	w.Advance(1e9)
	allocs := testing.AllocsPerRun(100, func() {
		w.Now = w.Now.Add(1e8)
		w.Tracker.Tick(w.Now)
	})
	if allocs != 0 {
		t.Errorf("%v allocations per Tick", allocs)
	}
}

// TestKeyEntryFillsItsLines: with its key of 48 octets, an entry has two cache lines to itself. One octet more would cost a third.
func TestKeyEntryFillsItsLines(t *testing.T) {
	if track.KeyEntrySize != 128-48 {
		t.Errorf("a key map entry's value has %d octets, want 80", track.KeyEntrySize)
	}
}
