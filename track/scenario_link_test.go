package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// zones are the ways in which a host's frames may be tagged, by the name of the
// zone that they are in.
var zones = []struct {
	name, zone string
	tags       []tracktest.Tag
	session    uint16
}{
	{"VLAN", "100", []tracktest.Tag{{TPID: 0x8100, TCI: 100}}, 0},
	{"VLAN with priority", "100", []tracktest.Tag{{TPID: 0x8100, TCI: 7<<13 | 100}}, 0},
	{"service tag", "100", []tracktest.Tag{{TPID: 0x88a8, TCI: 100}}, 0},
	{"QinQ", "100.200", []tracktest.Tag{{TPID: 0x88a8, TCI: 100}, {TPID: 0x8100, TCI: 200}}, 0},
	{"old QinQ", "100.200", []tracktest.Tag{{TPID: 0x9100, TCI: 100}, {TPID: 0x8100, TCI: 200}}, 0},
	{"priority tag", "", []tracktest.Tag{{TPID: 0x8100, TCI: 5 << 13}}, 0},
	{"PPPoE", "ppp7", nil, 7},
	{"PPPoE in VLAN", "100.ppp7", []tracktest.Tag{{TPID: 0x8100, TCI: 100}}, 7},
	{"PPPoE in QinQ", "100.200.ppp7", []tracktest.Tag{{TPID: 0x88a8, TCI: 100}, {TPID: 0x8100, TCI: 200}}, 7},
}

// inZones plays a call in each zone that wanted chooses.
func inZones(t *testing.T, wanted func(session uint16) bool) {
	for _, z := range zones {
		if !wanted(z.session) {
			continue
		}
		t.Run(z.name, func(t *testing.T) {
			w := tracktest.New(t)
			for _, h := range []**tracktest.Host{&w.Client, &w.Server} {
				*h = (*h).Tagged(z.tags...)
				if z.session != 0 {
					*h = (*h).InSession(z.session)
				}
			}
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			wantUp(t, call)
			if got, _ := w.Find(call.Number); got.Zone.String() != z.zone {
				t.Errorf("zone %q, want %q", got.Zone, z.zone)
			}
			for _, r := range w.SendAll(track.LAN, call.Packet(w.Client, 3000).IP().Fragment(w.Client, w.Server, 1000)) {
				wantPass(t, r, track.ReasonCall)
			}
			call.Disconnect()
			wantDown(t, call)
		})
	}
}

// The TPID is no part of the zone; the port puts an offloaded tag back, so
// that the tracker sees it where it was.
func TestScenario084_VLAN(t *testing.T) {
	inZones(t, func(session uint16) bool { return session == 0 })
}

// A third tag is not looked into: other traffic.
func TestScenario084_ThirdTag(t *testing.T) {
	w, call := agreed(t, false)
	tag := tracktest.Tag{TPID: 0x8100, TCI: 100}
	triple := w.Client.Tagged(tag, tag, tag)
	wantPass(t, w.Send(track.LAN, call.Packet(w.Client, 40).Frame(triple, w.Server)), track.ReasonOther)
}

func TestScenario085_PPPoE(t *testing.T) {
	inZones(t, func(session uint16) bool { return session != 0 })
	w, _ := agreed(t, false)
	for _, ether := range []uint16{0x8863, 0x8864} { // discovery, and a session frame that is no IP
		frame := w.Client.Ethernet(w.Server.MAC, ether, []byte{0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0})
		wantPass(t, w.Send(track.LAN, frame), track.ReasonOther)
	}
}

func TestScenario086_EqualAddressesInTwoVLANs(t *testing.T) {
	w := tracktest.New(t)
	tag := func(vid uint16) tracktest.Tag { return tracktest.Tag{TPID: 0x8100, TCI: vid} }
	client1, server1 := w.Client.Tagged(tag(1)), w.Server.Tagged(tag(1))
	client2, server2 := w.Client.Tagged(tag(2)), w.Server.Tagged(tag(2))
	c1, c2 := w.NewConn(client1, server1), w.NewConn(client2, server2)
	c2.Ends[0].Port = c1.Ends[0].Port
	for _, c := range []*tracktest.Conn{c1, c2} {
		c.Handshake()
		c.Start(c.Ends[0].Host)
	}
	one, two := c1.OutCall(7, 9), c2.OutCall(7, 9)
	wantUp(t, one, two)
	wantCalls(t, w, 2)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	one.Disconnect()
	wantDown(t, one)
	wantUp(t, two)
	// Control of a live connection with another tag drops.
	reset := c2.Segment(client2, c2.End(client2).Next, wire.ACK|wire.PSH, tracktest.Encode(tracktest.StopRequest()))
	wantDrop(t, w.Send(track.LAN, reset.Frame(w.Client.Tagged(tag(3)), server2)), track.ReasonWrongZone)
	wantDrop(t, w.Send(track.LAN, reset.Frame(w.Client, server2)), track.ReasonWrongZone)
	wantUp(t, two)
}

// The zone of a live connection is minded when another of equal addresses in
// another zone has come and gone.
func TestScenario086_ZoneIsMindedAfterTheOtherWentAway(t *testing.T) {
	w := tracktest.New(t)
	tag := func(vid uint16) tracktest.Tag { return tracktest.Tag{TPID: 0x8100, TCI: vid} }
	client2, server2 := w.Client.Tagged(tag(2)), w.Server.Tagged(tag(2))
	c1, c2 := w.NewConn(w.Client, w.Server), w.NewConn(client2, server2)
	c2.Ends[0].Port = c1.Ends[0].Port
	c1.Handshake()
	c1.Start(w.Client)
	c2.Handshake()
	call := c1.OutCall(7, 9)
	c2.Close()
	keepAlive(c1, w.Options.Timeouts.TCPClosing+10*time.Second, time.Minute)
	wantUsed(t, w, "connections", 1)
	forged := c1.Segment(w.Server, c1.End(w.Server).Next, wire.ACK, tracktest.Encode(tracktest.Disconnect(9)))
	wantDrop(t, w.Send(track.WAN, forged.Frame(server2, w.Client)), track.ReasonWrongZone)
	wantUp(t, call)
}

func TestScenario087_JumboFrames(t *testing.T) {
	w, call := agreed(t, false)
	for _, payload := range []int{8000, 9000, 16000} {
		wantPass(t, w.Send(track.LAN, call.Packet(w.Client, payload).Frame(w.Client, w.Server)), track.ReasonCall)
	}
}

// extensions are IPv6 header chains: the first header's type, and the octets
// up to GRE or TCP.
func extensions(last byte) map[string]tracktest.IP {
	hop, routing, destination := []byte{last, 0, 1, 4, 0, 0, 0, 0}, []byte{last, 0, 0, 0, 0, 0, 0, 0}, []byte{last, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	chain := append([]byte{43, 0, 1, 4, 0, 0, 0, 0}, 60, 0, 0, 0, 0, 0, 0, 0)
	return map[string]tracktest.IP{
		"none":        {},
		"hop-by-hop":  {FirstExtension: 0, Extensions: hop},
		"routing":     {FirstExtension: 43, Extensions: routing},
		"destination": {FirstExtension: 60, Extensions: destination},
		"three":       {FirstExtension: 0, Extensions: append(chain, destination...)},
		"atomic":      {FirstExtension: 44, Extensions: []byte{last, 0, 0, 0, 1, 2, 3, 4}},
		"AH":          {FirstExtension: 51, Extensions: append([]byte{last, 4}, make([]byte, 22)...)},
	}
}

func TestScenario088_IPv6(t *testing.T) {
	for name := range extensions(0) {
		t.Run(name, func(t *testing.T) {
			w, call := agreed(t, true)
			c := call.Conn
			wantUp(t, call)
			send := func(from, to *tracktest.Host, p tracktest.IP) tracktest.Result {
				e := extensions(p.Proto)[name]
				p.FirstExtension, p.Extensions = e.FirstExtension, e.Extensions
				return w.Send(from.Side, p.Frame(from, to))
			}
			wantPass(t, send(w.Client, w.Server, call.Packet(w.Client, 40).IP()), track.ReasonCall)
			wantDrop(t, send(w.Client, w.Server, tracktest.GRE{CallID: 10}.IP()), track.ReasonNotNegotiated)
			s := c.Segment(w.Server, c.End(w.Server).Next, wire.ACK, tracktest.Encode(tracktest.Disconnect(9)))
			wantControl(t, send(w.Server, w.Client, s.IP(w.Server, w.Client)))
			wantDown(t, call)
		})
	}
}

// otherFrames are what has nothing to do with PPTP.
func otherFrames(w *tracktest.World) map[string][]byte {
	group := func(last byte) [6]byte { return [6]byte{0x01, 0x80, 0xc2, 0, 0, last} }
	c := w.Client
	return map[string][]byte{
		"ARP":       c.Ethernet([6]byte{255, 255, 255, 255, 255, 255}, tracktest.TypeARP, make([]byte, 28)),
		"STP":       c.Ethernet(group(0), 38, []byte{0x42, 0x42, 3, 0, 0}),
		"LACP":      c.Ethernet(group(2), 0x8809, make([]byte, 40)),
		"EAPOL":     c.Ethernet(group(3), 0x888e, make([]byte, 40)),
		"LLDP":      c.Ethernet(group(14), 0x88cc, make([]byte, 40)),
		"UDP":       tracktest.IP{Proto: 17, Payload: make([]byte, 30)}.Frame(c, w.Server),
		"other TCP": tracktest.TCP{SrcPort: 4000, DstPort: 80, Flags: wire.SYN}.Frame(c, w.Server),
		"MPLS":      c.Ethernet(w.Server.MAC, 0x8847, make([]byte, 40)),
		"one octet": {1}, "nothing": {}, "no ethertype": make([]byte, 13),
	}
}

func TestScenario089_OtherTrafficPasses(t *testing.T) {
	w := tracktest.New(t)
	for name, frame := range otherFrames(w) {
		t.Run(name, func(t *testing.T) {
			for _, side := range []track.Side{track.LAN, track.WAN} {
				wantPass(t, w.Send(side, frame), track.ReasonOther)
			}
		})
	}
	pause := w.Client.Ethernet([6]byte{0x01, 0x80, 0xc2, 0, 0, 1}, 0x8808, []byte{0, 1, 0xff, 0xff})
	wantDrop(t, w.Send(track.LAN, pause), track.ReasonPause)
}

// With other = "drop" only what PPTP needs passes.
func TestScenario089_OtherTrafficDenied(t *testing.T) {
	passes := map[string]track.Reason{
		"ARP": track.ReasonNeighbour, "STP": track.ReasonLinkControl, "LACP": track.ReasonLinkControl,
		"EAPOL": track.ReasonLinkControl, "LLDP": track.ReasonLinkControl,
	}
	w, call := agreed(t, false, func(o *track.Options) { o.Policy.Other = track.ActDrop })
	for name, frame := range otherFrames(w) {
		t.Run(name, func(t *testing.T) {
			if reason := passes[name]; reason != 0 {
				wantPass(t, w.Send(track.LAN, frame), reason)
			} else {
				wantDrop(t, w.Send(track.LAN, frame), track.ReasonOtherDenied)
			}
		})
	}
	quoted := call.Packet(w.Client, 0).IP().Frame(w.Client, w.Server)[14:]
	unreachable := func(quote []byte) []byte {
		return tracktest.IP{Proto: wire.ProtocolICMP, Payload: append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, quote...)}.Frame(w.Server, w.Client)
	}
	wantPass(t, w.Send(track.WAN, unreachable(quoted[:28])), track.ReasonICMP)
	udp := tracktest.IP{Proto: 17, Payload: make([]byte, 8)}.Frame(w.Client, w.Server)[14:]
	wantDrop(t, w.Send(track.WAN, unreachable(udp[:28])), track.ReasonOtherDenied)
	wantUp(t, call)
}

// A frame that the port could not take whole is never forwarded.
func TestScenario089_TruncatedFrame(t *testing.T) {
	w, call := agreed(t, false)
	for _, data := range [][]byte{call.Packet(w.Client, 40).Frame(w.Client, w.Server), make([]byte, 60)} {
		r := w.Batch(track.LAN, []track.Frame{{Data: data, Truncated: true}})[0]
		wantDrop(t, r, track.ReasonTruncated)
	}
}
