package main

import (
	"testing"

	"github.com/grewire/grewire/track"
)

// TestPartyOf: an ID that is not assigned yet is no 0, which is an ID too.
func TestPartyOf(t *testing.T) {
	pns, pac := track.Party{Addr: lanIP, Side: track.LAN, CallID: 7}, track.Party{Addr: wanIP, Side: track.WAN}
	tests := []struct {
		kind     string
		state    track.CallState
		pns, pac uint16
		want     string
	}{
		{track.Outgoing, track.CallRequested, 7, 0, "lan 10.0.0.11#7, wan 2001:db8::2#-"},
		{track.Outgoing, track.CallRequested, 0, 0, "lan 10.0.0.11#0, wan 2001:db8::2#-"},
		{track.Outgoing, track.CallConnected, 7, 0, "lan 10.0.0.11#7, wan 2001:db8::2#0"},
		{track.Incoming, track.CallRequested, 0, 9, "lan 10.0.0.11#-, wan 2001:db8::2#9"},
		{track.Incoming, track.CallRequested, 7, 9, "lan 10.0.0.11#7, wan 2001:db8::2#9"},
	}
	for _, test := range tests {
		pns.CallID, pac.CallID = test.pns, test.pac
		c := &track.Call{Kind: test.kind, State: test.state, PNS: pns, PAC: pac}
		if got := partyOf(c, pns) + ", " + partyOf(c, pac); got != test.want {
			t.Errorf("%s, %s: %s, want %s", test.kind, test.state, got, test.want)
		}
	}
}
