package track_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// answerTime is how long the ends of a connection have to disprove what others
// invent about it.
const answerTime = 3 * time.Second

// seeded returns a source of random numbers and prints its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// accomplices send from both sides with the addresses and ports of a connection
// that they do not see. What they say of its ends agrees.
type accomplices struct {
	*tracktest.Conn // with positions that they invented
	victim          *tracktest.Conn
}

// invented is c with other positions: seq and ack are how far they are away.
func invented(c *tracktest.Conn, client, server uint32) *accomplices {
	forged := *c
	forged.Ends[0].Next += client
	forged.Ends[1].Next += server
	for i := range forged.Ends {
		forged.Ends[i].Got = forged.Ends[1-i].Next
	}
	return &accomplices{&forged, c}
}

// far is a distance that is no position of the connection, and not near one.
func far(random *rand.Rand) uint32 { return 1<<25 + random.Uint32N(1<<31) }

// sayBoth has both ends say something, or acknowledge if there is nothing.
func (a *accomplices) sayBoth(client, server []byte) {
	for i, octets := range [][]byte{client, server} {
		a.Write(a.Ends[i].Host, octets)
	}
}

// answer has the victims answer segments that are not of their connection, as
// RFC 9293, section 3.10.7.4 has it.
func answer(c *tracktest.Conn) {
	for i := range c.Ends {
		c.Ack(c.Ends[i].Host)
	}
}

// TestAccomplicesEndNoCall: who does not see a connection ends none of its calls,
// though it sends from both sides.
func TestAccomplicesEndNoCall(t *testing.T) {
	random := seeded(t)
	end := [2][]byte{tracktest.Encode(tracktest.StopRequest()), tracktest.Encode(tracktest.Disconnect(9), tracktest.StopReply())}
	echo := [2][]byte{tracktest.Encode(tracktest.EchoRequest(1)), tracktest.Encode(tracktest.EchoReply(1))}
	attacks := map[string]func(a *accomplices){
		"pure ACK": func(a *accomplices) {
			for range 4 {
				a.sayBoth(nil, nil)
			}
		},
		"octets": func(a *accomplices) {
			for range 4 {
				a.sayBoth(echo[0], echo[1])
			}
			a.sayBoth(end[0], end[1])
		},
		"FIN": func(a *accomplices) {
			a.sayBoth(echo[0], echo[1])
			for range 2 {
				a.Fin(a.Ends[0].Host)
				a.Fin(a.Ends[1].Host)
			}
		},
		"RST": func(a *accomplices) {
			a.sayBoth(echo[0], echo[1])
			a.Reset(a.Ends[1].Host)
			a.Reset(a.Ends[0].Host)
		},
		"handshake": func(a *accomplices) {
			a.Flags(a.Ends[0].Host, wire.SYN)
			a.Flags(a.Ends[1].Host, wire.SYN|wire.ACK)
			a.sayBoth(nil, nil)
			a.sayBoth(end[0], end[1])
			a.Close()
		},
	}
	positions := map[string]func() uint32{
		"far":  func() uint32 { return far(random) },
		"near": func() uint32 { return 1<<17 + random.Uint32N(1<<23) },
	}
	for name, attack := range attacks {
		for distance, position := range positions {
			for _, since := range []string{"in full view", "restored"} {
				t.Run(name+", "+distance+", "+since, func(t *testing.T) {
					w := tracktest.New(t)
					c := w.Dial(w.Client, w.Server)
					call := c.OutCall(7, 9)
					wantUp(t, call)
					w.Advance(time.Minute)
					if since == "restored" {
						restart(t, w, time.Second)
					}
					for range 8 {
						a := invented(c, position(), position())
						attack(a)
						answer(c)
						w.Advance(answerTime)
						a.sayBoth(echo[0], echo[1])
						answer(c)
						w.Advance(time.Duration(random.IntN(60)) * time.Second)
						wantUp(t, call)
					}
					wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
					wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
					wantUp(t, c.OutCall(8, 10), call)
					call.Disconnect()
					wantDown(t, call)
				})
			}
		}
	}
}

// TestMissedMuch: the ends have gone on by more than a window. They are believed
// once the ones that were known have been silent.
func TestMissedMuch(t *testing.T) {
	for name, distance := range map[string]uint32{"near": 1 << 20, "far": 1 << 28} {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			before := c.OutCall(7, 9)
			wantUp(t, before)
			unseen(c, w.Client, distance)
			unseen(c, w.Server, distance)
			for range 2 {
				wantPass(t, c.Say(w.Client, tracktest.EchoRequest(1)), track.ReasonControlOutOfWindow)
				wantPass(t, c.Say(w.Server, tracktest.EchoReply(1)), track.ReasonControlOutOfWindow)
				w.Advance(time.Minute)
				wantUp(t, before)
			}
			wantControl(t, c.Say(w.Client, tracktest.EchoRequest(1)))
			wantControl(t, c.Say(w.Server, tracktest.EchoReply(1)))
			wantUp(t, c.OutCall(8, 10))
			if name == "near" {
				wantUp(t, before)
			} else {
				wantDown(t, before)
			}
		})
	}
}

// TestHandshakeTakesOver: a new connection of the same ports takes the place of
// the old one with its session, or, if it has none, once the old ends have stayed
// silent.
func TestHandshakeTakesOver(t *testing.T) {
	open := func(t *testing.T) (*tracktest.World, *tracktest.Conn, *tracktest.Call) {
		w := tracktest.New(t)
		c := w.Dial(w.Client, w.Server)
		old := c.OutCall(7, 9)
		wantUp(t, old)
		for i := range c.Ends {
			c.Ends[i].Next += 3_000_000
		}
		c.Handshake()
		wantUp(t, old)
		return w, c, old
	}
	t.Run("session", func(t *testing.T) {
		w, c, old := open(t)
		c.Start(w.Client)
		wantDown(t, old)
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("session in pieces", func(t *testing.T) {
		w, c, old := open(t)
		c.SayCut(w.Client, []int{50}, tracktest.StartRequest())
		c.SayCut(w.Server, []int{50}, tracktest.StartReply(okStart))
		wantDown(t, old)
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("session at the second attempt", func(t *testing.T) {
		w, c, old := open(t)
		c.Say(w.Server, tracktest.StartReply(okStart)) // to nothing
		c.Say(w.Client, tracktest.StartRequest(), tracktest.OutRequest(5))
		c.Say(w.Server, tracktest.EchoRequest(1), tracktest.StartReply(pptp.StartResultNotAuthorized))
		wantUp(t, old)
		c.Say(w.Client, tracktest.StartRequest())
		c.Say(w.Server, tracktest.EchoRequest(2), tracktest.StartReply(okStart))
		wantDown(t, old)
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("call asked for with the start", func(t *testing.T) {
		w, c, old := open(t)
		c.Say(w.Client, tracktest.StartRequest(), tracktest.OutRequest(17), tracktest.OutRequest(18))
		want(t, c.Say(w.Server, tracktest.StartReply(okStart), tracktest.OutReply(19, 17, okOut)), track.Expect, track.ReasonControl)
		wantDown(t, old)
		want(t, c.Say(w.Server, tracktest.OutReply(20, 18, okOut)), track.Expect, track.ReasonControl)
	})
	t.Run("stopped before it starts", func(t *testing.T) {
		w, c, old := open(t)
		c.Say(w.Client, tracktest.StartRequest(), tracktest.OutRequest(7), tracktest.StopRequest())
		c.Say(w.Server, tracktest.StartReply(okStart), tracktest.OutReply(9, 7, okOut))
		wantUp(t, old)
	})
	t.Run("no session", func(t *testing.T) {
		w, c, old := open(t)
		c.Say(w.Client, tracktest.EchoRequest(1))
		c.Say(w.Server, tracktest.EchoReply(1))
		wantUp(t, old)
		w.Advance(answerTime)
		wantControl(t, c.Say(w.Client, tracktest.EchoRequest(2)))
		wantDown(t, old)
		c.Start(w.Client)
		wantUp(t, c.OutCall(7, 9))
	})
	t.Run("refused session", func(t *testing.T) {
		w, c, old := open(t)
		wantControl(t, c.Say(w.Client, tracktest.StartRequest()))
		wantControl(t, c.Say(w.Server, tracktest.StartReply(pptp.StartResultNotAuthorized)))
		wantUp(t, old)
	})
}
