package nat_test

import (
	"net/netip"
	"testing"

	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// The addresses that the box has on the WAN side.
const (
	natAddr     = "203.0.113.1"
	forwardAddr = "203.0.113.2"
)

// Ranges of ports to choose from.
const firstPort, lastPort = 50000, 50099

// wanMAC is the WAN NIC's.
var wanMAC = [6]byte{2, 0xff, 0, 0, 0, 1}

// box is a World whose box translates. Its hosts are at the ends.
type box struct {
	*tracktest.World
	names *nat.Translator
	// LAN and WAN are hosts, three each; those of the World are the first.
	lan, wan [3]*tracktest.Host
	// alias is the box on the WAN side, and forward behind which lan[2] stands.
	alias, forward *tracktest.Host
	mode           func(*nat.Options)
	// lonely makes the box know no MAC address but those that it has learnt.
	lonely bool
}

// The ways to translate.
func byCallID(o *nat.Options) { o.CallID = true }

func masquerade(o *nat.Options) { o.Address = netip.MustParseAddr(natAddr) }

func forwarding(o *nat.Options) {
	o.Forwards = append(o.Forwards, nat.Forward{Address: netip.MustParseAddr(forwardAddr), To: lanAddr(2)})
}

func both(o *nat.Options) { masquerade(o); forwarding(o) }

func lanAddr(n byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 10 + n}) }
func wanAddr(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, 1 + n}) }

// newBox returns a box that translates as mode says.
func newBox(t tracktest.TB, mode func(*nat.Options), change ...func(*track.Options)) *box {
	t.Helper()
	b := &box{mode: mode}
	b.names = newTranslator(mode, func(o *nat.Options) { o.Neighbour = b.neighbour })
	b.World = tracktest.New(t, append([]func(*track.Options){func(o *track.Options) { o.Translation = b.names }}, change...)...)
	b.Translate = b.names.Apply
	b.lan[0], b.wan[0] = b.Client, b.Server
	for n := byte(1); n < 3; n++ {
		b.lan[n], b.wan[n] = tracktest.NewHost(track.LAN, lanAddr(n).String()), tracktest.NewHost(track.WAN, wanAddr(n).String())
	}
	b.alias, b.forward = boxHost(natAddr), boxHost(forwardAddr)
	return b
}

// restart starts the box anew, with another translation if mode is not nil.
func (b *box) restart(mode func(*nat.Options)) track.Restored {
	if mode == nil {
		mode = b.mode
	}
	saved := b.Save()
	b.names = newTranslator(mode, func(o *nat.Options) { o.Neighbour = b.neighbour })
	b.Options.Translation, b.Translate = b.names, b.names.Apply
	return b.Restart(saved, 0)
}

// callIDs is how many call IDs the boxes have, in use or at rest.
const callIDs = 1024

func newTranslator(change ...func(*nat.Options)) *nat.Translator {
	o := nat.Options{FirstPort: firstPort, LastPort: lastPort, CallIDs: callIDs, Seed: 1}
	for _, c := range change {
		c(&o)
	}
	names := nat.New(o)
	names.SetNIC(track.WAN, wanMAC)
	return names
}

// neighbour knows every host on the LAN, or none.
func (b *box) neighbour(_ wire.Zone, addr netip.Addr) ([6]byte, bool) {
	return tracktest.NewHost(track.LAN, addr.String()).MAC, !b.lonely
}

// boxHost is the box as hosts on the WAN see it.
func boxHost(addr string) *tracktest.Host {
	h := tracktest.NewHost(track.WAN, addr)
	h.MAC = wanMAC
	return h
}

// connectForward opens a control connection from a host on the WAN by the forwarded
// address.
func (b *box) connectForward(client *tracktest.Host) *tracktest.Conn {
	c := b.NewConn(client, b.lan[2])
	c.Ends[1].Alias, c.Ends[1].AliasPort = b.forward, pptp.Port
	c.Handshake()
	c.Start(client)
	return c
}

// checkEmpty is CheckEmpty for the translator's tables, too.
func (b *box) checkEmpty(t tracktest.TB) {
	t.Helper()
	b.CheckEmpty()
	for range 1 + callIDs/256 {
		b.names.Tick(b.Now)
	}
	if used, _ := b.names.CallIDs(); used != 0 {
		t.Errorf("%d call IDs left over", used)
	}
}

// want fails the test unless a frame got this verdict for this reason.
func want(t *testing.T, r tracktest.Result, v track.Verdict, reason track.Reason) {
	t.Helper()
	if r.Verdict != v || r.Reason != reason {
		t.Errorf("%s; want %s (%s)", r, v, reason)
	}
}

func wantDrop(t *testing.T, r tracktest.Result, reason track.Reason) {
	t.Helper()
	want(t, r, track.Drop, reason)
}

// wantUp fails the test unless the calls' GRE passes both ways.
func wantUp(t *testing.T, calls ...*tracktest.Call) {
	t.Helper()
	for _, k := range calls {
		if !k.Both() {
			t.Errorf("GRE of call %d (PNS %s %d, PAC %s %d) does not pass", k.Number, k.PNS.Addr, k.PNSID, k.PAC.Addr, k.PACID)
		}
	}
}

func wantEqual[V comparable](t *testing.T, what string, got, wanted V) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s is %v, want %v", what, got, wanted)
	}
}
