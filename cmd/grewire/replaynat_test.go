package main

import (
	"strings"
	"testing"
)

// TestReplayNAT: a capture that was made without the box, played with
// translation: a line says what came in and what leaves, and a warning why the
// other side's frames drop.
func TestReplayNAT(t *testing.T) {
	const path = "testdata/captures/real-bridge-twoclients.pcap"
	const nat = "[nat]\nmode = 'masquerade'\naddress = '10.9.9.9'\n"
	got := grewire(t, "replay", "-config", write(t, "grewire.toml", nat), path)
	rewritten := 0
	for line := range strings.Lines(got.out) {
		came, leaves, changed := strings.Cut(line, "; leaves as ")
		if !strings.Contains(line, " lan rewrite ") {
			if changed {
				t.Errorf("changed, but not rewritten: %s", line)
			}
			continue
		}
		rewritten++
		if strings.Contains(came, "10.9.9.9") || !strings.HasPrefix(leaves, "IP 10.9.9.9.") {
			t.Errorf("a rewritten frame: %s", line)
		}
	}
	if rewritten == 0 {
		t.Errorf("no frame is rewritten:\n%s", got.out)
	}
	const warning = "from the wan dropped for want of a translation"
	if strings.Count(got.errors, warning) != 1 {
		t.Errorf("no warning: %s", got.errors)
	}
	if got = grewire(t, "replay", path); strings.Contains(got.errors, warning) || strings.Contains(got.out, "leaves as") {
		t.Errorf("without translation: %s", got.errors)
	}
}
