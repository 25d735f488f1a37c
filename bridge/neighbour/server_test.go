package neighbour

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

var serverMAC = MAC{2, 0, 0, 0, 2, 0}

// newServer is a Table with one server, and the LAN up.
func newServer(t testing.TB) *labTable {
	l := tableOf(t, nil, Forward{addr("203.0.113.8"), addr("10.0.0.1")})
	l.Up(track.LAN, lanMAC, l.now)
	return l
}

func (l *labTable) expectMAC(what string, zone wire.Zone, want MAC) {
	l.t.Helper()
	if got, ok := l.MAC(zone, addr("10.0.0.1")); got != want || ok != (want != MAC{}) {
		l.t.Errorf("%s: %v, %v", what, got, ok)
	}
}

const (
	search = "lan: probes for 10.0.0.1"
	verify = "lan: probes for 10.0.0.1 at 02:00:00:00:02:00"
)

// TestSearch: a server that does not answer is asked for less and less often.
func TestSearch(t *testing.T) {
	l := newServer(t)
	var waits []string
	last := start
	for range 12 {
		next, _ := l.Next()
		sent := l.run(next.Sub(l.now))
		l.expect("search", without(sent), search)
		waits = append(waits, l.now.Sub(last).Round(time.Second).String())
		last = l.now
	}
	l.expect("pauses", waits[1:], "1s", "2s", "4s", "8s", "16s", "32s", "1m4s", "2m8s", "4m16s", "5m0s", "5m0s")
	l.expectMAC("nobody answers", 0, MAC{})
	l.Resolve(0, addr("10.0.0.1"), l.now)
	l.expect("asked for right after a probe", without(l.run(time.Second)), search)
	l.Resolve(0, addr("10.0.0.9"), l.now)
	l.Resolve(1<<16, addr("10.0.0.1"), l.now) // within PPPoE
	if len(l.servers) != 1 {
		t.Errorf("looks for %d servers", len(l.servers))
	}
}

// TestFound: one that answers is asked now and then, it alone; and everybody
// again once it does not answer any more. Where it was holds until then.
func TestFound(t *testing.T) {
	l := newServer(t)
	l.run(time.Second)
	l.expect("the answer", l.say(track.LAN, reply(serverMAC, addr("10.0.0.1"), lanMAC, nobody, "")))
	l.expectMAC("found", 0, serverMAC)
	l.expect("for a minute", l.run(59*time.Second))
	l.expect("then", without(l.run(time.Second)), verify)
	l.say(track.LAN, reply(serverMAC, addr("10.0.0.1"), lanMAC, nobody, ""))
	l.Resolve(0, addr("10.0.0.1"), l.now)
	l.expect("as asked", without(l.run(time.Second)), verify)
	l.expect("no answer", without(l.run(30*time.Second)), verify, verify, search, search)
	l.expectMAC("no answer", 0, serverMAC)
	l.say(track.LAN, asks(MAC{2, 0, 0, 0, 2, 7}, addr("10.0.0.1"), "10.0.0.9", ""))
	l.expectMAC("heard elsewhere", 0, MAC{2, 0, 0, 0, 2, 7})
	l.say(track.WAN, asks(MAC{2, 0, 0, 0, 2, 9}, addr("10.0.0.1"), "10.0.0.9", ""))
	l.expectMAC("heard on the WAN", 0, MAC{2, 0, 0, 0, 2, 7})
	l.Up(track.LAN, lanMAC, l.now)
	l.expect("the NIC comes up", without(l.run(time.Second)), "lan: probes for 10.0.0.1 at 02:00:00:00:02:07")
	l.expectMAC("the NIC comes up", 0, MAC{2, 0, 0, 0, 2, 7})
	l.Down(track.LAN)
	l.expect("down", l.run(time.Hour))
}

// TestServerProbes: while a server tries its address, nobody else asks for it.
func TestServerProbes(t *testing.T) {
	l := newServer(t)
	l.run(3 * time.Second)
	l.expect("its probe", l.say(track.LAN, asks(serverMAC, nobody, "10.0.0.1", "")))
	l.Resolve(0, addr("10.0.0.1"), l.now)
	l.Up(track.LAN, lanMAC, l.now)
	l.expect("quiet", l.run(9*time.Second))
	l.say(track.LAN, asks(serverMAC, addr("10.0.0.1"), "10.0.0.1", "")) // it announces itself
	l.expectMAC("announced", 0, serverMAC)
	l.expect("for a minute", l.run(59*time.Second))
}

// TestServersInZones: a server is looked for where its address is asked for, and
// where Resolve says; what is known of one zone says nothing of another.
func TestServersInZones(t *testing.T) {
	l := newTable(t)
	l.settle()
	l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.8", "\x88\xa8\x00\x64"))
	l.expect("asked for", without(l.run(0)), "lan: probes for 10.0.0.1[100]", "lan: probes for 10.0.0.2[100]")
	l.say(track.LAN, reply(hostMAC, addr("10.0.0.1"), lanMAC, nobody, "\x81\x00\x00\x64"))
	l.expectMAC("in the zone", 100<<48, hostMAC)
	l.expectMAC("outside", 0, serverMAC)
	zone := zoneOf(t, "7.8")
	l.expectMAC("nobody asked", zone, MAC{})
	l.Resolve(zone, addr("10.0.0.1"), l.now)
	l.expect("Resolve", without(l.run(0)), "lan: probes for 10.0.0.1[7.8]")
	l.say(track.LAN, reply(hostMAC, addr("10.0.0.1"), lanMAC, nobody, "\x88\xa8\x00\x07\x81\x00\x00\x08"))
	l.expectMAC("Resolve", zone, hostMAC)
	l.Up(track.WAN, wanMAC, l.now)
	sent := without(l.run(time.Minute))
	for _, want := range []string{"wan: probes for 203.0.113.8", "wan: announces 203.0.113.8[100]", "wan: announces 203.0.113.7"} {
		if !slices.Contains(sent, want) {
			t.Errorf("no %q when the NIC comes up", want)
		}
	}
	if slices.Contains(sent, "wan: announces 203.0.113.7[100]") {
		t.Error("announced where nobody asked for it")
	}
}

// TestManyZones: strangers cannot have the box look for more than it may.
func TestManyZones(t *testing.T) {
	var forwards []Forward
	for i := range 1024 {
		forwards = append(forwards, Forward{addr("203.0.113.8"), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	l := tableOf(t, nil, forwards...)
	l.Up(track.WAN, wanMAC, l.now)
	l.Up(track.LAN, lanMAC, l.now)
	for vid := range 200 {
		l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.8", string([]byte{0x81, 0, 1, byte(vid)})))
		l.Resolve(wire.Zone(vid+1)<<48, addr("10.0.0.9"), l.now)
	}
	if len(l.servers) != len(forwards)+maxServers || len(l.looked) != len(l.servers) {
		t.Errorf("%d servers are looked for, %d in order", len(l.servers), len(l.looked))
	}
}

// TestMACWhileLearning: workers ask while the table learns, and without
// allocating.
func TestMACWhileLearning(t *testing.T) {
	l := newServer(t)
	var workers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		workers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if mac, ok := l.MAC(0, addr("10.0.0.1")); ok && mac[0] != 2 {
					t.Errorf("%v", mac)
				}
				l.NIC(track.WAN)
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 2000 {
		l.say(track.LAN, reply(MAC{2, byte(i), byte(r.Uint32())}, addr("10.0.0.1"), lanMAC, nobody, ""))
		l.Resolve(wire.Zone(i%50+1)<<48, addr("10.0.0.1"), l.now)
	}
	close(done)
	workers.Wait()
	server := addr("10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { l.MAC(0, server); l.MAC(5, server) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBackoffEnds(t *testing.T) {
	timing := DefaultTiming()
	var waits []string
	for _, n := range []int{0, 1, 2, 9, 10, 1 << 30} {
		waits = append(waits, fmt.Sprint(timing.backoff(n)))
	}
	if got := strings.Join(waits, " "); got != "1s 1s 2s 4m16s 5m0s 5m0s" {
		t.Error(got)
	}
}

func zoneOf(t testing.TB, text string) (zone wire.Zone) {
	t.Helper()
	if err := zone.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return zone
}
