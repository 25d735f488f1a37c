package capture_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grewire/grewire/bridge/capture"
)

// TestWriterForTcpdump: tcpdump reads every frame of what the Writer wrote,
// for every link type.
func TestWriterForTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	v4 := "\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x11\x00\x00\x0a\x00\x00\x0b\x0a\x00\x00\x02\x10\x00\x20\x00\x00\x08\x00\x00"
	v6 := "\x60\x00\x00\x00\x00\x08\x11\x40" + strings.Repeat("\x20\x01", 16) + "\x10\x00\x20\x00\x00\x08\x00\x00"
	tests := []struct {
		name    string
		link    uint32
		packets []string
	}{
		{"Ethernet", 1, []string{string(make([]byte, 12)) + "\x08\x00" + v4, string(make([]byte, 12)) + "\x86\xdd" + v6}},
		{"SLL", 113, []string{sll + v4, sll[:14] + "\x86\xdd" + v6}},
		{"SLL2", 276, []string{sll2 + v4, "\x86\xdd" + sll2[2:] + v6}},
		{"raw IP", 101, []string{v4, v6, v4, v6}},
		{"raw IP, BSD", 12, []string{v4, v6}},
		{"raw IP, OpenBSD", 14, []string{v4, v6}},
		{"IPv4", 228, []string{v4, v4}},
		{"IPv6", 229, []string{v6, v6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var packets [][]byte
			for _, p := range test.packets {
				packets = append(packets, []byte(p))
			}
			all, err := records(t, pcapOf(le, nano, test.link, packets...))
			if err != io.EOF {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "out.pcapng")
			if err := os.WriteFile(path, written(t, capture.LinkType(test.link), all), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tcpdump, "-n", "-t", "-r", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.Count(string(out), ".8192: "); got != len(packets) {
				t.Errorf("tcpdump reads %d of %d packets:\n%s", got, len(packets), out)
			}
		})
	}
}
