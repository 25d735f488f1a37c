package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
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

// TestReplayIsReproducible: two replays under translation come out alike, to the
// octet of what is written; another seed chooses other call IDs.
func TestReplayIsReproducible(t *testing.T) {
	conf := write(t, "grewire.toml", "[nat]\nmode = 'call-id'\n")
	var frames [][]byte
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) { frames = append(frames, r.Data) }
	clients := []*tracktest.Host{w.Client, tracktest.NewHost(track.LAN, "192.0.2.77"), tracktest.NewHost(track.LAN, "192.0.2.78")}
	for _, client := range clients { // all with one call ID: all but the first get another
		w.Dial(client, w.Server).OutCall(7, 9)
	}
	path := captureEvery(t, time.Millisecond, "same.pcap", frames...)
	replay := func(more ...string) (text, file string) {
		out := filepath.Join(t.TempDir(), "out.pcapng")
		got := grewire(t, append([]string{"replay", "-json", "-config", conf, "-o", out, path}, more...)...)
		if got.code != exitOK {
			t.Fatal(got.errors)
		}
		octets, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return got.out, string(octets)
	}
	text, file := replay()
	if again, octets := replay(); again != text || octets != file {
		t.Error("a second replay comes out otherwise")
	}
	if again, octets := replay("-seed", "1"); again != text || octets != file {
		t.Error("the seed of before comes out otherwise")
	}
	if _, octets := replay("-seed", "2"); octets == file {
		t.Error("another seed comes out alike: the test sees nothing")
	}
}
