package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grewire/grewire/track"
)

// peerCase is what must come of a capture in testdata/peers. All values are by
// hand.
type peerCase struct {
	file   string // without .pcap
	name   string // tells several cases of one capture apart
	config string // TOML; "" means the defaults
	args   string // of replay, besides
	// frames has a line for each run of frames with the same outcome:
	// "FROM-TO VERDICT REASON".
	frames []string
	// calls has a line for each call:
	// "KIND PNS#ID PAC#ID STATE, packets LAN to WAN/packets WAN to LAN".
	calls []string
	// errors are parts of what is printed on stderr; none means nothing is.
	errors []string
}

// The call between the client and the server in most of the captures, and in
// those that number its IDs from 1 and 101.
const (
	peersCall = "outgoing 10.0.0.11#7 203.0.113.9#9 "
	firstCall = "outgoing 10.0.0.11#1 203.0.113.9#101 "
)

// Configurations of several cases.
const (
	nics             = "[bridge]\nlan = \"lan0\"\nwan = \"wan0\"\n"
	masqueradeConfig = nics + "[nat]\nmode = \"masquerade\"\naddress = \"203.0.113.7\"\n"
	callIDConfig     = nics + "[nat]\nmode = \"call-id\"\n"
	serversConfig    = nics + "[policy]\nservers = [\"203.0.113.9\"]\n"
	deniedConfig     = nics + "[policy]\npptp = \"deny\"\n"
)

// allOther: every frame is other traffic.
var allOther = []string{"1-7 forward other"}

// Outcomes of a capture from the sending host: the sender's segments count, or
// those with data do not.
var (
	sumsFollowed = []string{"1-9 forward control", "10 expect control", "11 forward control", "12-14 forward call", "15-18 forward control"}
	sumsVerified = []string{
		"1-3 forward control", "4 forward control-bad-checksum", "5-6 forward control-out-of-window", "7 forward control", "8 forward control-bad-checksum",
		"9-10 forward control-out-of-window", "11 forward control", "12-14 drop not-negotiated", "15 forward control-bad-checksum",
		"16-17 forward control-out-of-window", "18 forward control",
	}
	sumsCall    = []string{peersCall + "ended, 2/1"}
	sumsWarning = []string{"warning: 3 frames with an unfinished TCP checksum, first from 10.0.0.11: "}
)

var peerCases = []peerCase{
	{file: "captured-on-the-client", frames: sumsFollowed, calls: sumsCall, errors: sumsWarning},
	{file: "captured-on-the-client", name: "auto", args: "-checksums auto", frames: sumsFollowed, calls: sumsCall, errors: sumsWarning},
	{file: "captured-on-the-client", name: "verify", args: "-checksums verify", frames: sumsVerified},
	{file: "captured-on-the-client", name: "ignore", args: "-checksums ignore", frames: sumsFollowed, calls: sumsCall},
	{file: "captured-on-the-client-zero", frames: sumsFollowed, calls: sumsCall, errors: sumsWarning},
	{file: "captured-on-the-client-zero", name: "verify", args: "-checksums verify", frames: sumsVerified},
	{file: "captured-on-the-client-zero", name: "ignore", args: "-checksums ignore", frames: sumsFollowed, calls: sumsCall},
	{
		file:   "cdn-swapped",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12 forward call", "13-14 forward control", "15 forward call", "16-17 forward control", "18 drop not-negotiated"},
		calls:  []string{firstCall + "ended, 2/0"},
	},
	{
		file:   "gre-before-ocrp",
		frames: []string{"1-9 forward control", "10 forward call", "11 expect control", "12 forward control", "13-14 forward call"},
		calls:  []string{peersCall + "active, 1/2"},
	},
	{
		file:   "gre-odd",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12-15 forward call"},
		calls:  []string{firstCall + "active, 3/1"},
	},
	{file: "https-from-port-1723", frames: allOther},
	{file: "https-from-port-1723", name: "masquerade", config: masqueradeConfig, frames: allOther},
	{file: "https-from-port-1723", name: "call-id", config: callIDConfig, frames: allOther},
	{file: "https-from-port-1723", name: "servers", config: serversConfig, frames: allOther},
	{file: "https-from-port-1723", name: "denied", config: deniedConfig, frames: allOther},
	{file: "https-to-lan-from-port-1723", frames: allOther},
	{file: "https-to-lan-from-port-1723", name: "masquerade", config: masqueradeConfig, frames: allOther},
	{file: "https-to-lan-from-port-1723", name: "call-id", config: callIDConfig, frames: allOther},
	{file: "https-to-lan-from-port-1723", name: "denied", config: deniedConfig, frames: allOther},
	{file: "eoip", frames: []string{"1-2 drop gre-other-denied"}},
	{file: "eoip", name: "gre_v0", config: nics + "[policy]\ngre_v0 = \"forward\"\n", frames: []string{"1-2 drop gre-other-denied"}},
	{file: "eoip", name: "gre_other", config: nics + "[policy]\ngre_other = \"forward\"\n", frames: []string{"1-2 forward gre-other"}},
	{file: "eoip", name: "any", config: nics + "[policy]\ngre = \"any\"\n", frames: []string{"1-2 forward any-gre"}},
	{file: "eoip", name: "masquerade", config: masqueradeConfig, frames: []string{"1-2 drop gre-other-denied"}},
	{file: "ssh-on-port-1723", frames: []string{"1-7 forward control"}},
	{file: "ssh-on-port-1723", name: "call-id", config: callIDConfig, frames: []string{"1-5 forward control", "6 drop not-pptp", "7 forward control"}},
	{
		file:   "ocrp-75s",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12-13 forward call"},
		calls:  []string{peersCall + "active, 1/1"},
	},
	{
		file:   "ocrq-before-sccrp",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12-13 forward call"},
		calls:  []string{peersCall + "active, 1/1"},
	},
	{
		file:   "ocrq-with-sccrq",
		frames: []string{"1-5 forward control", "6 expect control", "7 forward control", "8-9 forward call"},
		calls:  []string{peersCall + "active, 1/1"},
	},
	{
		file:   "multihomed",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12 forward call", "13 drop not-negotiated"},
		calls:  []string{peersCall + "connected, 1/0"},
	},
	{
		file:   "reply-cut-short",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12 forward call", "13-16 forward control", "17 expect control", "18 forward control", "19-20 forward call"},
		calls:  []string{firstCall + "connected, 2/0", "outgoing 10.0.0.11#2 203.0.113.9#102 connected, 1/0"},
	},
	{
		file:   "sccrp-result0",
		frames: []string{"1-9 forward control", "10 expect control", "11 forward control", "12-13 forward call"},
		calls:  []string{peersCall + "active, 1/1"},
	},
	{
		file:   "sccrq-twice",
		frames: []string{"1-13 forward control", "14 expect control", "15 forward control", "16-17 forward call", "18-21 forward control", "22-23 forward call"},
		calls:  []string{peersCall + "active, 2/2"},
	},
	{
		file:   "sli-wrong",
		frames: []string{"1-9 forward control", "10 expect control", "11-17 forward control", "18-19 forward call"},
		calls:  []string{firstCall + "active, 1/1"},
	},
}

// TestPeers: what must come of every frame and call where peers do what RFC 2637
// does not foresee.
func TestPeers(t *testing.T) {
	for _, c := range peerCases {
		t.Run(strings.TrimSuffix(c.file+"/"+c.name, "/"), func(t *testing.T) {
			args := append([]string{"replay", "-json", "-lan", "10.0.0.0/24"}, strings.Fields(c.args)...)
			if c.config != "" {
				args = append(args, "-config", write(t, "grewire.toml", c.config))
			}
			got := grewire(t, append(args, filepath.Join("testdata/peers", c.file+".pcap"))...)
			c.checkErrors(t, got)
			frames, sum := parseReplay(t, got.out)
			if diff := cmp.Diff(c.frames, runsOf(frames)); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			var calls []string
			for i := range sum.Calls {
				calls = append(calls, peerCallOf(&sum.Calls[i]))
			}
			if diff := cmp.Diff(c.calls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryPeersCaptureHasACase looks for captures that nothing is said of.
func TestEveryPeersCaptureHasACase(t *testing.T) {
	files, err := filepath.Glob("testdata/peers/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".pcap")
		if !slices.ContainsFunc(peerCases, func(c peerCase) bool { return c.file == name }) {
			t.Errorf("no case plays %s", path)
		}
	}
}

func (c *peerCase) checkErrors(t *testing.T, got result) {
	t.Helper()
	if got.code != exitOK || len(c.errors) == 0 && got.errors != "" {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	for _, part := range c.errors {
		if strings.Count(got.errors, part) != 1 {
			t.Errorf("stderr is %q, want %q in it, once", got.errors, part)
		}
	}
}

// runsOf puts outcomes in the form of peerCase.frames.
func runsOf(frames []frameRow) (runs []string) {
	for i := 0; i < len(frames); {
		first := i
		for i < len(frames) && frames[i].Verdict == frames[first].Verdict && frames[i].Reason == frames[first].Reason {
			i++
		}
		numbers := fmt.Sprint(first + 1)
		if i > first+1 {
			numbers = fmt.Sprintf("%d-%d", first+1, i)
		}
		runs = append(runs, fmt.Sprintf("%s %s %s", numbers, frames[first].Verdict, frames[first].Reason))
	}
	return runs
}

// peerCallOf puts a call in the form of peerCase.calls.
func peerCallOf(c *track.Call) string {
	return fmt.Sprintf("%s %s#%d %s#%d %s, %d/%d", c.Kind, c.PNS.Addr, c.PNS.CallID, c.PAC.Addr, c.PAC.CallID, c.State, c.LANToWAN.Packets, c.WANToLAN.Packets)
}
