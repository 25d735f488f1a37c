package main

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// sumsTalk is a control connection with a call, frame by frame.
type sumsTalk struct {
	frames [][]byte
	sides  []track.Side
}

func newSumsTalk(t testing.TB, client, server string) *sumsTalk {
	talk := &sumsTalk{}
	w := tracktest.New(t)
	w.Tap = func(r tracktest.Result) {
		talk.frames = append(talk.frames, slices.Clone(r.Data))
		talk.sides = append(talk.sides, r.Side)
	}
	w.Dial(tracktest.NewHost(track.LAN, client), tracktest.NewHost(track.WAN, server)).OutCall(7, 9)
	return talk
}

// damage changes the checksums of a side's segments with data: of the first n,
// of all of them and of those without data if n is 0.
func (s *sumsTalk) damage(side track.Side, n int, how func(frame []byte, p *wire.Packet)) *sumsTalk {
	damaged := 0
	for i, frame := range s.frames {
		var p wire.Packet
		wire.Decode(frame, &p)
		if s.sides[i] != side || p.Kind != wire.TCP || n > 0 && (p.PayloadLength() == 0 || damaged == n) {
			continue
		}
		how(frame, &p)
		damaged++
	}
	return s
}

func tcpSum(frame []byte, p *wire.Packet) []byte { return frame[p.L4+16:][:2] }

// The ways in which a segment's checksum is wrong.
func partialSum(frame []byte, p *wire.Packet) {
	unfinished := tracktest.Unfinished(slices.Clone(frame), 0)
	copy(tcpSum(frame, p), tcpSum(unfinished.Data, p))
}
func zeroSum(frame []byte, p *wire.Packet) { clear(tcpSum(frame, p)) }
func oddSum(frame []byte, p *wire.Packet)  { tcpSum(frame, p)[1] ^= 0x5a }
func zeroIPSum(frame []byte, p *wire.Packet) {
	if p.Version == 4 {
		clear(frame[p.L3+10:][:2])
	}
}

// sumsOutcome is how many calls a replay finds, how many segments with a bad
// checksum, and whether it warns of checksums.
type sumsOutcome struct {
	calls, bad int
	warns      bool
}

func sumsReplay(t testing.TB, args ...string) sumsOutcome {
	t.Helper()
	got := grewire(t, append([]string{"replay", "-json"}, args...)...)
	if got.code != exitOK || withoutWarnings(got.errors) != "" || strings.Count(got.errors, "\n") > 1 {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	_, sum := parseReplay(t, got.out)
	return sumsOutcome{len(sum.Calls), sum.Reasons["control-bad-checksum"], strings.Contains(got.errors, "unfinished TCP checksum")}
}

var sumsFamilies = map[string][2]string{
	"IPv4": {"192.0.2.10", "198.51.100.1"},
	"IPv6": {"2001:db8::10", "2001:db8:1::1"},
}

// TestReplayChecksums: hosts that left their checksums to their NIC are followed,
// damaged segments of other hosts are not.
func TestReplayChecksums(t *testing.T) {
	type talk = *sumsTalk
	followed := sumsOutcome{calls: 1, warns: true}
	tests := map[string]struct {
		make func(talk) talk
		want sumsOutcome
	}{
		"right":                 {func(s talk) talk { return s }, sumsOutcome{calls: 1}},
		"client partial":        {func(s talk) talk { return s.damage(track.LAN, 0, partialSum) }, followed},
		"client zero":           {func(s talk) talk { return s.damage(track.LAN, 0, zeroSum) }, followed},
		"client odd":            {func(s talk) talk { return s.damage(track.LAN, 0, oddSum) }, followed},
		"client data partial":   {func(s talk) talk { return s.damage(track.LAN, 9, partialSum) }, followed},
		"client data odd":       {func(s talk) talk { return s.damage(track.LAN, 9, oddSum) }, followed},
		"server partial":        {func(s talk) talk { return s.damage(track.WAN, 0, partialSum) }, followed},
		"server data zero":      {func(s talk) talk { return s.damage(track.WAN, 9, zeroSum) }, followed},
		"both partial":          {func(s talk) talk { return s.damage(track.LAN, 9, partialSum).damage(track.WAN, 9, partialSum) }, followed},
		"both odd":              {func(s talk) talk { return s.damage(track.LAN, 9, oddSum).damage(track.WAN, 9, oddSum) }, sumsOutcome{bad: 4}},
		"one odd":               {func(s talk) talk { return s.damage(track.LAN, 1, oddSum) }, sumsOutcome{calls: 1, bad: 1}},
		"one zero":              {func(s talk) talk { return s.damage(track.LAN, 1, zeroSum) }, sumsOutcome{calls: 1, bad: 1}},
		"one partial":           {func(s talk) talk { return s.damage(track.LAN, 1, partialSum) }, sumsOutcome{calls: 1, bad: 1}},
		"client zero, one more": {func(s talk) talk { return s.damage(track.LAN, 0, zeroSum).damage(track.WAN, 1, oddSum) }, sumsOutcome{1, 1, true}},
		"client odd, one more":  {func(s talk) talk { return s.damage(track.LAN, 0, oddSum).damage(track.WAN, 1, oddSum) }, sumsOutcome{1, 1, true}},
		"client all zero, IP header's too": {func(s talk) talk {
			return s.damage(track.LAN, 0, zeroSum).damage(track.LAN, 0, zeroIPSum)
		}, followed},
	}
	for name, test := range tests {
		for family, hosts := range sumsFamilies {
			t.Run(name+"/"+family, func(t *testing.T) {
				talk := test.make(newSumsTalk(t, hosts[0], hosts[1]))
				if got := sumsReplay(t, captureOf(t, "sums.pcap", talk.frames...)); got != test.want {
					t.Errorf("%+v, want %+v", got, test.want)
				}
			})
		}
	}
}

// TestReplayChecksumsLinks: the same with other link types.
func TestReplayChecksumsLinks(t *testing.T) {
	for family, hosts := range sumsFamilies {
		for link, header := range map[layers.LinkType][]byte{
			layers.LinkTypeRaw:      nil,
			layers.LinkTypeLinuxSLL: {0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0},
		} {
			talk := newSumsTalk(t, hosts[0], hosts[1]).damage(track.LAN, 9, zeroSum)
			var packets [][]byte
			for _, frame := range talk.frames {
				packet := slices.Clone(header)
				if header != nil {
					packet = append(packet, frame[12:14]...)
				}
				packets = append(packets, append(packet, frame[14:]...))
			}
			got := sumsReplay(t, captureAs(t, link, time.Millisecond, "sums.pcap", packets...))
			if want := (sumsOutcome{calls: 1, warns: true}); got != want {
				t.Errorf("%s, link type %s: %+v, want %+v", family, link, got, want)
			}
		}
	}
}

// TestReplayChecksumsFiles: each file tells of the host that it was taken on, and
// of no other.
func TestReplayChecksumsFiles(t *testing.T) {
	hosts := sumsFamilies["IPv4"]
	onClient := newSumsTalk(t, hosts[0], hosts[1]).damage(track.LAN, 0, zeroSum)
	onServer := newSumsTalk(t, hosts[0], hosts[1]).damage(track.WAN, 0, partialSum)
	healthy := newSumsTalk(t, hosts[0], hosts[1]).damage(track.LAN, 1, zeroSum)
	files := func(talks ...*sumsTalk) (paths []string) {
		for _, talk := range talks {
			paths = append(paths, captureOf(t, "sums.pcap", talk.frames...))
		}
		return paths
	}
	if got, want := sumsReplay(t, files(onClient, healthy)...), (sumsOutcome{1, 1, true}); got != want {
		t.Errorf("on the client, healthy: %+v, want %+v", got, want)
	}
	if got, want := sumsReplay(t, files(healthy, onClient)...), (sumsOutcome{1, 1, true}); got != want {
		t.Errorf("healthy, on the client: %+v, want %+v", got, want)
	}
	if got, want := sumsReplay(t, files(onServer)...), (sumsOutcome{1, 0, true}); got != want {
		t.Errorf("on the server: %+v, want %+v", got, want)
	}
	half := len(onClient.frames) / 2
	first, second := captureOf(t, "1.pcap", onClient.frames[:half]...), captureOf(t, "2.pcap", onClient.frames[half:]...)
	if got, want := sumsReplay(t, first, second), (sumsOutcome{1, 0, true}); got != want {
		t.Errorf("in two files: %+v, want %+v", got, want)
	}
}

// TestReplayChecksumsTranslated: what is written under translation has partial
// checksums still, of the new pseudo-header, and octets nobody changes otherwise.
func TestReplayChecksumsTranslated(t *testing.T) {
	talk := newSumsTalk(t, "192.0.2.10", "198.51.100.1").damage(track.LAN, 0, partialSum)
	for mode, rewritten := range map[string]bool{"masquerade": true, "": false} {
		out := filepath.Join(t.TempDir(), "out.pcapng")
		args := []string{"replay", "-o", out}
		if rewritten {
			args = append(args, "-config", write(t, "grewire.toml", masqueradeConfig))
		}
		if got := grewire(t, append(args, captureOf(t, "sums.pcap", talk.frames...))...); got.code != exitOK {
			t.Fatal(got.errors)
		}
		r, err := capture.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		partial, read := 0, 0
		for rec, err := r.Next(); err == nil; rec, err = r.Next() {
			var p wire.Packet
			wire.Decode(rec.Data, &p)
			if !rewritten && string(rec.Data) != string(talk.frames[read]) {
				t.Errorf("frame %d changed though nothing is translated", read+1)
			}
			read++
			if rec.Interface == "wan" {
				if rewritten && p.Src.Netip().String() != "203.0.113.7" || !wire.TCPChecksumPartial(rec.Data, &p) {
					t.Errorf("%q: from %s with checksum %#04x", mode, p.Src.Netip(), binary.BigEndian.Uint16(tcpSum(rec.Data, &p)))
				}
				partial++
			}
		}
		r.Close()
		if partial == 0 {
			t.Errorf("%q: nothing left by the WAN", mode)
		}
	}
}

// TestReplayChecksumsFlag: the error about a wrong value names the right ones.
func TestReplayChecksumsFlag(t *testing.T) {
	for _, value := range []string{"", "no", "AUTO"} {
		got := grewire(t, "replay", "-checksums", value, "x.pcap")
		if got.code != exitUsage || !strings.Contains(got.errors, "-checksums: must be auto, verify or ignore") {
			t.Errorf("-checksums %q: exit code %d: %s", value, got.code, got.errors)
		}
	}
}

// TestReplayChecksumsFew: a single segment with data whose checksum is wrong in no
// known way tells nothing of its host.
func TestReplayChecksumsFew(t *testing.T) {
	talk := newSumsTalk(t, "192.0.2.10", "198.51.100.1").damage(track.LAN, 1, oddSum)
	frames := talk.frames[:4] // the handshake, the Start-Control-Connection-Request
	if got, want := sumsReplay(t, captureOf(t, "sums.pcap", frames...)), (sumsOutcome{bad: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
