package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// TestReplayRefusedCall: a call that was refused is among the calls, between
// the one that ended before and the one that lives on.
func TestReplayRefusedCall(t *testing.T) {
	var frames [][]byte
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) { frames = append(frames, r.Data) }
	c := w.Dial(w.Client, w.Server)
	ended := c.OutCall(5, 50)
	ended.Disconnect()
	c.Say(w.Client, tracktest.OutRequest(6))
	c.Say(w.Server, tracktest.OutReply(0, 6, pptp.OutCallResultBusy))
	c.OutCall(7, 70)
	got := grewire(t, "replay", "-json", captureEvery(t, time.Millisecond, "refused.pcap", frames...))
	if got.code != exitOK {
		t.Fatal(got.errors)
	}
	_, sum := parseReplay(t, got.out)
	var calls []string
	for _, c := range sum.Calls {
		calls = append(calls, fmt.Sprintf("%d: %d %s", c.ID, c.PNS.CallID, c.State))
	}
	if diff := cmp.Diff([]string{"1: 5 ended", "2: 6 ended", "3: 7 connected"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestReplayEndsTogether: the summary has all calls of a connection whose end is
// the capture's last frame, as ended.
func TestReplayEndsTogether(t *testing.T) {
	const calls = 20
	var frames [][]byte
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) { frames = append(frames, r.Data) }
	c := w.Dial(w.Client, w.Server)
	for id := range uint16(calls) {
		c.OutCall(id, id)
	}
	c.Reset(w.Client)
	got := grewire(t, "replay", "-json", captureEvery(t, time.Millisecond, "together.pcap", frames...))
	if got.code != exitOK {
		t.Fatal(got.errors)
	}
	_, sum := parseReplay(t, got.out)
	for _, k := range sum.Calls {
		if k.State.String() != "ended" {
			t.Errorf("call %d is %s", k.ID, k.State)
		}
	}
	if len(sum.Calls) != calls {
		t.Errorf("the summary has %d calls, want %d", len(sum.Calls), calls)
	}
}
