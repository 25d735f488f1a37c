package wire_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/wire"
)

// TestZoneText writes the zone of a random frame and reads it again.
func TestZoneText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packet := ether4(ip4(47, "", data))
		if rapid.Bool().Draw(t, "PPPoE") {
			packet = pppoe(rapid.IntRange(0, 65535).Draw(t, "session"), cat(octets("0021"), ip4(47, "", data)))
		}
		for _, vid := range rapid.SliceOfN(rapid.IntRange(0, 4095), 0, 2).Draw(t, "tags") {
			packet = tag(0x8100, vid, packet)
		}
		var p wire.Packet
		wire.Decode(eth(packet), &p)
		text, err := json.Marshal(p.Zone)
		if err != nil || string(text) != `"`+p.Zone.String()+`"` {
			t.Fatalf("%q is written as %s, %v", p.Zone, text, err)
		}
		got := ^wire.Zone(0)
		if err := json.Unmarshal(text, &got); err != nil || got != p.Zone {
			t.Fatalf("%s is read as %q, %v", text, got, err)
		}
	})
}

func TestZoneUnmarshalTextRefuses(t *testing.T) {
	for _, text := range []string{".", "100.", ".100", "0", "4096", "-1", "+1", "a", "1.2.3", "ppp", "ppp65536", "ppp7.100", "ppp7.ppp7", "100 ", "1..2"} {
		var z wire.Zone
		if err := z.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %q", text, z)
		}
	}
}

func TestIsExtension(t *testing.T) {
	extensions := map[int]bool{0: true, 43: true, 44: true, 51: true, 60: true, 135: true, 139: true, 140: true}
	for proto := range 256 {
		if got := wire.IsExtension(6, uint8(proto)); got != extensions[proto] {
			t.Errorf("IPv6, %d: %v", proto, got)
		}
		if got := wire.IsExtension(4, uint8(proto)); got != (proto == 51) {
			t.Errorf("IPv4, %d: %v", proto, got)
		}
	}
}

func TestFirstFragment(t *testing.T) {
	for offset, want := range map[int]bool{0: true, 8: false} {
		var p wire.Packet
		wire.Decode(eth(ether4(fragment4(47, offset, true, data))), &p)
		if p.FirstFragment() != want {
			t.Errorf("offset %d: %v", offset, p.FirstFragment())
		}
	}
	var p wire.Packet
	if wire.Decode(eth(ether4(ip4(47, "", data))), &p); p.FirstFragment() {
		t.Error("a whole datagram is a first fragment")
	}
}

func TestZoneVLANs(t *testing.T) {
	for text, want := range map[string]string{"": "[] true", "100": "[100] true", "100.200": "[100 200] true", "ppp7": "[] false", "1.2.ppp7": "[1 2] false"} {
		var z wire.Zone
		if err := z.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		vids, ok := z.VLANs()
		if got := fmt.Sprint(vids, ok); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
