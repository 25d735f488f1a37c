package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// attack is one that is made beside an innocent call: prepare returns what
// strikes.
type attack struct {
	name    string
	tables  string // of the configuration
	figure  bool   // only made when -attacks says how long: another one proves the same
	prepare func(l *attackLab) (strike func() error)
}

const masquerading = "[nat]\nmode = \"masquerade\"\naddress = \"" + masqueraded + "\"\n"

var attacks = []attack{
	{"64 stops end 64,000 calls", "", true, func(l *attackLab) func() error { return endCalls(l, wire.ACK|wire.PSH, tracktest.StopRequest()) }},
	{"64 resets end 64,000 calls", "", false, func(l *attackLab) func() error { return endCalls(l, wire.RST|wire.ACK) }},
	{"the same, masqueraded", masquerading, false, func(l *attackLab) func() error { return endCalls(l, wire.RST|wire.ACK) }},
	{"messages, 50 Mbit/s", "", true, func(l *attackLab) func() error { return smallMessages(l, 4_200, 0) }},
	{"messages, 210 Mbit/s", "", false, func(l *attackLab) func() error { return smallMessages(l, 17_500, 0) }},
	{"messages, 1 Gbit/s", "", true, func(l *attackLab) func() error { return smallMessages(l, 81_000, 0) }},
	{"split messages, 50 Mbit/s", "", true, func(l *attackLab) func() error { return smallMessages(l, 4_200, 8) }},
	{"split messages, 210 Mbit/s", "", false, func(l *attackLab) func() error { return smallMessages(l, 17_500, 8) }},
	{"split messages, 1 Gbit/s", "", true, func(l *attackLab) func() error { return smallMessages(l, 81_000, 8) }},
	{"one octet again, 30 Mbit/s", masquerading, false, octetAgain},
	{"tiny first fragments", "", false, tinyFragments},
}

// endCalls has 64 connections end all their calls at once.
func endCalls(l *attackLab, flags uint8, messages ...pptp.Message) func() error {
	connections, calls := 64, 1000
	if l.alias != nil {
		connections = 60 // hosts have at most 1,024 call IDs each
	}
	dialogs := l.accomplices(connections)
	l.agreeCalls(dialogs, calls)
	var stats boxStats
	if l.get("/stats", &stats); stats.Limits["calls"].Used != connections*calls+1 {
		l.t.Fatalf("%d calls are agreed, want %d", stats.Limits["calls"].Used, connections*calls+1)
	}
	return func() error { return l.say(dialogs, track.LAN, flags, messages...) }
}

// smallMessages sends segments full of messages of 16 octets about no call, on
// 64 connections that have asked for 60 calls each. They begin so many octets
// within a message.
func smallMessages(l *attackLab, rate, within int) func() error {
	dialogs := l.accomplices(64)
	for id := uint16(0); id < 60; id += 6 {
		var requests []pptp.Message
		for k := range uint16(6) {
			requests = append(requests, tracktest.OutRequest(id+k))
		}
		l.sayTogether(dialogs, track.LAN, requests)
	}
	message := tracktest.Encode(tracktest.ClearRequest(999))
	many := bytes.Repeat(message, 90)
	data := append(many[within:len(many):len(many)], many[:within]...)
	a, i := l.attackers[track.LAN], 0
	return func() error {
		for _, d := range dialogs {
			if within == 0 {
				break
			}
			if err := a.shoot(d.data(track.LAN, message[:within])); err != nil {
				return err
			}
		}
		return a.paced(rate, func() []byte {
			i++
			return dialogs[i%len(dialogs)].data(track.LAN, data)
		})
	}
}

// octetAgain sends the last octet of 4,000 messages again and again that nobody
// has acknowledged.
func octetAgain(l *attackLab) func() error {
	d := l.accomplices(1)[0]
	message := tracktest.Encode(tracktest.EchoRequest(1))
	a := l.attackers[track.LAN]
	for range 4000 / 80 {
		if err := a.shoot(d.data(track.LAN, bytes.Repeat(message, 80))); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := a.drain(); err != nil {
		l.t.Fatal(err)
	}
	d.next[track.LAN]--
	again := d.data(track.LAN, message[15:])
	return func() error { return a.paced(62_500, func() []byte { return bytes.Clone(again) }) }
}

// tinyFragments has one call send so many first fragments as the box follows,
// whose others never come, and then looks whether fragments of the innocent
// call still pass.
func tinyFragments(l *attackLab) func() error {
	d := l.accomplices(1)[0]
	l.agreeCalls([]*dialog{d}, 1)
	frames := make([][]byte, 3000)
	for i := range frames {
		g := tracktest.GRE{CallID: 0, HasSeq: true, Payload: make([]byte, 20)}.IP()
		frames[i] = g.Piece(d.ends[track.LAN], d.ends[track.WAN], 0, 16, true)
	}
	if _, err := l.crossed(frames); err != nil {
		l.t.Fatal(err)
	}
	return func() error { return innocentFragments(l) }
}

// innocentFragments sends datagrams of the innocent call in fragments.
func innocentFragments(l *attackLab) error {
	client, server := tracktest.NewHost(track.LAN, bridgetest.ClientAddr(0)), tracktest.NewHost(track.WAN, bridgetest.ServerAddr)
	const datagrams = 500
	var frames [][]byte
	for range datagrams {
		g := tracktest.GRE{CallID: agreedID, HasSeq: true, Payload: make([]byte, 1000)}.IP()
		frames = append(frames, g.Fragment(client, server, 504)...)
	}
	counted, err := l.crossed(frames)
	if err != nil {
		return err
	}
	dropped := counted[track.ReasonFragmentLimit.String()]
	l.t.Logf("of %d datagrams of the innocent call in three fragments, %d fragments dropped for the limit", datagrams, dropped)
	if dropped > 0 {
		l.t.Errorf("%d fragments of the innocent call dropped because another call had taken the table", dropped)
	}
	return nil
}

// crossed sends frames from the LAN, fewer than the box's socket has room for,
// and returns what the box counted when it had decided about as many.
func (l *attackLab) crossed(frames [][]byte) (map[string]uint64, error) {
	a := l.attackers[track.LAN]
	var before, after boxStats
	l.get("/stats", &before)
	for frames := range slices.Chunk(frames, bridge.BatchSize) {
		for _, frame := range frames {
			a.batch = append(a.batch, &track.Frame{Data: frame})
		}
		if err := a.flush(); err != nil {
			return nil, err
		}
	}
	l.until(func() error {
		l.get("/stats", &after)
		if n := after.Sides["lan"].Frames - before.Sides["lan"].Frames; n < uint64(len(frames)) {
			return fmt.Errorf("the box has decided about %d of %d frames", n, len(frames))
		}
		return nil
	})
	counted := after.Sides["lan"].Reasons
	for reason, n := range before.Sides["lan"].Reasons {
		counted[reason] -= n
	}
	return counted, nil
}
