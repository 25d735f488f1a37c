package track_test

import (
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// Handshake and outgoing calls.

func TestScenario001_OutCallThenGREBothWays(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).OutCall(7, 9)
	wantEvents(t, w, track.EventControlOpen, track.EventCallRequested, track.EventCallConnected)
	wantState(t, call, track.CallConnected)
	wantUsed(t, w, "expectations", 2)
	if got := len(w.Tracker.Expectations()); got != 2 {
		t.Errorf("%d expectations, want one per direction", got)
	}
	wantPass(t, call.GRE(w.Client), track.ReasonCall)
	wantUsed(t, w, "expectations", 0)
	wantState(t, call, track.CallConnected)
	wantPass(t, call.GRE(w.Server), track.ReasonCall)
	wantState(t, call, track.CallActive)
	wantEvents(t, w, track.EventCallActive)
	checkFirstCall(t, w, call)
}

// checkFirstCall compares the snapshot of a call with one GRE packet each way
// (IP 20, GRE 12, payload 40 octets) to what it must be.
func checkFirstCall(t *testing.T, w *tracktest.World, k *tracktest.Call) {
	t.Helper()
	got, _ := w.Find(k.Number)
	one := track.Traffic{Packets: 1, Bytes: 72}
	wanted := track.Call{
		ID: k.Number, State: track.CallActive, Kind: track.Outgoing,
		PNS:     track.Party{Addr: w.Client.Addr, Side: track.LAN, CallID: 7},
		PAC:     track.Party{Addr: w.Server.Addr, Side: track.WAN, CallID: 9},
		Started: w.Now.Std(), LastSeen: w.Now.Std(), LANToWAN: one, WANToLAN: one,
		Control: track.Control{
			LANAddr: w.Client.Addr, LANPort: k.Conn.Ends[0].Port, WANAddr: w.Server.Addr, WANPort: pptp.Port,
		},
	}
	if got != wanted {
		t.Errorf("call is\n%+v, want\n%+v", got, wanted)
	}
}

func TestScenario002_EitherEndMaySendGREFirst(t *testing.T) {
	for _, first := range []track.Side{track.LAN, track.WAN} {
		t.Run(first.String(), func(t *testing.T) {
			w := tracktest.New(t)
			call := w.Dial(w.Client, w.Server).OutCall(7, 9)
			from, then := w.Client, w.Server
			if first == track.WAN {
				from, then = then, from
			}
			wantPass(t, call.GRE(from), track.ReasonCall)
			wantUsed(t, w, "expectations", 0)
			wantPass(t, call.GRE(then), track.ReasonCall)
			wantState(t, call, track.CallActive)
			wantCalls(t, w, 1)
		})
	}
}

func TestScenario003_RefusedStartAllowsNoCall(t *testing.T) {
	for result := pptp.StartResultGeneralError; result <= pptp.StartResultBadVersion; result++ {
		t.Run(result.String(), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Connect(w.Client, w.Server)
			c.Say(w.Client, tracktest.StartRequest())
			c.Say(w.Server, tracktest.StartReply(result))
			wantCounted(t, w, track.AnomalyIllegalMessage, 2, func() {
				wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
				wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
			})
			wantCalls(t, w, 0)
			wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
		})
	}
}

// Some modems grant with result 0, and clients take that for success.
func TestScenario003_ResultZeroGrantsTheStart(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	c.Say(w.Client, tracktest.StartRequest())
	wantCounted(t, w, track.AnomalyStartResult, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.StartReply(pptp.StartResultUnset)))
	})
	wantUp(t, c.OutCall(7, 9))
}

func TestScenario004_RefusedCallLeavesNothing(t *testing.T) {
	for result := pptp.OutCallResultGeneralError; result <= pptp.OutCallResultDoNotAccept; result++ {
		t.Run(result.String(), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			c.Say(w.Client, tracktest.OutRequest(7))
			w.Events()
			reply := tracktest.OutReply(9, 7, result)
			reply.CauseCode = 17
			wantControl(t, c.Say(w.Server, reply))
			refused := eventsOf(w, track.EventCallRefused)
			if len(refused) != 1 || refused[0].Result != uint16(result) || refused[0].CauseCode != 17 {
				t.Errorf("refusals %+v, want one with result %d, cause 17", refused, result)
			}
			wantCalls(t, w, 0)
			wantUsed(t, w, "calls", 0)
			wantUsed(t, w, "expectations", 0)
			wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
			wantUp(t, c.OutCall(7, 9)) // the id is free again
		})
	}
}

func TestScenario005_ReplyToNobodyIsIgnored(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 8, okOut)))
	})
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
}

// A repeated reply with the same ids is a repeat.
func TestScenario006_DuplicateReplyChangesNothing(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	w.Events()
	for range 3 {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	}
	wantEvents(t, w)
	wantUsed(t, w, "expectations", 2)
	wantUp(t, call)
	wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	wantUsed(t, w, "expectations", 0)
	wantState(t, call, track.CallActive)
	wantCalls(t, w, 1)
}

// Without a new request a reply with another PAC id answers nothing: it
// changes nothing and is counted. With one, the new call replaces the old.
func TestScenario007_ReplyWithAnotherPACID(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	old := c.OutCall(7, 9)
	wantUp(t, old)
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(10, 7, okOut)))
	})
	wantUp(t, old)
	wantDrop(t, w.GRE(w.Client, w.Server, 10), track.ReasonNotNegotiated)
	w.Events()
	renewed := c.OutCall(7, 10)
	wantEnded(t, w, "replaced")
	wantUp(t, renewed)
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantCalls(t, w, 1)
	wantUsed(t, w, "calls", 1)
}

// As long as no GRE of the call was seen, another PAC id replaces the first.
func TestScenario007_ReplyReplacesOneWithoutGRE(t *testing.T) {
	for name, ends := range pairings(tracktest.New(t)) {
		t.Run(name, func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(ends[0], ends[1])
			call := c.OutCall(7, 9)
			want(t, c.Say(call.PAC, tracktest.OutReply(10, 7, okOut)), track.Expect, track.ReasonControl)
			wantDrop(t, w.GRE(call.PNS, call.PAC, 9), track.ReasonNotNegotiated)
			call.PACID, call.PACAlias = 10, 10
			wantUp(t, call)
			wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
				wantControl(t, c.Say(call.PAC, tracktest.OutReply(11, 7, okOut)))
			})
			wantUp(t, call)
			wantCalls(t, w, 1)
			w.CheckEmpty()
		})
	}
}

func TestScenario008_CallBeforeStartIsFlagged(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	wantCounted(t, w, track.AnomalyIllegalMessage, 1, func() {
		wantControl(t, c.Say(w.Client, tracktest.OutRequest(7)))
	})
	wantCalls(t, w, 0)
	c.Start(w.Client)
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	})
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantUp(t, c.OutCall(7, 9))
}

func TestScenario009_StartAgainAfterRefusal(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	c.Say(w.Client, tracktest.StartRequest())
	c.Say(w.Server, tracktest.StartReply(pptp.StartResultNotAuthorized))
	c.Start(w.Client)
	wantUp(t, c.OutCall(7, 9))
}

func TestScenario010_OtherVersions(t *testing.T) {
	for _, version := range []pptp.ProtocolVersion{0x0200, 0x0001} {
		t.Run(version.String(), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Connect(w.Client, w.Server)
			request, reply := tracktest.StartRequest(), tracktest.StartReply(okStart)
			request.ProtocolVersion, reply.ProtocolVersion = version, version
			wantControl(t, c.Say(w.Client, request))
			wantControl(t, c.Say(w.Server, reply))
			wantUp(t, c.OutCall(7, 9))
		})
	}
}

func TestScenario011_SwappedCapabilityWords(t *testing.T) {
	w := tracktest.New(t)
	c := w.Connect(w.Client, w.Server)
	reply := tracktest.StartReply(okStart)
	reply.FramingCapabilities = pptp.FramingCapability(bits.ReverseBytes32(uint32(reply.FramingCapabilities)))
	reply.BearerCapabilities = pptp.BearerCapability(bits.ReverseBytes32(uint32(reply.BearerCapabilities)))
	wantControl(t, c.Say(w.Client, tracktest.StartRequest()))
	wantControl(t, c.Say(w.Server, reply))
	wantUp(t, c.OutCall(7, 9))
}

func TestScenario012_ExtremeCallIDs(t *testing.T) {
	ids := []uint16{0, 1, 0xffff}
	for _, pns := range ids {
		for _, pac := range ids {
			t.Run(fmt.Sprintf("%d-%d", pns, pac), func(t *testing.T) {
				w := tracktest.New(t)
				call := w.Dial(w.Client, w.Server).OutCall(pns, pac)
				wantUp(t, call)
				wantDrop(t, w.GRE(w.Client, w.Server, pac+2), track.ReasonNotNegotiated)
				call.Disconnect()
				wantDown(t, call)
			})
		}
	}
}

func TestScenario013_UnansweredCallExpires(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	w.Advance(119 * time.Second)
	wantCalls(t, w, 1)
	w.Events()
	w.Advance(2 * time.Second)
	wantCalls(t, w, 0)
	wantEnded(t, w, "timeout")
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)))
	})
	wantDrop(t, w.GRE(w.Client, w.Server, 9), track.ReasonNotNegotiated)
	wantUp(t, c.OutCall(7, 9))
}

// An access concentrator that dials, or asks for a token, answers late.
func TestScenario013_CallIsAnsweredLate(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Client, tracktest.OutRequest(7))
	w.Advance(119 * time.Second)
	want(t, c.Say(w.Server, tracktest.OutReply(9, 7, okOut)), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Client, w.Server, 9), track.ReasonCall)
	wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
}

// Incoming calls.

func TestScenario014_InCallThenGRE(t *testing.T) {
	w := tracktest.New(t)
	call := w.Dial(w.Client, w.Server).InCall(7, 9)
	wantUp(t, call)
	got, _ := w.Find(call.Number)
	if got.Kind != track.Incoming || got.PNS.Addr != w.Client.Addr || got.PNS.CallID != 7 || got.PAC.CallID != 9 {
		t.Errorf("call is %+v, want incoming, PNS %s with id 7, PAC with id 9", got, w.Client.Addr)
	}
	wantDrop(t, w.GRE(w.Client, w.Server, 7), track.ReasonNotNegotiated)
}

func TestScenario015_RefusedInCall(t *testing.T) {
	for _, result := range []pptp.InCallResult{pptp.InCallResultGeneralError, pptp.InCallResultDoNotAccept} {
		t.Run(result.String(), func(t *testing.T) {
			w := tracktest.New(t)
			c := w.Dial(w.Client, w.Server)
			c.Say(w.Server, tracktest.InRequest(9))
			w.Events()
			wantControl(t, c.Say(w.Client, tracktest.InReply(7, 9, result)))
			wantEvents(t, w, track.EventCallRefused)
			wantControl(t, c.Say(w.Server, tracktest.InConnected(7)))
			wantCalls(t, w, 0)
			wantDrop(t, w.GRE(w.Server, w.Client, 7), track.ReasonNotNegotiated)
			wantUp(t, c.InCall(7, 9))
		})
	}
}

func TestScenario016_InConnectedWithWrongID(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Server, tracktest.InRequest(9))
	c.Say(w.Client, tracktest.InReply(7, 9, okIn))
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() {
		wantControl(t, c.Say(w.Server, tracktest.InConnected(8)))
	})
	w.Advance(time.Second) // GRE from before is held, but not as long
	want(t, c.Say(w.Server, tracktest.InConnected(7)), track.Expect, track.ReasonControl)
	wantPass(t, w.GRE(w.Server, w.Client, 7), track.ReasonCall)
}

func TestScenario018_DisconnectBeforeInConnected(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	c.Say(w.Server, tracktest.InRequest(9))
	c.Say(w.Client, tracktest.InReply(7, 9, okIn))
	w.Events()
	wantControl(t, c.Say(w.Server, tracktest.Disconnect(9)))
	wantEnded(t, w, "call-disconnect-notify")
	wantControl(t, c.Say(w.Server, tracktest.InConnected(7)))
	wantCalls(t, w, 0)
	wantDrop(t, w.GRE(w.Server, w.Client, 7), track.ReasonNotNegotiated)
}

// Control connections opened by either end.

func TestScenario020_PACOpensTheConnection(t *testing.T) {
	for _, opener := range []track.Side{track.LAN, track.WAN} {
		t.Run(opener.String(), func(t *testing.T) {
			w := tracktest.New(t)
			pac, pns := w.Client, w.Server
			if opener == track.WAN {
				pac, pns = pns, pac
			}
			c := w.Dial(pac, pns)
			call := c.OutCallBy(pns, 7, 9)
			wantUp(t, call)
			got, _ := w.Find(call.Number)
			if got.PNS.Addr != pns.Addr || got.PNS.Side != pns.Side || got.PAC.Side != pac.Side {
				t.Errorf("call is %+v, want PNS %s on %s", got, pns.Addr, pns.Side)
			}
			call.Clear()
			call.Disconnect()
			wantDown(t, call)
		})
	}
}

func TestScenario021_PACOpensAndOffersACall(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Server, w.Client)
	call := c.InCallBy(w.Client, 7, 9)
	wantUp(t, call)
	call.Disconnect()
	wantDown(t, call)
}

// Both ends open a connection at once; the one with the higher address wins
// (RFC 2637, section 3.1.3) and the loser closes its own.
func TestScenario022_StartCollision(t *testing.T) {
	w := tracktest.New(t)
	ours, theirs := w.Connect(w.Client, w.Server), w.Connect(w.Server, w.Client)
	wantControl(t, ours.Say(w.Client, tracktest.StartRequest()))
	wantControl(t, theirs.Say(w.Server, tracktest.StartRequest()))
	ours.Close() // 192.0.2.10 is lower than 198.51.100.1
	wantControl(t, theirs.Say(w.Client, tracktest.StartReply(okStart)))
	wantUp(t, theirs.OutCallBy(w.Client, 7, 9))
	wantCalls(t, w, 1)
}

func TestScenario023_TwoConnectionsOfOnePair(t *testing.T) {
	w := tracktest.New(t)
	one, two := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
	first, second := one.OutCall(7, 9), two.OutCall(8, 10)
	wantUp(t, first, second)
	one.Close()
	wantDown(t, first)
	wantUp(t, second)
}

// IDs are unique per pair of peers, not per connection (RFC 2637, section
// 3.2.1): a call of one connection has to wait for the end of one of the other with
// its id, as long as that one lives.
func TestScenario023_EqualIDsOnTwoConnectionsOfOnePair(t *testing.T) {
	for _, ids := range [][2]uint16{{7, 9}, {7, 10}, {8, 9}} {
		t.Run(fmt.Sprintf("ids %d and %d", ids[0], ids[1]), func(t *testing.T) {
			w := tracktest.New(t)
			one, two := w.Dial(w.Client, w.Server), w.Dial(w.Client, w.Server)
			old := one.OutCall(7, 9)
			wantUp(t, old)
			w.Events()
			wantCounted(t, w, track.AnomalyCallIDTaken, 1, func() {
				wantControl(t, two.Say(w.Client, tracktest.OutRequest(ids[0])))
				wantControl(t, two.Say(w.Server, tracktest.OutReply(ids[1], ids[0], okOut)))
				wantControl(t, two.Say(w.Server, tracktest.OutReply(ids[1], ids[0], okOut)))
				w.Advance(3 * time.Second)
			})
			wantEvents(t, w, track.EventCallRequested, track.EventCallIDTaken)
			wantUp(t, old)
			if ids[1] != 9 {
				wantDrop(t, w.GRE(w.Client, w.Server, ids[1]), track.ReasonNotNegotiated)
			}
			if ids[0] != 7 {
				wantDrop(t, w.GRE(w.Server, w.Client, ids[0]), track.ReasonNotNegotiated)
			}
			wantUsed(t, w, "expectations", 0)
			one.Close()
			w.Advance(1100 * time.Millisecond)
			wantEvents(t, w, track.EventCallEnded, track.EventControlClose, track.EventCallConnected)
			wantPass(t, w.GRE(w.Client, w.Server, ids[1]), track.ReasonCall)
			wantPass(t, w.GRE(w.Server, w.Client, ids[0]), track.ReasonCall)
			wantCalls(t, w, 1)
			w.CheckEmpty()
		})
	}
}

func TestScenario024_ServerStops(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	one, two := c.OutCall(7, 9), c.OutCall(8, 10)
	wantUp(t, one, two)
	wantControl(t, c.Say(w.Server, tracktest.StopRequest()))
	wantDown(t, one, two)
	wantControl(t, c.Say(w.Client, tracktest.StopReply()))
	c.Close()
	w.CheckEmpty()
}

func TestScenario025_ServerSendsEcho(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	wantCounted(t, w, track.AnomalyIllegalMessage, 0, func() {
		wantControl(t, c.Say(w.Server, tracktest.EchoRequest(3)))
		wantControl(t, c.Say(w.Client, tracktest.EchoReply(3)))
	})
	wantUp(t, call)
}

func TestScenario026_ServerSendsSetLinkInfo(t *testing.T) {
	w := tracktest.New(t)
	c := w.Dial(w.Client, w.Server)
	call := c.OutCall(7, 9)
	w.Advance(time.Second)
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 0, func() {
		r := c.Say(w.Server, tracktest.LinkInfo(7)) // the receiver's id
		wantControl(t, r)
		if r.Call != call.Number {
			t.Errorf("%s, want it to be about call %d", r, call.Number)
		}
	})
	if got, _ := w.Find(call.Number); got.LastSeen != w.Now.Std() {
		t.Errorf("last seen %v, want %v", got.LastSeen, w.Now.Std())
	}
	wantCounted(t, w, track.AnomalyUnmatchedMessage, 1, func() { c.Say(w.Server, tracktest.LinkInfo(9)) })
	wantUp(t, call)
}
