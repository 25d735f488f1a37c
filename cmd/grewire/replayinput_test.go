package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

func withoutWarnings(stderr string) (rest string) {
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "grewire replay: warning: ") {
			rest += line
		}
	}
	return rest
}

// stream is a standard input that says what it has and then calls then; it
// ends when end is closed, if ever.
type stream struct {
	io.Reader
	then func()
	end  chan struct{}
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != io.EOF {
		return n, err
	}
	s.then()
	<-s.end
	return 0, io.EOF
}

// interrupted plays a stream, which is interrupted once all of it was read.
func interrupted(t *testing.T, file []byte, ends bool, args ...string) result {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan struct{})
	s := &stream{bytes.NewReader(file), func() {
		if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
			t.Errorf("while it runs, these files have names: %v %v", left, err)
		}
		cancel()
		if ends {
			close(end)
		}
	}, end}
	if !ends {
		t.Cleanup(func() { close(end) })
	}
	var out, errors bytes.Buffer
	code := (&program{in: s, out: &out, err: &errors}).main(ctx, append([]string{"replay", "-json"}, args...))
	return result{code, out.String(), errors.String()}
}

// TestReplayStreamInterrupted: what came until the interrupt is played, also
// if the stream stays open, and if it ends in the middle of a frame.
func TestReplayStreamInterrupted(t *testing.T) {
	file := contents(t, mixedCapture(t))
	const all = 11
	tests := []struct {
		name   string
		file   []byte
		ends   bool
		frames int
		stderr string
	}{
		{"ends by itself", file, true, all, ""},
		{"stays open", file, false, all, "grewire replay: standard input: interrupted: the capture ends here\n"},
		{"in mid-frame", file[:len(file)-1], false, all - 1, "grewire replay: standard input: interrupted: the capture ends here\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := interrupted(t, test.file, test.ends, "-")
			frames, _ := parseReplay(t, got.out)
			if len(frames) != test.frames || got.errors != test.stderr || (got.code == exitOK) != (test.stderr == "") {
				t.Errorf("exit code %d, %d frames, want %d: %s", got.code, len(frames), test.frames, got.errors)
			}
		})
	}
}

// TestReplaySilentStreamInterrupted: an interrupt ends the wait for a stream
// that says nothing, and for a FIFO that nobody opens.
func TestReplaySilentStreamInterrupted(t *testing.T) {
	got := interrupted(t, nil, false, "-")
	if got.code != exitFailed || got.out != "" || got.errors != "grewire replay: standard input: interrupted: the capture ends here\n" {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errors)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got = grewireWith(ctx, nil, "replay", fifo)
	if got.code != exitFailed || !strings.Contains(got.errors, fifo+": interrupted") {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	if file, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil { // lets go of the reader left behind
		file.Close()
	}
}

// TestReplayBadAmongGood: the good captures are played, every bad one is
// named.
func TestReplayBadAmongGood(t *testing.T) {
	junk, nowhere := write(t, "junk.pcap", "no capture at all"), filepath.Join(t.TempDir(), "nowhere")
	good := mixedCapture(t)
	got := grewire(t, "replay", "-json", junk, good, nowhere, good)
	if frames, _ := parseReplay(t, got.out); len(frames) != 22 || got.code != exitFailed {
		t.Errorf("exit code %d, %d frames, want 1 and 22", got.code, len(frames))
	}
	for _, want := range []string{junk + ": not a capture", nowhere + ": no such file"} {
		if strings.Count(got.errors, want) != 1 {
			t.Errorf("stderr %q, want %q in it once", got.errors, want)
		}
	}
	if got := grewire(t, "replay", junk, nowhere); got.out != "" || strings.Count(got.errors, "\n") != 2 {
		t.Errorf("no good one: %q %q", got.out, got.errors)
	}
}

// TestReplayWarnsOfSnapLength: a capture that lacks the ends of its frames is
// told of once.
func TestReplayWarnsOfSnapLength(t *testing.T) {
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(96, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		f := frame(t, ether(client, server, 0x88b5), gopacket.Payload(make([]byte, 50)))
		info := gopacket.CaptureInfo{Timestamp: captureStart, CaptureLength: len(f), Length: len(f) + min(i, 1)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	got := grewire(t, "replay", write(t, "cut.pcap", b.String()))
	want := "grewire replay: warning: 2 of 3 frames were cut by the capture's snap length and are dropped as truncated; capture with -s 0\n"
	if got.code != exitOK || got.errors != want {
		t.Errorf("exit code %d: %q, want %q", got.code, got.errors, want)
	}
}

// TestReplayWarnsOfLAN: a -lan that tells nothing apart is told of.
func TestReplayWarnsOfLAN(t *testing.T) {
	for lan, want := range map[string]string{
		"192.0.2.0/24": "-lan matches the source of none of 40 frames", "10.77.0.11": "",
		"0.0.0.0/0": "-lan matches the source of every one of 40 frames",
	} {
		got := grewire(t, "replay", "-lan", lan, "testdata/captures/real-bridge-serverterm.pcap")
		if got.code != exitOK || !strings.Contains(got.errors, want) || (want == "") != (got.errors == "") {
			t.Errorf("-lan %s: exit code %d, %q, want %q", lan, got.code, got.errors, want)
		}
	}
	if got := grewire(t, "replay", "-lan", "10.77.1.5/24", "x"); got.code != exitUsage || !strings.Contains(got.errors, `write "10.77.1.0/24"`) {
		t.Errorf("host bits: exit code %d, %s", got.code, got.errors)
	}
}
