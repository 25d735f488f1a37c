package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/grewire/grewire/bench"
)

// Text writes the tables of all scenarios for a terminal.
func Text(to io.Writer, r *bench.Results) error {
	out := &printer{to: to}
	header(out, r)
	for _, s := range r.Scenarios() {
		out.printf("\n%s\n", s)
		t := table(r, s)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "  %s\n", strings.Join(t.head, "\t"))
		for _, row := range t.rows {
			fmt.Fprintf(w, "  %s\n", strings.Join(row, "\t"))
		}
		w.Flush() // the printer keeps the error
	}
	faults(out, r)
	return out.err
}

// printer keeps the first error of many writes.
type printer struct {
	to  io.Writer
	err error
}

// Write implements io.Writer.
func (p *printer) Write(b []byte) (n int, err error) {
	if p.err == nil {
		n, p.err = p.to.Write(b)
	}
	return n, p.err
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func header(out *printer, r *bench.Results) {
	for _, line := range about(r) {
		out.printf("%-9s %s\n", line[0]+":", line[1])
	}
}

// about is what stands above everything: where, when, by what command.
func about(r *bench.Results) (lines [][2]string) {
	m := r.Machine
	lines = append(lines,
		[2]string{"command", shellLine(m.Command)},
		[2]string{"machine", fmt.Sprintf("%d x %s, %.1f GiB, %s", m.CPUs, m.CPU, float64(m.Memory)/(1<<30), m.Arch)},
		[2]string{"software", fmt.Sprintf("%s, %s, %s", m.Kernel, m.Grewire, m.Go)},
		[2]string{"run", fmt.Sprintf("%s, %v, %d rounds, devices in turn", r.Began.UTC().Format(time.RFC3339), r.Ended.Sub(r.Began).Round(time.Second), r.Rounds)},
		[2]string{"trials", fmt.Sprintf("of %v; %s", r.Trial, r.Search)},
	)
	for _, d := range r.Devices {
		lines = append(lines, [2]string{"device", d.Name + ": " + d.About})
	}
	return lines
}

// shellLine is a command as a shell would take it.
func shellLine(command []string) string {
	special := func(c rune) bool {
		return !strings.ContainsRune("%+,-./:=@_", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}
	var words []string
	for _, word := range command {
		if word == "" || strings.ContainsFunc(word, special) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func faults(out *printer, r *bench.Results) {
	if r.Stopped {
		out.printf("\nStopped before the end: what follows in the plan was not measured.\n")
	}
	for _, n := range r.Notes {
		out.printf("\nnote: %s\n", n)
	}
	for _, f := range r.Faults {
		out.printf("\nfault: %s\n", f)
	}
}

// grid is a table of one scenario.
type grid struct {
	head []string
	rows [][]string
}

// column is how a figure is shown.
type column struct {
	head   string
	figure bench.Figure
	scale  float64
	format string
}

const (
	kilo = 1e-3
	nano = 1e9
)

// costs are the columns that most tests end with.
var costs = []column{
	{"machine user, ns/frame", bench.FigureMachineUser, nano, "%.0f"},
	{"system", bench.FigureMachineSystem, nano, "%.0f"},
	{"device user, ns/frame", bench.FigureProcessUser, nano, "%.0f"},
	{"system", bench.FigureProcessSystem, nano, "%.0f"},
}

var rate = []column{{"kframes/s", bench.FigureRate, kilo, "%.1f"}, {"Gbit/s", bench.FigureBits, 1e-9, "%.2f"}}

var loss = []column{{"lost, %", bench.FigureLoss, 100, "%.4f"}}

// columns has the columns of each test, its main figure first.
var columns = map[bench.Test][]column{
	bench.Throughput: append(rate[:2:2], costs...),
	bench.Flood:      append(append(rate[:2:2], loss...), costs...),
	bench.Loss:       append(append(loss[:1:1], column{"offered, kframes/s", bench.FigureOffered, kilo, "%.1f"}), costs[2:]...),
	bench.Latency: {
		{"p50, us", bench.FigureP50, 1e6, "%.1f"}, {"p90", bench.FigureP90, 1e6, "%.1f"}, {"p99", bench.FigureP99, 1e6, "%.1f"},
		{"p99.9", bench.FigureP999, 1e6, "%.1f"}, {"max", bench.FigureMax, 1e6, "%.0f"},
		{"lost, %", bench.FigureLoss, 100, "%.4f"}, {"offered, kframes/s", bench.FigureOffered, kilo, "%.1f"},
	},
	bench.Burst: {{"frames", bench.FigureBurst, 1, "%.0f"}},
}

// table lays out a scenario: medians, and of the main figure the range of the
// rounds and the ratio to the baseline.
func table(r *bench.Results, s bench.Scenario) grid {
	cols := columns[s.Test]
	g := grid{head: []string{"device", cols[0].head, "rounds", "x " + r.Baseline}}
	if r.Baseline == "" {
		g.head[3] = ""
	}
	for _, c := range cols[1:] {
		g.head = append(g.head, c.head)
	}
	for _, device := range r.Measured(s) {
		row := []string{device, cell(r, s, device, cols[0]), span(r, s, device, cols[0]), ratio(r, s, device, cols[0].figure)}
		for _, c := range cols[1:] {
			row = append(row, cell(r, s, device, c))
		}
		g.rows = append(g.rows, append(row, remark(r, s, device)))
	}
	return g
}

func cell(r *bench.Results, s bench.Scenario, device string, c column) string {
	sum, ok := r.Summary(s, device, c.figure)
	if !ok {
		return "-"
	}
	return fmt.Sprintf(c.format, sum.Median*c.scale)
}

// span is the lowest and the highest of the rounds.
func span(r *bench.Results, s bench.Scenario, device string, c column) string {
	sum, ok := r.Summary(s, device, c.figure)
	if !ok || sum.Rounds < 2 {
		return "1"
	}
	return fmt.Sprintf("%d: "+c.format+"-"+c.format, sum.Rounds, sum.Min*c.scale, sum.Max*c.scale)
}

func ratio(r *bench.Results, s bench.Scenario, device string, f bench.Figure) string {
	if r.Baseline == "" {
		return ""
	}
	x, ok := r.Ratio(s, device, r.Baseline, f)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", x)
}

// remark says what a number alone would not.
func remark(r *bench.Results, s bench.Scenario, device string) string {
	if sum, ok := r.Summary(s, device, bench.FigureLimited); ok && sum.Median > 0 {
		return "all that was sent"
	}
	return ""
}

// Goals writes what became of goals.
func Goals(to io.Writer, outcomes []bench.Outcome) error {
	out := &printer{to: to}
	out.printf("\ngoals\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range outcomes {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", o.Goal.Name, o.Want(), o.Got(), o.Class())
	}
	w.Flush() // the printer keeps the error
	return out.err
}
