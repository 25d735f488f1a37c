package neighbour

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"pgregory.net/rapid"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// labTable is a Table and its time.
type labTable struct {
	*Table
	t   testing.TB
	now track.Time
}

const start = track.Time(1_000_000_000_000)

// newTable is a Table with two addresses, the second forwarded to two servers,
// both NICs up.
func newTable(t testing.TB) *labTable {
	l := tableOf(t, []string{"203.0.113.7"}, Forward{addr("203.0.113.8"), addr("10.0.0.1")}, Forward{addr("203.0.113.8"), addr("10.0.0.2")})
	l.Up(track.WAN, wanMAC, l.now)
	l.Up(track.LAN, lanMAC, l.now)
	return l
}

func tableOf(t testing.TB, addresses []string, forwards ...Forward) *labTable {
	var own []netip.Addr
	for _, a := range addresses {
		own = append(own, addr(a))
	}
	return &labTable{NewTable("eth0", "eth1", own, forwards, DefaultTiming(), rand.New(rand.NewPCG(1, 2))), t, start}
}

func sideOf(wan bool) track.Side {
	if wan {
		return track.WAN
	}
	return track.LAN
}

// settle lets everything happen that happens after the start, unseen.
func (l *labTable) settle() {
	l.run(20 * time.Second)
	for i, s := range l.looked {
		l.say(track.LAN, reply(MAC{2, 0, 0, 0, 2, byte(i)}, s.address, lanMAC, nobody, s.tags))
	}
	l.Take()
}

// run lets time pass, and returns what was sent, each with its time.
func (l *labTable) run(d time.Duration) (sent []string) {
	l.t.Helper()
	for end := l.now.Add(d); ; {
		next, ok := l.Next()
		if !ok || next > end {
			l.now = end
			return sent
		}
		l.now = max(l.now, next)
		looked := len(l.looked)
		l.Tick(l.now)
		outputs, events := l.Take()
		if len(events) > 0 {
			l.t.Errorf("%v out of nothing", events)
		}
		if len(outputs) == 0 && len(l.looked) == looked {
			l.t.Fatalf("something is due at %v, and nothing was done", next.Sub(start))
		}
		for _, o := range outputs {
			sent = append(sent, fmt.Sprintf("%v %s", l.now.Sub(start), describe(o)))
		}
	}
}

// say lets a message come in and returns what it led to.
func (l *labTable) say(side track.Side, frame []byte) (did []string) {
	l.Receive(side, frame, l.now)
	outputs, events := l.Take()
	for _, o := range outputs {
		did = append(did, describe(o))
	}
	for _, e := range events {
		if e.Kind == track.EventLimitReached {
			did = append(did, "limit "+e.Cause)
			continue
		}
		if e.Kind != track.EventAddressConflict || e.Time != l.now || len(e.Detail) == 0 {
			l.t.Errorf("event %+v", e)
		}
		did = append(did, fmt.Sprintf("conflict %s %s %s%s", e.Address, e.MAC, e.NIC, brackets(e.Zone)))
	}
	return did
}

func brackets(z wire.Zone) string {
	if z == 0 {
		return ""
	}
	return "[" + z.String() + "]"
}

// describe is what a frame does, in words.
func describe(o Output) string {
	m, ok := parse(o.Frame)
	what := "asks for"
	switch {
	case !ok:
		return fmt.Sprintf("%x", o.Frame)
	case m.operation == arp.OperationReply:
		return fmt.Sprintf("%s: %s is at %s, to %s at %s%s", o.Side, m.sender, m.senderMAC, m.target, m.to, brackets(m.zone))
	case m.sender == m.target:
		what = "announces"
	case m.isProbe() && m.to != broadcast:
		return fmt.Sprintf("%s: probes for %s at %s%s", o.Side, m.target, m.to, brackets(m.zone))
	case m.isProbe():
		what = "probes for"
	}
	return fmt.Sprintf("%s: %s %s%s", o.Side, what, m.target, brackets(m.zone))
}

// asks is a request; of nobody's, a probe.
func asks(from MAC, sender netip.Addr, target, tags string) []byte {
	m := message{to: broadcast, tags: tags, operation: arp.OperationRequest, senderMAC: from, sender: sender, target: addr(target)}
	return m.frame()
}

func reply(from MAC, sender netip.Addr, to MAC, target netip.Addr, tags string) []byte {
	m := message{to: to, tags: tags, operation: arp.OperationReply, senderMAC: from, sender: sender, targetMAC: to, target: target}
	return m.frame()
}

func (l *labTable) expect(what string, got []string, want ...string) {
	l.t.Helper()
	if !slices.Equal(got, want) {
		l.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// without drops the times of what was sent.
func without(sent []string) (rest []string) {
	for _, s := range sent {
		_, what, _ := strings.Cut(s, " ")
		rest = append(rest, what)
	}
	return rest
}

// TestStart: three probes and two announcements of each address, at the times
// of RFC 5227, section 1.1, and again whenever the NIC comes up.
func TestStart(t *testing.T) {
	l := tableOf(t, []string{"203.0.113.7", "203.0.113.7"})
	l.expect("while down", l.run(time.Minute))
	for range 20 {
		up := l.now
		l.Up(track.WAN, wanMAC, l.now)
		var at []time.Duration
		sent := l.run(time.Minute)
		for _, s := range sent {
			text, _, _ := strings.Cut(s, " ")
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, d-up.Sub(start))
		}
		const p, a = "wan: probes for 203.0.113.7", "wan: announces 203.0.113.7"
		l.expect("up", without(sent), p, p, p, a, a)
		for i, bounds := range [][2]time.Duration{{0, 1}, {1, 2}, {1, 2}, {2, 2}, {2, 2}} {
			wait := at[i]
			if i > 0 {
				wait -= at[i-1]
			}
			if wait < bounds[0]*time.Second || wait > bounds[1]*time.Second {
				t.Errorf("step %d after %v, want %v", i, wait, bounds)
			}
		}
	}
	l.Up(track.WAN, wanMAC, l.now)
	l.run(2 * time.Second)
	l.Down(track.WAN)
	l.expect("down again", l.run(time.Minute))
	l.expect("asked while down", l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.7", "")))
}

// TestAnswers says which questions are answered, and how.
func TestAnswers(t *testing.T) {
	host := addr("203.0.113.9")
	const tag, pair = "\x81\x00\x20\x64", "\x88\xa8\x00\x64\x81\x00\x00\xc8"
	unicast := func(to MAC) []byte {
		frame := asks(hostMAC, host, "203.0.113.7", "")
		copy(frame, to[:])
		return frame
	}
	tests := []struct {
		name  string
		side  track.Side
		frame []byte
		want  string
	}{
		{"the address", track.WAN, asks(hostMAC, host, "203.0.113.7", ""), "wan: 203.0.113.7 is at 02:00:00:00:00:01, to 203.0.113.9 at 02:00:00:00:01:01"},
		{"a forward's", track.WAN, asks(hostMAC, host, "203.0.113.8", ""), "wan: 203.0.113.8 is at 02:00:00:00:00:01, to 203.0.113.9 at 02:00:00:00:01:01"},
		{"in a VLAN", track.WAN, asks(hostMAC, host, "203.0.113.7", tag), "wan: 203.0.113.7 is at 02:00:00:00:00:01, to 203.0.113.9 at 02:00:00:00:01:01[100]"},
		{"in two", track.WAN, asks(hostMAC, host, "203.0.113.7", pair), "wan: 203.0.113.7 is at 02:00:00:00:00:01, to 203.0.113.9 at 02:00:00:00:01:01[100.200]"},
		{"a host's probe", track.WAN, asks(hostMAC, nobody, "203.0.113.7", ""), "wan: 203.0.113.7 is at 02:00:00:00:00:01, to 0.0.0.0 at 02:00:00:00:01:01"},
		{"to the box alone", track.WAN, unicast(wanMAC), "wan: 203.0.113.7 is at 02:00:00:00:00:01, to 203.0.113.9 at 02:00:00:00:01:01"},
		{"to another alone", track.WAN, unicast(MAC{2, 9, 9, 9, 9, 9}), ""},
		{"of the LAN", track.LAN, asks(hostMAC, host, "203.0.113.7", ""), ""},
		{"another address", track.WAN, asks(hostMAC, host, "203.0.113.6", ""), ""},
		{"a server's", track.WAN, asks(hostMAC, host, "10.0.0.1", ""), ""},
		{"a reply", track.WAN, reply(hostMAC, host, wanMAC, addr("203.0.113.7"), ""), ""},
		{"its own", track.WAN, asks(wanMAC, addr("203.0.113.7"), "203.0.113.7", ""), ""},
		{"its own, on the LAN", track.LAN, asks(lanMAC, nobody, "10.0.0.1", ""), ""},
	}
	for _, test := range tests {
		l := newTable(t)
		l.settle()
		if got := strings.Join(l.say(test.side, test.frame), "\n"); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestAnswersAtOnce: calls of before the start are not to wait for the probes.
func TestAnswersAtOnce(t *testing.T) {
	l := newTable(t)
	if did := l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.7", "")); len(did) != 1 {
		t.Errorf("%q", did)
	}
}

func TestReplyLimit(t *testing.T) {
	l := newTable(t)
	l.settle()
	count := func() (n int) {
		for range 3 * maxReplies {
			n += len(l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.7", "")))
		}
		return n
	}
	if n := count(); n != maxReplies {
		t.Errorf("%d replies at one moment", n)
	}
	l.now = l.now.Add(time.Second)
	if n := count(); n != maxReplies {
		t.Errorf("%d replies a second later", n)
	}
}

// TestReplyLimitIsOfOne: who asks without end is answered less, and others are
// answered all the same.
func TestReplyLimitIsOfOne(t *testing.T) {
	l := newTable(t)
	l.settle()
	router, other := MAC{2, 0, 0, 0, 7, 1}, MAC{2, 0, 0, 0, 9, 1}
	const seconds = 60
	answered := 0
	for range seconds {
		l.now = l.now.Add(time.Second)
		for range 2 * maxReplies {
			l.say(track.WAN, asks(other, addr("203.0.113.9"), "203.0.113.7", ""))
		}
		answered += len(l.say(track.WAN, asks(router, addr("203.0.113.1"), "203.0.113.7", "")))
	}
	if answered < seconds/2 {
		t.Errorf("%d answers in %d seconds", answered, seconds)
	}
}

// TestZonesMakeRoom: VLANs that somebody makes up keep no place from the one in
// which calls come, nor do they pile up.
func TestZonesMakeRoom(t *testing.T) {
	l := newTable(t)
	l.settle()
	there := len(l.servers)
	ask := func(vid int) {
		l.now = l.now.Add(20 * time.Millisecond)
		tags := string([]byte{0x81, 0, byte(vid >> 8), byte(vid)})
		l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.8", tags))
	}
	behind := len(l.behind[addr("203.0.113.8")])
	looked := func(vid wire.Zone) (n int) {
		for at := range l.servers {
			if at.zone == vid {
				n++
			}
		}
		return n
	}
	var ten wire.Zone
	if err := ten.UnmarshalText([]byte("10")); err != nil {
		t.Fatal(err)
	}
	for vid := 100; vid < 4094; vid++ {
		ask(vid)
	}
	ask(10)
	if n := looked(ten); n != behind {
		t.Errorf("%d of %d servers are looked for in VLAN 10", n, behind)
	}
	for vid := 100; vid < 200; vid++ {
		ask(vid)
		ask(10)
	}
	if n := looked(ten); n != behind {
		t.Errorf("%d of %d servers are looked for in VLAN 10, which is in use", n, behind)
	}
	if n := len(l.servers); n != len(l.looked) || n > there+behind*(maxZones-1) {
		t.Errorf("%d servers, %d of them looked for", n, len(l.looked))
	}
}

// TestConflict: another host is reported and met with one announcement, in the
// VLAN where it was heard, and with no more of either than there may be.
func TestConflict(t *testing.T) {
	rival, other := MAC{2, 0, 0, 0, 9, 1}, MAC{2, 0, 0, 0, 9, 2}
	claim := func(mac MAC) []byte { return asks(mac, addr("203.0.113.7"), "203.0.113.7", "") }
	const (
		defence  = "wan: announces 203.0.113.7"
		conflict = "conflict 203.0.113.7 02:00:00:00:09:01 eth1"
	)
	l := newTable(t)
	l.settle()
	l.expect("first", l.say(track.WAN, claim(rival)), defence, conflict)
	l.expect("again", l.say(track.WAN, claim(rival)))
	l.expect("another at once", l.say(track.WAN, claim(other)))
	l.now = l.now.Add(9999 * time.Millisecond)
	l.expect("within DEFEND_INTERVAL", l.say(track.WAN, claim(rival)))
	l.now = l.now.Add(time.Millisecond)
	l.expect("after it", l.say(track.WAN, claim(rival)), defence)
	l.expect("another", l.say(track.WAN, claim(other)), "conflict 203.0.113.7 02:00:00:00:09:02 eth1")
	l.now = l.now.Add(10 * time.Minute)
	l.expect("in a reply, long after", l.say(track.WAN, reply(other, addr("203.0.113.7"), hostMAC, addr("203.0.113.9"), "\x81\x00\x00\x05")),
		"wan: announces 203.0.113.7[5]", "conflict 203.0.113.7 02:00:00:00:09:02 eth1[5]")
	l.now = l.now.Add(time.Minute)
	l.expect("on the LAN", l.say(track.LAN, claim(rival)), defence, "conflict 203.0.113.7 02:00:00:00:09:01 eth0")
	l.expect("the other address is another matter", l.say(track.WAN, asks(rival, addr("203.0.113.8"), "203.0.113.9", "")),
		"wan: announces 203.0.113.8", "conflict 203.0.113.8 02:00:00:00:09:01 eth1")
	if got := l.say(track.WAN, asks(hostMAC, addr("203.0.113.9"), "203.0.113.7", "")); len(got) != 1 {
		t.Errorf("served no more: %q", got)
	}
}

// TestConflictAtStart: who answers a probe, or probes too, is reported; the
// announcements follow all the same.
func TestConflictAtStart(t *testing.T) {
	rival := MAC{2, 0, 0, 0, 9, 1}
	for name, frame := range map[string][]byte{
		"an answer":      reply(rival, addr("203.0.113.7"), wanMAC, nobody, ""),
		"its own probes": asks(rival, nobody, "203.0.113.7", ""),
	} {
		l := tableOf(t, []string{"203.0.113.7"})
		l.Up(track.WAN, wanMAC, l.now)
		sent := l.run(time.Second)
		did := l.say(track.WAN, frame)
		if len(did) == 0 || did[len(did)-1] != "conflict 203.0.113.7 02:00:00:00:09:01 eth1" || slices.Contains(did, "wan: announces 203.0.113.7") {
			t.Errorf("%s: %q", name, did)
		}
		sent = append(sent, l.run(time.Minute)...)
		const p, a = "wan: probes for 203.0.113.7", "wan: announces 203.0.113.7"
		l.expect(name, without(sent), p, p, p, a, a)
		if did := l.say(track.WAN, asks(rival, nobody, "203.0.113.7", "")); len(did) != 1 {
			t.Errorf("%s: probes when all is said: %q", name, did)
		}
	}
}

// TestRandomTraffic: whatever is said, the LAN hears nothing but probes for
// servers, the WAN nothing of servers, an address is defended and reported at
// most once in DEFEND_INTERVAL, and all there is stays within its bounds.
func TestRandomTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newTable(t)
		addresses := []netip.Addr{addr("203.0.113.7"), addr("203.0.113.8"), addr("10.0.0.1"), addr("10.0.0.2"), addr("203.0.113.9"), nobody}
		macs := []MAC{wanMAC, lanMAC, hostMAC, {2, 0, 0, 0, 9, 1}, broadcast, {}}
		last := make(map[string]track.Time)
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			l.now = l.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(rt, "ms")) * time.Millisecond)
			switch side := sideOf(rapid.Bool().Draw(rt, "wan")); rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				l.Down(side)
			case 1:
				l.Up(side, [...]MAC{track.LAN: lanMAC, track.WAN: wanMAC}[side], l.now)
			case 2:
				l.Resolve(wire.Zone(rapid.IntRange(0, 3).Draw(rt, "zone"))<<48, rapid.SampledFrom(addresses).Draw(rt, "server"), l.now)
			default:
				m := message{
					to: rapid.SampledFrom(macs).Draw(rt, "to"), operation: arp.Operation(rapid.IntRange(1, 2).Draw(rt, "operation")),
					senderMAC: rapid.SampledFrom(macs).Draw(rt, "from"), sender: rapid.SampledFrom(addresses).Draw(rt, "sender"),
					target: rapid.SampledFrom(addresses).Draw(rt, "target"),
				}
				if vid := rapid.IntRange(0, 40).Draw(rt, "vid"); vid > 0 {
					m.tags = string([]byte{0x81, 0, 0, byte(vid)})
				}
				l.Receive(side, m.frame(), l.now)
			}
			l.check(rt, last)
			l.Tick(l.now)
			l.check(rt, nil)
		}
	})
}

// check looks at what was done; what answers a message counts against last.
func (l *labTable) check(rt *rapid.T, last map[string]track.Time) {
	outputs, events := l.Take()
	for _, o := range outputs {
		m, ok := parse(o.Frame)
		switch own := l.owns[m.sender] != nil; {
		case !ok || m.senderMAC != [...]MAC{track.LAN: lanMAC, track.WAN: wanMAC}[o.Side]:
			rt.Fatalf("sent %x", o.Frame)
		case o.Side == track.LAN && (!m.isProbe() || l.servers[place{m.zone, m.target}] == nil):
			rt.Fatalf("the LAN hears %s", describe(o))
		case o.Side == track.WAN && !own && !(m.isProbe() && l.owns[m.target] != nil):
			rt.Fatalf("the WAN hears %s", describe(o))
		case last != nil && own && m.sender == m.target:
			l.seldom(rt, last, "defence of "+m.sender.String())
		}
	}
	for _, e := range events {
		l.seldom(rt, last, "conflict over "+e.Address.String())
	}
	for _, o := range l.all {
		if len(o.tags) > maxZones {
			rt.Fatalf("%d zones", len(o.tags))
		}
	}
}

func (l *labTable) seldom(rt *rapid.T, last map[string]track.Time, what string) {
	if at, ok := last[what]; ok && l.now.Sub(at) < l.timing.DefendInterval {
		rt.Fatalf("%s after %v", what, l.now.Sub(at))
	}
	last[what] = l.now
}
