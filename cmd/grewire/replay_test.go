package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"
	"github.com/grewire/grewire/track"
)

// frameRow and summaryRow are replay -json as a reader of the documentation
// would decode it.
type frameRow struct {
	Frame   int     `json:"frame"`
	Time    string  `json:"time"`
	Side    string  `json:"side"`
	Verdict string  `json:"verdict"`
	Reason  string  `json:"reason"`
	Call    uint64  `json:"call"`
	Zone    *string `json:"zone"`
}

func (f *frameRow) passes() bool { return f.Verdict != "drop" }

type summaryRow struct {
	Frames, Forwarded, Rewritten, Dropped int
	Reasons                               map[string]int
	Calls                                 []track.Call
}

// parseReplay checks the form of replay -json: a line for every frame, in
// order, then the summary, whose numbers add up.
func parseReplay(t testing.TB, out string) (frames []frameRow, sum summaryRow) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, line := range lines[:len(lines)-1] {
		var f frameRow
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Frame != i+1 || f.Zone == nil || f.Reason == "" {
			t.Fatalf("line %d is %s (%v)", i+1, line, err)
		}
		if f.Verdict != "forward" && f.Verdict != "expect" && f.Verdict != "rewrite" && f.Verdict != "drop" {
			t.Fatalf("line %d has the verdict %q", i+1, f.Verdict)
		}
		frames = append(frames, f)
	}
	var last struct{ Summary *summaryRow }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary == nil {
		t.Fatalf("the last line is %s (%v)", lines[len(lines)-1], err)
	}
	sum = *last.Summary
	checkSums(t, frames, &sum)
	return frames, sum
}

func checkSums(t testing.TB, frames []frameRow, sum *summaryRow) {
	t.Helper()
	reasons, dropped := map[string]int{}, 0
	for i := range frames {
		reasons[frames[i].Reason]++
		if !frames[i].passes() {
			dropped++
		}
	}
	if sum.Frames != len(frames) || sum.Dropped != dropped || sum.Forwarded+sum.Rewritten+sum.Dropped != sum.Frames {
		t.Errorf("the summary does not add up for %d frames, %d dropped: %+v", len(frames), dropped, sum)
	}
	if diff := cmp.Diff(reasons, sum.Reasons); diff != "" {
		t.Errorf("the reasons do not add up (-frames +summary):\n%s", diff)
	}
	for i := 1; i < len(sum.Calls); i++ {
		if sum.Calls[i-1].ID >= sum.Calls[i].ID {
			t.Errorf("calls are not in the order of ids: %+v", sum.Calls)
		}
	}
}

func TestReplayGolden(t *testing.T) {
	tests := []struct{ golden, args string }{
		{"mixed.text.golden", mixedCapture(t)},
		{"mixed.json.golden", "-json " + mixedCapture(t)},
		{"serverterm.text.golden", "testdata/captures/real-bridge-serverterm.pcap"},
		{"serverterm.json.golden", "--json testdata/captures/real-bridge-serverterm.pcap"},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			got := grewire(t, append([]string{"replay"}, strings.Fields(test.args)...)...)
			if got.code != exitOK || got.errors != "" {
				t.Errorf("exit code %d: %s", got.code, got.errors)
			}
			golden(t, test.golden, got.out)
		})
	}
}

// truth is an object of truth.jsonl.
type truth struct {
	File           string
	Frames         int
	GREv1          int `json:"gre_v1"`
	GREWithoutCall int `json:"gre_without_call"`
	Calls          []truthCall
}

type truthCall struct {
	Kind  string
	PNS   string
	PNSID uint16 `json:"pns_id"`
	PAC   string
	PACID uint16 `json:"pac_id"`
	ToPAC uint64 `json:"to_pac"`
	ToPNS uint64 `json:"to_pns"`
	Conn  []string
}

func truths(t *testing.T) (all []truth) {
	t.Helper()
	file, err := os.Open("testdata/captures/truth.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := json.NewDecoder(file); ; {
		var one truth
		if err := lines.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if files, err := filepath.Glob("testdata/captures/*.pcap"); err != nil || len(files) != len(all) || len(all) == 0 {
		t.Fatalf("%d captures, %d truths (%v)", len(files), len(all), err)
	}
	return all
}

// TestReplayTruth: of every capture of real programs, replay finds the calls,
// their ids, addresses and GRE packets that an independent parser found.
func TestReplayTruth(t *testing.T) {
	for _, want := range truths(t) {
		t.Run(want.File, func(t *testing.T) {
			got := grewire(t, "replay", "-json", filepath.Join("testdata/captures", want.File))
			if got.code != exitOK || got.errors != "" {
				t.Errorf("exit code %d: %s", got.code, got.errors)
			}
			frames, sum := parseReplay(t, got.out)
			if len(frames) != want.Frames {
				t.Errorf("%d frames, want %d", len(frames), want.Frames)
			}
			var calls []truthCall
			for i := range sum.Calls {
				calls = append(calls, asTruth(t, &sum.Calls[i]))
			}
			if diff := cmp.Diff(want.Calls, calls, eitherEnd); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// asTruth puts a call in the form of truth.jsonl.
func asTruth(t *testing.T, c *track.Call) truthCall {
	t.Helper()
	if c.State != track.CallEnded {
		t.Errorf("call %d is %s, but every capture holds the end of its calls", c.ID, c.State)
	}
	if c.PNS.Side == c.PAC.Side {
		t.Errorf("call %d has both ends on one side", c.ID)
	}
	toPAC, toPNS := c.LANToWAN.Packets, c.WANToLAN.Packets
	if c.PNS.Side == track.WAN {
		toPAC, toPNS = toPNS, toPAC
	}
	conn := []string{fmt.Sprintf("%s:%d", c.Control.LANAddr, c.Control.LANPort), fmt.Sprintf("%s:%d", c.Control.WANAddr, c.Control.WANPort)}
	return truthCall{c.Kind, c.PNS.Addr.String(), c.PNS.CallID, c.PAC.Addr.String(), c.PAC.CallID, toPAC, toPNS, conn}
}

// eitherEnd compares connections whose ends are in any order; calls come in
// the order in which they were asked for.
var eitherEnd = cmp.Transformer("ends", func(c truthCall) map[string]any {
	slices.Sort(c.Conn)
	return map[string]any{"call": fmt.Sprintf("%+v", c)}
})

// captured is a frame of a capture, read by code of others.
type captured struct {
	data  []byte
	nanos int64
	iface string
}

func readPcap(t testing.TB, path string) (all []captured) {
	t.Helper()
	r, err := pcapgo.NewReader(bytes.NewReader(contents(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, r, func(int) string { return "" })
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func readAll(t testing.TB, r gopacket.PacketDataSource, name func(iface int) string) (all []captured) {
	t.Helper()
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, captured{data, info.Timestamp.UnixNano(), name(info.InterfaceIndex)})
	}
}

func readPcapng(t testing.TB, path string) (all []captured) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(contents(t, path)), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, r, func(index int) string {
		iface, err := r.Interface(index)
		if err != nil {
			t.Fatal(err)
		}
		return iface.Name
	})
}

// TestReplayOutput: what -o writes is every frame that passes, bit-identical,
// at its time, on the interface towards which it goes; and nothing else.
func TestReplayOutput(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, mixedCapture(t)) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.pcapng")
			got := grewire(t, "replay", "-json", "-o", out, path)
			if got.code != exitOK {
				t.Fatal(got.errors)
			}
			frames, _ := parseReplay(t, got.out)
			towards := map[string]string{"lan": "wan", "wan": "lan"}
			var want []captured
			for i, in := range readPcap(t, path) {
				if frames[i].passes() {
					want = append(want, captured{in.data, in.nanos, towards[frames[i].Side]})
				}
			}
			if diff := cmp.Diff(want, readPcapng(t, out), cmp.AllowUnexported(captured{})); diff != "" {
				t.Errorf("(-want +written):\n%s", diff)
			}
			replayOutput(t, out, frames)
		})
	}
}

// replayOutput plays what was written again: the same frames come from the
// same sides and pass for the same reasons.
func replayOutput(t *testing.T, out string, before []frameRow) {
	t.Helper()
	again, _ := parseReplay(t, grewire(t, "replay", "-json", out).out)
	i := 0
	for _, f := range before {
		if !f.passes() {
			continue
		}
		if i == len(again) {
			t.Fatal("frames are missing")
		}
		f.Frame = again[i].Frame
		if diff := cmp.Diff(f, again[i]); diff != "" {
			t.Errorf("frame %d of the output (-before +again):\n%s", again[i].Frame, diff)
		}
		i++
	}
}

// TestReplayHeld: a frame that is held has its line in its place, with its
// final verdict, also when it is held to the end.
func TestReplayHeld(t *testing.T) {
	other := frame(t, ether(server, client, 0x88b5))
	tests := []struct {
		name     string
		interval time.Duration
		frames   [][]byte
		want     string
	}{
		{"too long", time.Second, [][]byte{fragmentFrame(t, 16, false), other, fragmentFrame(t, 0, true), other}, "drop fragment-orphan, forward other, drop not-negotiated, forward other"},
		{"released", time.Millisecond, [][]byte{fragmentFrame(t, 16, false), other, fragmentFrame(t, 0, true), other}, "drop not-negotiated, forward other, drop not-negotiated, forward other"},
		{"to the end", time.Millisecond, [][]byte{fragmentFrame(t, 16, false), other}, "drop fragment-orphan, forward other"},
		{"in order", time.Millisecond, [][]byte{fragmentFrame(t, 0, true), fragmentFrame(t, 16, false)}, "drop not-negotiated, drop not-negotiated"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := grewire(t, "replay", "-json", captureEvery(t, test.interval, "held.pcap", test.frames...))
			if got.code != exitOK {
				t.Fatal(got.errors)
			}
			frames, _ := parseReplay(t, got.out)
			var verdicts []string
			for _, f := range frames {
				verdicts = append(verdicts, f.Verdict+" "+f.Reason)
			}
			if s := strings.Join(verdicts, ", "); s != test.want {
				t.Errorf("got %s, want %s", s, test.want)
			}
		})
	}
}

func TestReplayCutShort(t *testing.T) {
	whole := contents(t, "testdata/captures/real-bridge-serverterm.pcap")
	cut := write(t, "cut.pcap", string(whole[:len(whole)-1]))
	got := grewire(t, "replay", "-json", cut)
	frames, sum := parseReplay(t, got.out)
	if got.code != exitFailed || len(frames) != 39 || len(sum.Calls) != 1 {
		t.Errorf("exit code %d, %d frames, %d calls, want 1, 39, 1", got.code, len(frames), len(sum.Calls))
	}
	if want := "grewire replay: " + cut + ": frame 40: the capture is cut short\n"; got.errors != want {
		t.Errorf("stderr %q, want %q", got.errors, want)
	}
	both := grewire(t, "replay", "-json", cut, cut)
	frames, _ = parseReplay(t, both.out)
	if want := "frame 40: the capture is cut short (frame 79 of the replay)"; len(frames) != 78 || both.code != exitFailed || !strings.Contains(both.errors, want) {
		t.Errorf("twice: exit code %d, %d frames: %s", both.code, len(frames), both.errors)
	}
}

// TestReplayInterrupted: what was played so far is summed up.
func TestReplayInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := grewireWith(ctx, nil, "replay", "-json", mixedCapture(t))
	if frames, _ := parseReplay(t, got.out); got.code != exitFailed || len(frames) != 0 || !strings.Contains(got.errors, "interrupted at frame 1") {
		t.Errorf("exit code %d, %d frames: %s", got.code, len(frames), got.errors)
	}
}

// TestReplaySeveral: captures played one behind the other are one.
func TestReplaySeveral(t *testing.T) {
	const path = "testdata/captures/real-bridge-serverterm.pcap"
	whole := readPcap(t, path)
	var parts [2][][]byte
	for i, c := range whole {
		parts[i/20] = append(parts[i/20], c.data)
	}
	got := grewire(t, "replay", "-json", captureOf(t, "a.pcap", parts[0]...), captureOf(t, "b.pcap", parts[1]...))
	frames, sum := parseReplay(t, got.out)
	if got.code != exitOK || len(frames) != len(whole) || len(sum.Calls) != 1 || sum.Calls[0].LANToWAN.Packets != 10 || sum.Calls[0].State != track.CallEnded {
		t.Errorf("exit code %d, %d frames, calls %+v: %s", got.code, len(frames), sum.Calls, got.errors)
	}
}

func TestReplayStandardInput(t *testing.T) {
	const path = "testdata/captures/real-bridge-twoclients.pcap"
	file := contents(t, path)
	want := grewire(t, "replay", "-json", path)
	got := grewireWith(t.Context(), file, "replay", "-json", "-")
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-from the file +from standard input):\n%s", diff)
	}
}

func TestReplayConfig(t *testing.T) {
	verdicts := func(toml string) string {
		got := grewire(t, "replay", "-json", "-config", write(t, "policy.toml", toml), mixedCapture(t))
		frames, _ := parseReplay(t, got.out)
		var letters []byte
		for _, f := range frames {
			letters = append(letters, f.Verdict[0])
		}
		return string(letters)
	}
	for toml, want := range map[string]string{
		"":                                 "ffddddfdfff",
		"[policy]\ngre = \"any\"":          "fffffdfdfff",
		"[policy]\nother = \"drop\"":       "ffddddddfdd",
		"[policy]\npptp = \"deny\"":        "fdddddfdfff",
		"[policy]\ngre_v0 = \"forward\"":   "ffdfddfdfff",
		"[policy]\nclients = [\"::/128\"]": "fdddddfdfff",
	} {
		if got := verdicts(toml); got != want {
			t.Errorf("%q: %s, want %s", toml, got, want)
		}
	}
}

func TestReplayBadConfig(t *testing.T) {
	path := write(t, "bad.toml", "[policy]\ngre = \"some\"\n\nfoo = 1\n")
	got := grewire(t, "replay", "-config", path, mixedCapture(t))
	if got.code != exitUsage || got.out != "" || !strings.Contains(got.errors, path+":2: policy.gre: ") || !strings.Contains(got.errors, path+":4: policy.foo: ") {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errors)
	}
}

// TestReplayKeepsCaptures: -o overwrites no capture, by whatever name.
func TestReplayKeepsCaptures(t *testing.T) {
	in := mixedCapture(t)
	before := contents(t, in)
	linked := filepath.Join(t.TempDir(), "linked.pcapng")
	if err := os.Symlink(in, linked); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{in, linked} {
		got := grewire(t, "replay", "-o", out, in)
		if !bytes.Equal(before, contents(t, in)) || got.code != exitFailed || !strings.Contains(got.errors, "would overwrite the capture") {
			t.Errorf("-o %s: exit code %d, %s", out, got.code, got.errors)
		}
	}
}

func TestReplayCannotWrite(t *testing.T) {
	out := filepath.Join(t.TempDir(), "no", "out.pcapng")
	got := grewire(t, "replay", "-o", out, mixedCapture(t))
	if got.code != exitFailed || !strings.Contains(got.errors, out) {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	full := &program{in: strings.NewReader(""), out: fullDisk{}, err: new(bytes.Buffer)}
	if code := full.main(t.Context(), []string{"replay", mixedCapture(t)}); code != exitFailed {
		t.Errorf("no room for the output: exit code %d", code)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left on device") }

// TestReplayTime: calls time out by the capture's clock.
func TestReplayTime(t *testing.T) {
	const path = "testdata/captures/real-bridge-serverterm.pcap"
	var frames [][]byte
	for _, c := range readPcap(t, path)[:12] { // up to the call's reply
		frames = append(frames, c.data)
	}
	silent := frames[0] // ARP
	for range 20 {
		frames = append(frames, silent)
	}
	config := write(t, "short.toml", "[timeouts]\nexpectation = \"5s\"\n")
	_, sum := parseReplay(t, grewire(t, "replay", "-json", "-config", config, captureOf(t, "silent.pcap", frames...)).out)
	if len(sum.Calls) != 1 || sum.Calls[0].State != track.CallEnded {
		t.Errorf("calls %+v, want one that ended", sum.Calls)
	}
	_, sum = parseReplay(t, grewire(t, "replay", "-json", captureOf(t, "silent.pcap", frames...)).out)
	if len(sum.Calls) != 1 || sum.Calls[0].State != track.CallConnected {
		t.Errorf("calls %+v, want one that is connected", sum.Calls)
	}
}

// FuzzReplay plays any bytes as a capture.
func FuzzReplay(f *testing.F) {
	for _, path := range []string{mixedCapture(f), "testdata/captures/real-bridge-callmgrterm.pcap"} {
		f.Add(contents(f, path))
	}
	// Small tables, made for every input.
	config := write(f, "small.toml", "[limits]\nconnections = 8\ncalls = 8\ncalls_per_connection = 4\ncalls_per_host = 8\nexpectations = 16\nfragments = 8\nhold_bytes = 65536\n")
	f.Fuzz(func(t *testing.T, file []byte) {
		got := grewireWith(t.Context(), file, "replay", "-json", "-config", config, "-")
		switch {
		case got.code == exitOK && withoutWarnings(got.errors) == "", got.code == exitFailed && got.out != "":
			parseReplay(t, got.out)
		case got.code != exitFailed || got.errors == "":
			t.Errorf("exit code %d, %q", got.code, got.errors)
		}
	})
}
