package track_test

import (
	"math/rand/v2"
	"testing"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// fuzzLimits are so small that every one of them is reached.
func fuzzLimits(o *track.Options) {
	o.Limits = track.Limits{
		Connections: 4, Calls: 8, CallsPerConnection: 5, CallsPerHost: 6, Expectations: 8,
		Fragments: 4, HoldBytes: 12 << 10,
	}
}

// newScript is a script on a World whose policy it decides, too.
func newScript(t *testing.T, data []byte) *tracktest.Script {
	w := tracktest.New(t, fuzzLimits, func(o *track.Options) {
		if len(data) == 0 || data[0] == 0 {
			return
		}
		flags := data[0]
		o.Policy.AnyGRE = flags&1 != 0
		o.Policy.Other = track.Action(flags >> 1 & 1)
		o.Policy.StrictGRE = track.Action(1 + flags>>2&1)
		o.Policy.GREv0 = track.Action(flags >> 3 & 1)
		o.Policy.Adopt = flags>>4&1 != 0
	})
	return tracktest.NewScript(w, data[min(1, len(data)):])
}

// FuzzTracker plays a script on a tracker of small tables. The World sees
// after every frame that limits hold and bytes are unchanged; in the end there
// must be nothing left.
func FuzzTracker(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 1, 0, 4, 1, 0, 1, 1, 2, 0, 5, 4, 0, 0, 1, 1, 1, 4, 0, 1, 1, 1, 2})
	for seed := byte(1); seed < 16; seed++ {
		b := make([]byte, 512)
		for i := range b {
			b[i] = byte(i*int(seed)*31) ^ byte(i>>3)
		}
		f.Add(b)
	}
	f.Fuzz(runScript)
}

func runScript(t *testing.T, data []byte) {
	if len(data) > 2048 {
		data = data[:2048]
	}
	s := newScript(t, data)
	s.World.Tap = func(r tracktest.Result) {
		if fault := s.World.Tracker.IndexFault(); fault != "" {
			t.Fatalf("%s: %s", r, fault)
		}
	}
	s.Play()
	s.World.CheckEmpty()
	if hosts, keys := s.World.Tracker.TableSizes(); hosts != 0 || keys != 0 || s.World.Tracker.ControlKeys() != 0 {
		t.Errorf("%d hosts, %d keys, %d control keys left over", hosts, keys, s.World.Tracker.ControlKeys())
	}
}

// TestRandomScripts plays scripts that nobody guided.
func TestRandomScripts(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		data := make([]byte, 1500)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if runScript(t, data); t.Failed() {
			t.Fatalf("seed %d, script %d", seed, i)
		}
	}
}
