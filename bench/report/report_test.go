package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/plotter"

	"github.com/grewire/grewire/bench"
)

var update = flag.Bool("update", false, "write the golden files anew")

// results are of a run that nobody made.
func results() *bench.Results {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &bench.Results{
		Machine: bench.Machine{Kernel: "Linux 6.18", CPU: "Abacus", CPUs: 2, Memory: 8 << 30, Arch: "amd64", Go: "go1.26", Grewire: "grewire v1", Command: []string{"grewire", "bench", "forward", "-sizes", "64, imix", "-html", "it's.html"}},
		Began:   began, Ended: began.Add(95 * time.Second), Baseline: "helper", Rounds: 3, Trial: time.Second, Search: bench.Search{Tolerance: 0.02, Loss: 0.001, Again: 2},
		Devices: []bench.About{{Name: "helper", About: "the kernel's"}, {Name: "<box>", About: "ours & nobody else's"}},
		Notes:   []string{"the machine is not quiet"}, Faults: []string{"tcpbridge: it fell over"}, Stopped: true,
	}
	s := bench.Scenario{Test: bench.Throughput, Traffic: bench.AllCalls, Sizes: bench.Sizes{Name: "64", Octets: []int{64}}, Sender: "packet"}
	for round := 1; round <= 3; round++ {
		for _, calls := range []int{1, 1000} {
			s.Calls = calls
			add(r, s, "helper", round, bench.FigureRate, 400_000/float64(calls)+float64(round))
			add(r, s, "<box>", round, bench.FigureRate, 800_000+1000*float64(round))
			add(r, s, "<box>", round, bench.FigureProcessUser, 55e-9)
			add(r, s, "<box>", round, bench.FigureLimited, 1)
		}
		l := s
		l.Test, l.Rate, l.Calls = bench.Latency, 10_000, 1
		for i, p := range bench.Percentiles {
			add(r, l, "<box>", round, p.Figure, 20e-6*float64(i+1))
		}
		for _, share := range []float64{0.5, 1.5} {
			l.Test, l.Rate, l.Share = bench.Loss, 0, share
			add(r, l, "<box>", round, bench.FigureLoss, share/10)
			add(r, l, "<box>", round, bench.FigureOffered, share*800_000)
		}
	}
	return r
}

func add(r *bench.Results, s bench.Scenario, device string, round int, f bench.Figure, value float64) {
	r.Values = append(r.Values, bench.Value{Scenario: s, Device: device, Round: round, Figure: f, Value: value})
}

func TestTextGolden(t *testing.T) {
	var out bytes.Buffer
	if err := Text(&out, results()); err != nil {
		t.Fatal(err)
	}
	if err := Goals(&out, outcomes()); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", out.Bytes())
}

func TestCSVGolden(t *testing.T) {
	var out bytes.Buffer
	if err := CSV(&out, results()); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.csv", out.Bytes())
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != len(results().Values)+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v); -update writes it anew. Now it is\n%s", path, err, got)
	}
}

func outcomes() []bench.Outcome {
	s := results().Values[0].Scenario
	of := bench.Point{Scenario: s, Device: "<box>"}
	return bench.Judge(results(), []bench.Goal{
		{Name: "twice as fast", Figure: bench.FigureRate, Of: of, By: bench.Point{Scenario: s, Device: "helper"}, Bound: 2, Scale: 1, Unit: " x helper"},
		{Name: "cheap", Figure: bench.FigureProcessUser, Of: of, Bound: 50e-9, AtMost: true, Scale: 1e9, Unit: " ns"},
		{Name: "unknown", Figure: bench.FigureBurst, Of: of, Bound: 1, Scale: 1},
	})
}

func TestJSONRoundTrip(t *testing.T) {
	var out bytes.Buffer
	if err := JSON(&out, results()); err != nil {
		t.Fatal(err)
	}
	var back bench.Results
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*results(), back); diff != "" {
		t.Errorf("what is read is not what was written: %s", diff)
	}
}

// TestHTML looks at the page as a browser would: its plots are well-formed, it
// takes nothing from elsewhere, and names do not become markup.
func TestHTML(t *testing.T) {
	var out bytes.Buffer
	if err := HTML(&out, results(), outcomes()); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, outside := range []string{"src=", "href=\"http", "@import", "<box>"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %q in it", outside)
		}
	}
	plots := strings.Split(page, "<svg")[1:]
	if len(plots) != 3 { // by calls, loss by load, one of delays
		t.Errorf("%d plots, want 3", len(plots))
	}
	for _, plot := range plots {
		svg, _, ok := strings.Cut(plot, "</svg>")
		if err := wellFormed("<svg" + svg + "</svg>"); !ok || err != nil {
			t.Errorf("a plot is broken: %v", err)
		}
	}
}

// TestHTMLOfNothing has a page without what a logarithm could be taken of.
func TestHTMLOfNothing(t *testing.T) {
	r := results()
	for i := range r.Values {
		r.Values[i].Value = 0
	}
	for _, r := range []*bench.Results{r, {}} {
		if err := HTML(io.Discard, r, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestPlotOfNoLoss has an axis that begins at 0, though all points are there.
func TestPlotOfNoLoss(t *testing.T) {
	f := figure{lines: []line{{"box", plotter.XYs{{X: 1, Y: 0}, {X: 2, Y: 0}}}}}
	svg, err := f.svg([]string{"box"})
	if err != nil || strings.Contains(svg, ">-1<") || strings.Contains(svg, ">−1<") {
		t.Errorf("%v, %s", err, svg)
	}
}

func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
