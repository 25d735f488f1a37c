package nat_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// arp is an ARP request of a host for another's address.
func arp(from, to *tracktest.Host) []byte {
	body := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	body = append(body, from.MAC[:]...)
	body = append(body, from.Addr.AsSlice()...)
	body = append(body, make([]byte, 6)...)
	body = append(body, to.Addr.AsSlice()...)
	return from.Ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, tracktest.TypeARP, body)
}

// A LAN host's MAC address is learned from the GRE of its call and from its ARP,
// from the LAN and its zone only, and never from GRE of no call.
func TestLANHostChangesItsMAC(t *testing.T) {
	moved := [6]byte{2, 0xaa, 0, 0, 0, 7}
	tag := tracktest.Tag{TPID: 0x8100, TCI: 100}
	for name, test := range map[string]struct {
		show    func(b *box, k *tracktest.Call, from *tracktest.Host)
		learned bool
	}{
		"GRE":              {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.GRE(from, b.wan[0], 9) }, true},
		"ARP":              {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.Send(track.LAN, arp(from, b.lan[1])) }, true},
		"GRE of no call":   {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.GRE(from, b.wan[0], 10) }, false},
		"GRE from the WAN": {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.GRE(from.Moved(), b.wan[0], 9) }, false},
		"GRE in a VLAN":    {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.GRE(from.Tagged(tag), b.wan[0], 9) }, false},
		"ARP from the WAN": {func(b *box, k *tracktest.Call, from *tracktest.Host) { b.Send(track.WAN, arp(from, b.lan[1])) }, false},
		"ARP in a VLAN": {func(b *box, k *tracktest.Call, from *tracktest.Host) {
			b.Send(track.LAN, arp(from.Tagged(tag), b.lan[1]))
		}, false},
		"ARP of another host": {func(b *box, k *tracktest.Call, from *tracktest.Host) {
			other := *b.lan[1]
			other.MAC = from.MAC
			b.Send(track.LAN, arp(&other, b.lan[0]))
		}, false},
		"ARP from a group": {func(b *box, k *tracktest.Call, from *tracktest.Host) {
			group := *from
			group.MAC[0] |= 1
			b.Send(track.LAN, arp(&group, b.lan[1]))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, masquerade)
			c := b.Dial(b.lan[0], b.wan[0])
			k := c.OutCall(7, 9)
			wantUp(t, k)
			from := *b.lan[0]
			from.MAC = moved
			test.show(b, k, &from)
			wanted := b.lan[0].MAC
			if test.learned {
				wanted = moved
				c.Ends[0].Host.MAC = moved
			}
			r := k.GRE(b.wan[0])
			wantEqual(t, "the MAC address that GRE goes to", [6]byte(r.Out[:6]), wanted)
		})
	}
}
