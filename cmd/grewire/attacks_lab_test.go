package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// How long attacks last, and which program they are made on:
//
//	go test ./cmd/grewire -run TestLabAttacks -v -args -attacks 3s [-attacked PROGRAM]
var (
	attacksFor = flag.Duration("attacks", 0, "how long each attack of TestLabAttacks lasts; 0: a few short ones")
	attacked   = flag.String("attacked", "", "the program that TestLabAttacks runs as the box; empty: this one")
)

// attackTime is how long an attack lasts.
func attackTime() time.Duration { return cmp.Or(*attacksFor, 400*time.Millisecond) }

// probeRate is how many frames a second the innocent call has.
const probeRate = 10_000

// uninvited is the call ID of GRE that was never negotiated. It is sent all the
// time, and must not arrive.
const uninvited = 4242

// masqueraded is the box's address on the WAN side where it masquerades.
const masqueraded = "10.77.0.200"

// TestLabAttacks makes attacks that once held up others, beside the GRE of an
// innocent call, with fail = "open": a box that answers too slowly would let
// pass what is not agreed. It logs what became of the innocent call's frames.
func TestLabAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("loads sockets")
	}
	for _, a := range attacks {
		if a.figure && *attacksFor == 0 {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			l := startAttack(t, a.tables)
			strike := a.prepare(l)
			quiet := l.measure(func() error { return nil })
			under := l.measure(strike)
			l.logDrops()
			t.Logf("%-28s | %s | %s | uninvited GRE across: %d", a.name, quiet, under, l.passed())
			if l.passed() != 0 {
				t.Errorf("%d packets of GRE that was never negotiated have passed", l.passed())
			}
			if len(under.sorted) == 0 {
				t.Error("no frame of the innocent call has arrived")
			}
			l.stop()
		})
	}
}

// attackLab is a floodLab whose live call is scripted: only its GRE is real
// traffic.
type attackLab struct {
	*floodLab
	tap    *bridgetest.GRETap
	inject *bridgetest.Injector
	alias  *tracktest.Host // of all LAN hosts, where the box masquerades
}

func startAttack(t *testing.T, tables string) *attackLab {
	t.Helper()
	b := newLabBox(t, bridgetest.InlineOption{Clients: attackHost + 1}, "fail = \"open\"\n")
	if *attacked != "" {
		b.binary = *attacked
	}
	b.configure(tables)
	b.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+attackTime())
	t.Cleanup(cancel)
	l := &attackLab{floodLab: &floodLab{labBox: b, ctx: ctx, client: status.Client{Socket: b.socket}}}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l.attackers[track.LAN] = l.attack(track.LAN, b.top.Clients[attackHost], b.top.Server, seed)
	l.attackers[track.WAN] = l.attack(track.WAN, b.top.Server, b.top.Clients[0], seed)
	if tables != "" {
		l.alias = tracktest.NewHost(track.WAN, masqueraded)
		copy(l.alias.MAC[:], b.top.Box.HardwareAddr(bridgetest.WANNIC))
	}
	l.taps = nil
	var err error
	if l.tap, err = b.top.Server.TapGRE(bridgetest.HostNIC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.tap.Close() })
	if l.inject, err = b.top.Clients[attackHost].Injector(bridgetest.HostNIC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.inject.Close() })
	l.agreeInnocent()
	return l
}

// agreeInnocent agrees the call that the probe's frames are of.
func (l *attackLab) agreeInnocent() {
	l.t.Helper()
	d := &dialog{alias: l.alias, ports: [2]uint16{40000, pptp.Port}, next: [2]uint32{1000, 2000}}
	d.ends[track.LAN] = tracktest.NewHost(track.LAN, bridgetest.ClientAddr(0))
	d.ends[track.WAN] = tracktest.NewHost(track.WAN, bridgetest.ServerAddr)
	if err := l.floodLab.agree([]*dialog{d}, 1); err != nil {
		l.t.Fatal(err)
	}
	var calls []track.Call
	if l.get("/calls", &calls); len(calls) != 1 || calls[0].PAC.CallID != agreedID {
		l.t.Fatalf("calls %+v, want the innocent one, with PAC's call ID %d", calls, agreedID)
	}
}

// measure sends the innocent call's frames, has somebody strike a little later,
// and tells what became of the frames.
func (l *attackLab) measure(strike func() error) *delays {
	l.t.Helper()
	cpus := allowedCPUs(l.t)
	lasting := attackTime() + 400*time.Millisecond
	ctx, cancel := context.WithTimeout(l.ctx, lasting)
	defer cancel()
	var group errgroup.Group
	var d *delays
	group.Go(func() (err error) {
		d, err = probeDelay(l.top, agreedID, probeRate, cpus[len(cpus)-1], lasting)
		return err
	})
	group.Go(func() error { return l.sendUninvited(ctx) })
	group.Go(func() error {
		<-time.After(200 * time.Millisecond) // the probe's first frames are on their way
		return strike()
	})
	if err := group.Wait(); err != nil {
		l.t.Fatalf("%v\nthe box said: %s", err, l.said())
	}
	return d
}

// sendUninvited sends GRE that nobody has negotiated until ctx ends.
func (l *attackLab) sendUninvited(ctx context.Context) error {
	me := l.attackers[track.LAN].me
	frame := tracktest.GRE{CallID: uninvited, HasSeq: true, Payload: make([]byte, 20)}.IP().Frame(me, l.attackers[track.LAN].victim)
	every := time.NewTicker(500 * time.Microsecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			if err := l.inject.Send(frame); err != nil {
				return err
			}
		}
	}
}

// passed is how much GRE that was never negotiated has arrived.
func (l *attackLab) passed() (n uint64) {
	l.t.Helper()
	flows, err := l.tap.Flows()
	if err != nil {
		l.t.Fatal(err)
	}
	for flow, count := range flows {
		if !flow.Sent && flow.CallID == uninvited {
			n += count
		}
	}
	return n
}

// String has what matters of an attack.
func (d *delays) String() string {
	return fmt.Sprintf("%5d sent, %4d lost (%.1f %%), p50 %v, p99 %v, max %v", d.sent, d.lost,
		100*float64(d.lost)/float64(max(d.sent, 1)), d.at(0.5).Round(time.Microsecond), d.at(0.99).Round(time.Microsecond), d.at(1).Round(time.Microsecond))
}

// paced sends frames at a rate for as long as attacks last, in bursts of what is
// due.
func (a *attacker) paced(rate int, frame func() []byte) error {
	began, sent := time.Now(), 0
	for {
		since := time.Since(began)
		if since >= attackTime() {
			break
		}
		for due := int(float64(rate) * since.Seconds()); sent < due; sent++ {
			a.batch = append(a.batch, &track.Frame{Data: frame()})
			if len(a.batch) == bridge.BatchSize {
				if err := a.flush(); err != nil {
					return err
				}
			}
		}
		if err := a.flush(); err != nil {
			return err
		}
		<-time.After(200 * time.Microsecond)
	}
	a.lab.t.Logf("the attack: %d frames, %.0f a second of %d", sent, float64(sent)/time.Since(began).Seconds(), rate)
	return nil
}

// accomplices returns n connections between strangers on both sides, started.
func (l *attackLab) accomplices(n int) []*dialog {
	l.t.Helper()
	dialogs := make([]*dialog, n)
	for i := range dialogs {
		d := l.attackers[track.LAN].dialog(l.attackers[track.WAN].stranger())
		d.alias, d.scaled = l.alias, true
		if l.alias != nil {
			d.ports[track.LAN] = uint16(42000 + i)
		}
		d.ends[track.LAN].Addr = netip.AddrFrom4([4]byte{100, 64, 7, byte(1 + i)})
		dialogs[i] = d
	}
	if err := l.floodLab.agree(dialogs, 0); err != nil {
		l.t.Fatal(err)
	}
	return dialogs
}

// agreeCalls agrees so many calls on each connection.
func (l *attackLab) agreeCalls(dialogs []*dialog, calls int) {
	l.t.Helper()
	const together = 8 // messages in a segment
	for id := 0; id < calls; id += together {
		var requests, replies []pptp.Message
		for k := id; k < min(id+together, calls); k++ {
			requests = append(requests, tracktest.OutRequest(uint16(k)))
			replies = append(replies, tracktest.OutReply(uint16(k), uint16(k), pptp.OutCallResultConnected))
		}
		l.sayTogether(dialogs, track.LAN, requests)
		l.sayTogether(dialogs, track.WAN, replies)
	}
}

// sayTogether sends messages in one segment on each connection, and waits.
func (l *attackLab) sayTogether(dialogs []*dialog, from track.Side, messages []pptp.Message) {
	l.t.Helper()
	a := l.attackers[from]
	for _, d := range dialogs {
		if err := a.shoot(d.segment(from, wire.ACK|wire.PSH, messages...)); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := a.drain(); err != nil {
		l.t.Fatal(err)
	}
}

// logDrops tells where frames were lost before the box could see them, and
// behind it.
func (l *attackLab) logDrops() {
	l.t.Helper()
	var stats boxStats
	l.get("/stats", &stats)
	veths, err := l.top.Lab.Dropped()
	if err != nil {
		l.t.Fatal(err)
	}
	lan, wan := stats.Ports["lan"], stats.Ports["wan"]
	l.t.Logf("dropped: %d by veths, %d at the box's LAN socket, %d at its WAN socket; received on the LAN %d, sent on the WAN %d",
		veths, lan.KernelDrops, wan.KernelDrops, lan.Received, wan.Sent)
}
