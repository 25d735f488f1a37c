package pptp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "ask the installed tcpdump for the lines of testdata/tcpdump.golden")

const goldenFile = "testdata/tcpdump.golden"

// goldenCase is a message and what tcpdump prints for it.
type goldenCase struct {
	message        []byte
	plain, verbose string
}

// readGolden returns the cases of the golden file.
func readGolden(t testing.TB) (cases []goldenCase) {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if lines[0] == "" || lines[0][0] == '#' {
			continue
		}
		message, err := hex.DecodeString(lines[0])
		if err != nil {
			t.Fatalf("%s: %q: %v", goldenFile, lines[0], err)
		}
		lines = append(lines, "", "")
		cases = append(cases, goldenCase{message, lines[1], lines[2]})
	}
	return cases
}

// writeGolden puts tcpdump's present lines in the golden file, whose comments
// and messages stay.
func writeGolden(t *testing.T, cases []goldenCase) {
	t.Helper()
	messages := make([][]byte, len(cases))
	for i, c := range cases {
		messages[i] = c.message
	}
	plain, verbose := tcpdumpLines(t, messages), tcpdumpLines(t, messages, "-v")
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	next := 0
	for i, block := range blocks {
		if block[0] != '#' {
			first, _, _ := strings.Cut(block, "\n")
			blocks[i] = first + "\n" + plain[next] + "\n" + verbose[next]
			next++
		}
	}
	if err := os.WriteFile(goldenFile, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t, readGolden(t))
	}
	seen := map[ControlType]int{}
	for _, c := range readGolden(t) {
		m, err := Decode(c.message)
		if err != nil {
			t.Errorf("%x: %v", c.message, err)
			continue
		}
		seen[m.ControlType()]++
		if got := m.String(); got != c.plain {
			t.Errorf("%x\n got %s\nwant %s", c.message, got, c.plain)
		}
		if got := Verbose(m); got != c.verbose {
			t.Errorf("%x\n got %s\nwant %s", c.message, got, c.verbose)
		}
	}
	if len(seen) != numControlTypes-1 {
		t.Errorf("the golden file has messages of %d types, want all %d", len(seen), numControlTypes-1)
	}
}

// TestLiveTcpdump compares random messages of every type with the tcpdump
// installed here, if it is of the series whose form this package has.
// TestGolden needs none.
func TestLiveTcpdump(t *testing.T) {
	version, err := exec.Command("tcpdump", "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), "tcpdump version 4.99.") {
		t.Skipf("needs tcpdump 4.99: %v, %q", err, version)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var encoded [][]byte
	for range 20 {
		for ct := StartControlConnectionRequest; ct < numControlTypes; ct++ {
			encoded = append(encoded, randomMessage(rnd, ct, rnd.IntN(3)))
		}
	}
	plain, verbose := tcpdumpLines(t, encoded), tcpdumpLines(t, encoded, "-v")
	for i, b := range encoded {
		m, err := Decode(b)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if got := m.String(); got != plain[i] {
			t.Errorf("%x\n got %s\nwant %s", b, got, plain[i])
		}
		if got := Verbose(m); got != verbose[i] {
			t.Errorf("%x\n got %s\nwant %s", b, got, verbose[i])
		}
	}
}

// randomMessage returns a message of type ct with a right header and anything
// else random, small numbers often, and so many octets after the RFC's.
func randomMessage(rnd *rand.Rand, ct ControlType, trailing int) []byte {
	b := make([]byte, FixedLength(ct)+trailing)
	for i := range b {
		if b[i] = byte(rnd.IntN(256)); rnd.IntN(3) == 0 {
			b[i] = byte(rnd.IntN(9))
		}
	}
	binary.BigEndian.PutUint16(b[0:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[2:], uint16(ControlMessage))
	binary.BigEndian.PutUint32(b[4:], MagicCookie)
	binary.BigEndian.PutUint16(b[8:], uint16(ct))
	return b
}

// tcpdumpLines returns what tcpdump prints for each message, from "pptp" on.
func tcpdumpLines(t *testing.T, messages [][]byte, flags ...string) (lines []string) {
	t.Helper()
	cmd := exec.Command("tcpdump", append(flags, "-nn", "-t", "-r", "-")...)
	cmd.Stdin = bytes.NewReader(rawIPCapture(messages))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	for line := range strings.Lines(string(out)) {
		if _, text, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": pptp "); found {
			lines = append(lines, "pptp "+text)
		}
	}
	if len(lines) != len(messages) {
		t.Fatalf("%v printed %d messages, want %d", cmd, len(lines), len(messages))
	}
	return lines
}

// rawIPCapture returns a pcap file with each message in a TCP segment of its
// own, straight on IP (link type 101).
func rawIPCapture(messages [][]byte) []byte {
	big := binary.BigEndian
	file := big.AppendUint32(nil, 0xA1B2C3D4)
	file = append(file, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 101)
	for _, m := range messages {
		length := uint32(40 + len(m))
		file = append(file, 0, 0, 0, 0, 0, 0, 0, 0)
		file = big.AppendUint32(big.AppendUint32(file, length), length)
		file = append(file, 0x45, 0, byte(length>>8), byte(length), 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
		file = big.AppendUint16(big.AppendUint16(file, 40000), Port)
		file = append(file, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0, 100, 0, 0, 0, 0)
		file = append(file, m...)
	}
	return file
}
