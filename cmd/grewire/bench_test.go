package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grewire/grewire/bench"
	"github.com/grewire/grewire/bench/dut"
)

// TestBenchRefuses has command lines refused before anything is measured.
func TestBenchRefuses(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere", "report")
	for line, want := range map[string]string{
		"": "Usage", "fly": `no "fly"`,
		"forward -tx eth0":                          "go together",
		"forward -tx eth0 -rx eth0":                 "both ends",
		"forward -tx a -rx b -devices bridge":       "outside",
		"forward -devices hub":                      `no device "hub"`,
		"forward -devices bridge,bridge":            "twice",
		"forward -devices bridge -baseline hub":     "hub",
		"forward -tests speed":                      `no test "speed"`,
		"forward -traffic some":                     "no such traffic",
		"forward -senders pigeon":                   "no such sender",
		"forward -senders xdp -sizes 9000":          "up to 3200",
		"forward -calls x":                          `"x"`,
		"forward -calls 0":                          "65535",
		"forward -calls 65536":                      "65535",
		"forward -sizes 63":                         "64 to 9216",
		"forward -sizes 64,064":                     "twice",
		"forward -tests latency":                    "wants a load",
		"forward -tests loss -rates NaN":            "frames a second",
		"forward -tests loss -rates -1":             `rate "-1"`,
		"forward -tests loss -loads much":           `load "much"`,
		"forward -tests loss -loads 50":             "throughput test",
		"forward -tests throughput,loss -loads Inf": "load of up to",
		"forward -tolerance 0":                      "tolerance",
		"forward -loss 1":                           "loss",
		"forward -again -1":                         "repetitions",
		"forward -rounds 0":                         "nothing to measure",
		"forward -trial -1s":                        "nothing to measure",
		"forward -calls-each 0":                     "nothing to measure",
		"forward -html " + nowhere:                  "no such file",
		"forward -json - -csv -":                    "only one",
		"goals -soak -1s":                           "soak",
		"goals -rounds 0":                           "nothing to measure",
		"engine -calls ,":                           "no number",
		"engine -calls x":                           `"x"`,
		"engine -lasting 0":                         "no time",
	} {
		got := grewire(t, append([]string{"bench"}, strings.Fields(line)...)...)
		if got.code != exitUsage || !strings.Contains(got.errors, want) || got.out != "" {
			t.Errorf("bench %s: %+v, want %q", line, got, want)
		}
	}
}

// TestBenchBaseline compares with the helper only where it is measured.
func TestBenchBaseline(t *testing.T) {
	for devices, want := range map[string]string{"helper,bridge": dut.NameHelper, "bridge": ""} {
		o := forwardFlags{devices: devices, tests: "flood", baseline: dut.NameHelper}
		plan, err := o.plan([]dut.Device{dut.Helper(), dut.Bridge()})
		if err != nil || plan.Baseline != want {
			t.Errorf("%s are compared with %q, %v; want %q", devices, plan.Baseline, err, want)
		}
	}
}

// TestBenchScenarios has all combinations, with those first that loads refer to.
func TestBenchScenarios(t *testing.T) {
	o := forwardFlags{tests: "latency,throughput", calls: "1,2", sizes: "64,imix", senders: "packet,xdp", traffic: "all", rates: "5,7", shares: "50%,99.5"}
	all, err := o.scenarios()
	if err != nil || len(all) != 2*2*2*(1+4) {
		t.Fatalf("%d scenarios, %v", len(all), err)
	}
	for i, s := range all {
		if throughput := i < 8; (s.Test == bench.Throughput) != throughput || (s.Rate > 0) == (s.Share > 0) != throughput {
			t.Errorf("scenario %d is %s", i, s)
		}
	}
}

// TestReportsAreWritten writes to files that are there and to others; a look ahead
// leaves what is in them.
func TestReportsAreWritten(t *testing.T) {
	dir := t.TempDir()
	r := reports{json: filepath.Join(dir, "r.json"), html: filepath.Join(dir, "r.html"), csv: stdout}
	if err := os.WriteFile(r.json, []byte("of yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(r.json); err != nil || string(text) != "of yesterday" {
		t.Errorf("%q, %v", text, err)
	}
	var out strings.Builder
	if err := r.write(&program{out: &out}, &bench.Results{Rounds: 3}, nil); err != nil {
		t.Fatal(err)
	}
	var back bench.Results
	text, err := os.ReadFile(r.json)
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || back.Rounds != 3 || !strings.HasPrefix(out.String(), "test,calls,") {
		t.Errorf("%v; JSON %s, standard output %q", err, text, out.String())
	}
}
