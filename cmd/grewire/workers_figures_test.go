package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// TestLabWorkersFigures measures what a box carries with one worker and with two
// in each direction, of GRE of many calls at more than it carries, one way and both
// ways at once: in turn, round by round.
func TestLabWorkersFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	round, rounds := shortFigure, 1
	if *measured > 0 {
		round, rounds = *measured/figureRounds, figureRounds
	}
	var labs [2]*crowdLab
	for i := range labs {
		labs[i] = newCrowdLab(t, fmt.Sprintf("workers = %d\n", i+1))
		labs[i].open()
		labs[i].setUp()
		labs[i].leave()
	}
	rates := make(map[string][]float64)
	for range rounds {
		for i, l := range labs {
			for name, from := range map[string][]track.Side{"one way": {track.LAN}, "both ways": {track.LAN, track.WAN}} {
				row := fmt.Sprintf("%s, workers = %d", name, i+1)
				rates[row] = append(rates[row], l.flood(round, from...))
			}
		}
	}
	for row, all := range rates {
		slices.Sort(all)
		t.Logf("%s: %.0f thousand frames a second (%.0f to %.0f)", row, all[len(all)/2]/1e3, all[0]/1e3, all[len(all)-1]/1e3)
		if all[0] == 0 {
			t.Errorf("%s: nothing was carried", row)
		}
	}
	for _, l := range labs {
		l.stop()
	}
}

// flood sends GRE of all calls from the given sides as fast as can be and returns
// how many frames a second arrive, at all ends together.
func (l *crowdLab) flood(lasting time.Duration, from ...track.Side) (rate float64) {
	l.t.Helper()
	var senders errgroup.Group
	before, start := l.arrived(from), time.Now()
	for _, side := range from {
		senders.Go(func() error { return l.send(side, start.Add(lasting)) })
	}
	if err := senders.Wait(); err != nil {
		l.t.Fatal(err)
	}
	return float64(l.arrived(from)-before) / time.Since(start).Seconds()
}

// send sends batches of GRE of all calls from a side until a time.
func (l *crowdLab) send(side track.Side, until time.Time) error {
	var port *afpacket.Port
	err := l.host(side).Do(func() (err error) {
		port, err = afpacket.Open(bridgetest.HostNIC, afpacket.Options{QdiscBypass: true, Backend: afpacket.MMsg, ReceiveBuffer: 1})
		return err
	})
	if err != nil {
		return err
	}
	defer port.Close()
	batch := make([]*track.Frame, bridge.BatchSize)
	for i := range batch {
		ends := l.calls[i%crowd].Conn.Ends
		batch[i] = &track.Frame{Data: l.calls[i%crowd].Packet(ends[side].Host, 20).Frame(ends[side].Host, ends[1-side].Host)}
	}
	for time.Now().Before(until) {
		for _, f := range batch {
			f.Verdict = track.Forward // after one that was refused, too
		}
		if err := port.Send(batch); err != nil {
			return err
		}
	}
	return nil
}

func (l *crowdLab) host(side track.Side) *bridgetest.Namespace {
	return [...]*bridgetest.Namespace{track.LAN: l.top.Client, track.WAN: l.top.Server}[side]
}

// arrived is how many frames have arrived of those from some sides.
func (l *crowdLab) arrived(from []track.Side) (frames uint64) {
	l.t.Helper()
	for _, side := range from {
		nic, err := l.host(side.Other()).Netlink().LinkByName(bridgetest.HostNIC)
		if err != nil {
			l.t.Fatal(err)
		}
		frames += nic.Attrs().Statistics.RxPackets
	}
	return frames
}
