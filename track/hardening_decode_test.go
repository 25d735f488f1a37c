package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// ipv6Ends are two hosts with IPv6 addresses.
func ipv6Ends() (lan, wan *tracktest.Host) {
	return tracktest.NewHost(track.LAN, "2001:db8::1"), tracktest.NewHost(track.WAN, "2001:db8:1::2")
}

// An IPv6 packet with payload length 0 and Hop-by-Hop Options is as long as its
// frame: Linux delivers what it carries.
func TestHardeningIPv6WithoutLength(t *testing.T) {
	options := map[string][]byte{
		"PadN":  {0, 0, 1, 4, 0, 0, 0, 0},
		"Jumbo": {0, 0, 0xc2, 4, 0, 0, 0, 40},
	}
	for name, hopByHop := range options {
		t.Run(name, func(t *testing.T) {
			lan, wan := ipv6Ends()
			send := func(proto uint8, payload []byte, change ...func(*track.Options)) tracktest.Result {
				hopByHop[0] = proto
				frame := tracktest.IP{Proto: proto, Extensions: hopByHop, Payload: payload}.Frame(lan, wan)
				return tracktest.New(t, change...).Send(track.LAN, poke(frame, 14+4, 0))
			}
			syn := tracktest.TCP{SrcPort: 40000, DstPort: 1723, Flags: wire.SYN}.Bytes(lan.Addr, wan.Addr)
			gre := tracktest.GRE{CallID: 9, HasSeq: true, Payload: make([]byte, 20)}.Bytes()
			deny := func(o *track.Options) { o.Policy.DenyPPTP = true }
			wantDrop(t, send(wire.ProtocolGRE, gre), track.ReasonNotNegotiated)
			wantControl(t, send(wire.ProtocolTCP, syn))
			wantDrop(t, send(wire.ProtocolTCP, syn, deny), track.ReasonPPTPDenied)
		})
	}
}

// A frame whose sender left segmentation to others may have an IP length of 0,
// however short it is: Linux takes it whole.
func TestHardeningSuperFrameWithoutLength(t *testing.T) {
	for name, deny := range map[string]bool{"allow": false, "deny": true} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t, func(o *track.Options) { o.Policy.DenyPPTP = deny })
			syn := tracktest.TCP{SrcPort: 40000, DstPort: 1723, Flags: wire.SYN, Data: make([]byte, 1000)}
			f := tracktest.Unfinished(syn.Frame(w.Client, w.Server), 500)
			f.Data = poke(f.Data, 14+2, 0)
			whole := track.Frame{Data: f.Data}
			if r := w.Batch(track.LAN, []track.Frame{f})[0]; deny {
				wantDrop(t, r, track.ReasonPPTPDenied)
			} else {
				wantControl(t, r)
			}
			wantPass(t, w.Batch(track.LAN, []track.Frame{whole})[0], track.ReasonOther) // nobody takes it
		})
	}
}

// A first fragment that has the ports of a control connection, but not the rest
// of its TCP header, drops with what follows, whatever the policy.
func TestHardeningTinyControlFragment(t *testing.T) {
	for _, ports := range [][2]uint16{{40000, 1723}, {1723, 40000}} {
		w := tracktest.New(t)
		packet := tracktest.TCP{SrcPort: ports[0], DstPort: ports[1], Flags: wire.SYN, Data: make([]byte, 100)}.IP(w.Client, w.Server)
		for _, r := range w.SendAll(track.LAN, packet.Cut(w.Client, w.Server, 8, 64)) {
			wantDrop(t, r, track.ReasonFragmentTiny)
		}
	}
	w := tracktest.New(t)
	packet := tracktest.TCP{SrcPort: 40000, DstPort: 80, Flags: wire.SYN, Data: make([]byte, 100)}.IP(w.Client, w.Server)
	for _, r := range w.SendAll(track.LAN, packet.Cut(w.Client, w.Server, 8, 64)) {
		wantPass(t, r, track.ReasonOther)
	}
}
