package track_test

import (
	"testing"

	"github.com/grewire/grewire/track"
)

// TestNames sees that every member of every closed list has a name of its own.
func TestNames(t *testing.T) {
	lists := map[string][]string{}
	for r := track.Reason(1); r < track.NumReasons; r++ {
		lists["reason"] = append(lists["reason"], r.String())
	}
	for a := track.Anomaly(0); a < track.NumAnomalies; a++ {
		lists["anomaly"] = append(lists["anomaly"], a.String())
	}
	for k := track.EventControlOpen; k <= track.EventBypassOff; k++ {
		lists["event"] = append(lists["event"], k.String())
	}
	for v := track.Forward; v <= track.Hold; v++ {
		lists["verdict"] = append(lists["verdict"], v.String())
	}
	for s := track.CallRequested; s <= track.CallEnded; s++ {
		lists["call state"] = append(lists["call state"], s.String())
	}
	for list, names := range lists {
		seen := map[string]bool{"": true}
		for i, name := range names {
			if seen[name] {
				t.Errorf("%s number %d of %d is named %q, as is another", list, i, len(names), name)
			}
			seen[name] = true
		}
	}
}
