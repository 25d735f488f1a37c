package nat_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// TestHeadsOfOthers has one host open all the connections that it may, and send
// messages on each that are never acknowledged: what others say crosses all the
// same.
func TestHeadsOfOthers(t *testing.T) {
	limits := track.DefaultOptions().Limits
	if testing.Short() { // what a host can take is a share of the tables
		limits.Connections /= 8
		limits.ConnectionsPerHost /= 8
		limits.Calls /= 8
		limits.CallsPerHost /= 8
		limits.Expectations /= 8
	}
	b := newBox(t, masquerade, func(o *track.Options) { o.Limits = limits })
	live := b.Dial(b.lan[0], b.wan[0])
	k := live.OutCall(7, 9)
	live.Ack(b.lan[0])
	mallory, server := b.lan[1], b.wan[1]
	var say []byte
	for range 42 {
		say = append(say, 0, 12, 0, 9, 0x1a, 0x2b, 0x3c, 0x4d, 0, 0, 0, 0)
	}
	n := 0
	for ; n < limits.ConnectionsPerHost; n++ {
		c := b.NewConn(mallory, server)
		c.Ends[0].Port = uint16(2000 + n)
		if !c.Flags(mallory, wire.SYN).Passed() || !c.Flags(server, wire.SYN|wire.ACK).Passed() || !c.Ack(mallory).Passed() {
			t.Fatal("no connection")
		}
		if !c.Write(mallory, say).Passed() && !c.Write(mallory, say[:12]).Passed() {
			break
		}
	}
	for i := range 60 { // the last few
		c := b.NewConn(mallory, server)
		c.Ends[0].Port = uint16(20000 + i)
		c.Handshake()
		c.Write(mallory, say[:12])
	}
	echo := tracktest.Encode(tracktest.EchoRequest(1))
	at, passed, tried := live.End(b.lan[0]).Next, 0, 0
	for range 120 { // an hour of retransmissions, GRE all the while
		b.Advance(30 * time.Second)
		wantUp(t, k)
		tried++
		if r := live.At(b.lan[0], at, echo); r.Passed() {
			passed++
		}
	}
	fresh := b.Connect(b.lan[2], b.wan[2])
	r := fresh.Say(b.lan[2], tracktest.StartRequest())
	if passed != tried || !r.Passed() {
		t.Errorf("with %d connections of one host: of %d copies in an hour of the echo of another host's live call %d pass; a third one's Start-Control-Connection-Request: %s", n, tried, passed, r)
	}
}
