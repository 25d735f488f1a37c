package track_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// TestProcessPart: a batch of much work is done in parts, with the verdicts and the
// events that it has as a whole; one of data, or of the messages of normal
// traffic, is one part.
func TestProcessPart(t *testing.T) {
	for _, c := range []struct {
		name     string
		segments int // with messages, among 64 frames
		messages int // in each
		parts    int // at least; 1: exactly
	}{
		{"data", 0, 0, 1},
		{"a message each", 64, 1, 1},
		{"many messages each", 64, 8, 2},
		{"huge segments", 8, 380, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, wholes := playParts(t, c.segments, c.messages, false)
			parts, n := playParts(t, c.segments, c.messages, true)
			if diff := cmp.Diff(whole, parts); diff != "" {
				t.Errorf("whole (-) and in parts (+):\n%s", diff)
			}
			if wholes != 1 || n < c.parts || c.parts == 1 && n != 1 {
				t.Errorf("%d parts, want %d; Process made %d", n, c.parts, wholes)
			}
		})
	}
}

// playParts plays a batch of GRE and of call requests, in parts or as a whole, and
// returns the verdicts, the events and the number of parts.
func playParts(t *testing.T, segments, messages int, inParts bool) (came [2][]string, parts int) {
	c := newCrowd(t, 64, 1, 4096)
	var frames []track.Frame
	for i := range 64 {
		k := c.conns[i%len(c.conns)]
		if i >= segments {
			v := visitOf(i, 1)
			frames = append(frames, track.Frame{Data: tracktest.GRE{CallID: v.ids[0], HasSeq: true, Seq: 9, Payload: []byte{1}}.Frame(v.host(), c.Server)})
			continue
		}
		var requests []pptp.Message
		for id := range messages {
			requests = append(requests, tracktest.OutRequest(uint16(1000+id)))
		}
		frames = append(frames, track.Frame{Data: sent(k, k.Ends[0].Host, wire.ACK|wire.PSH, requests...)})
	}
	lane := c.Lane(track.LAN)
	for ; parts == 0 || len(frames) > 0; parts++ {
		decided, taken := []*track.Frame(nil), len(frames)
		if inParts {
			decided, taken = lane.ProcessPart(frames, c.Now)
		} else {
			decided = lane.Process(frames, c.Now)
		}
		for _, f := range decided {
			came[0] = append(came[0], fmt.Sprintf("%s (%s) call %d", f.Verdict, f.Reason, f.Call))
		}
		for _, e := range lane.Events() {
			came[1] = append(came[1], fmt.Sprintf("%s %s call %d", e.Kind, e.Cause, e.Call.ID))
		}
		frames = frames[taken:]
	}
	return came, parts
}
