package nat_test

import (
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// A host on the LAN that has the box's address speaks to nobody by PPTP: it would
// be taken for those who stand behind it.
func TestLANSpeaksAsTheBox(t *testing.T) {
	b := newBox(t, masquerade, func(o *track.Options) { o.Policy.AnyGRE = true })
	c := b.Dial(b.lan[0], b.wan[0])
	k := c.OutCall(7, 9)
	thief := tracktest.NewHost(track.LAN, natAddr)
	for _, flags := range []uint8{wire.SYN, wire.RST, wire.ACK, wire.SYN | wire.ACK} {
		s := tracktest.TCP{SrcPort: c.Ends[0].Port, DstPort: 1723, Seq: c.Ends[0].Next, Flags: flags, Window: 1}
		wantDrop(t, b.Send(track.LAN, s.Frame(thief, b.wan[0])), track.ReasonNoTranslation)
	}
	wantDrop(t, b.GRE(thief, b.wan[0], 9), track.ReasonNoTranslation)
	for _, piece := range k.Packet(thief, 1400).IP().Cut(thief, b.wan[0], 704) {
		wantDrop(t, b.Send(track.LAN, piece), track.ReasonNoTranslation)
	}
	wantUp(t, k)
}
