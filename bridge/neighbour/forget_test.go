package neighbour

import (
	"fmt"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// pairZone is the n-th of the zones of two VLANs, which no other test uses.
func pairZone(t testing.TB, n int) wire.Zone {
	t.Helper()
	return zoneOf(t, fmt.Sprintf("%d.%d", 1000+n/4000, 1+n%4000))
}

// flood has a server wanted in as many VLANs, one a millisecond, some in one turn,
// and returns what was told of it.
func (l *labTable) flood(first, count int) (events []track.Event) {
	l.t.Helper()
	for n := range count {
		l.now = l.now.Add(time.Millisecond)
		l.Resolve(pairZone(l.t, first+n), addr("10.0.0.1"), l.now)
		if n%maxAsked == 0 {
			l.Tick(l.now)
		}
	}
	l.Tick(l.now)
	_, events = l.Take()
	return events
}

// TestFloodOfZones: what frames in any number of VLANs have the box look for
// takes no place from who answers, nor from what comes later, and the limit is
// told of, seldom.
func TestFloodOfZones(t *testing.T) {
	l := newTable(t)
	l.settle()
	inUse := zoneOf(t, "7.8")
	l.Resolve(inUse, addr("10.0.0.1"), l.now)
	l.Tick(l.now)
	l.say(track.LAN, reply(hostMAC, addr("10.0.0.1"), lanMAC, nobody, "\x88\xa8\x00\x07\x81\x00\x00\x08"))
	events := l.flood(0, maxServers+12_000)
	if len(events) != 2 { // after 4,095 and 14,095 ms
		t.Errorf("%d events, want 2: %v", len(events), events)
	}
	for _, e := range events {
		if e.Kind != track.EventLimitReached || e.Cause != "nat.forward" || len(e.Detail) == 0 {
			t.Errorf("told of %+v", e)
		}
	}
	if n := len(l.servers); n != len(l.looked) || n != maxServers+l.lasting {
		t.Errorf("%d servers, %d looked for, want %d", n, len(l.looked), maxServers+l.lasting)
	}
	l.expectMAC("in use", inUse, hostMAC)
	l.expectMAC("configured", 0, MAC{2, 0, 0, 0, 2, 0})
	later := zoneOf(t, "9")
	l.Resolve(later, addr("10.0.0.1"), l.now)
	l.Tick(l.now)
	l.say(track.LAN, reply(hostMAC, addr("10.0.0.1"), lanMAC, nobody, "\x81\x00\x00\x09"))
	l.expectMAC("wanted after the flood", later, hostMAC)
}

// TestForgotten: where no frame wants a server any more it is not looked for any
// more, whether it answers there or not; but for where the configuration has it.
func TestForgotten(t *testing.T) {
	l := newTable(t)
	l.settle()
	l.flood(0, 100)
	answers := func(vid byte) {
		l.say(track.LAN, reply(hostMAC, addr("10.0.0.1"), lanMAC, nobody, string([]byte{0x81, 0, 0, vid})))
	}
	for _, vid := range []byte{50, 51, 52} {
		l.Resolve(wire.Zone(vid)<<48, addr("10.0.0.1"), l.now)
		answers(vid)
	}
	asked := asks(hostMAC, addr("203.0.113.9"), "203.0.113.8", "\x81\x00\x00\x35")
	for range 40 {
		l.run(time.Minute)
		for _, vid := range []byte{50, 51, 52} {
			answers(vid)
		}
		l.expectMAC("in use by workers", 50<<48, hostMAC)
		l.Resolve(51<<48, addr("10.0.0.1"), l.now)
		l.say(track.WAN, asked)
	}
	l.expectMAC("answers, and nobody wants it", 52<<48, MAC{})
	if n, want := len(l.servers), 2+2+2; n != want || n != len(l.looked) {
		t.Errorf("%d servers, %d looked for, want %d: the configured, VLAN 50, 51, and both of 53", n, len(l.looked), want)
	}
}
