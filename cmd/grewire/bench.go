package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/grewire/grewire/bench"
	benchreport "github.com/grewire/grewire/bench/report"
)

// benchCommands lists the harness's commands in the order of its usage text.
func benchCommands() []command {
	return []command{
		{"forward", "rates, loss and delay of devices side by side, or of one that is cabled to two NICs", (*program).benchForward},
		{"goals", "this box beside the kernel's PPTP helper, against what it is to reach", (*program).benchGoals},
		{"engine", "decode, tracking and verdict alone, from memory", (*program).benchEngine},
	}
}

func (p *program) bench(ctx context.Context, args []string) int {
	if len(args) == 0 {
		p.benchUsage(p.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		p.benchUsage(p.out)
		return exitOK
	}
	for _, c := range benchCommands() {
		if c.name == args[0] {
			return c.run(p, ctx, args[1:])
		}
	}
	fmt.Fprintf(p.err, "grewire bench: there is no %q\n\n", args[0])
	p.benchUsage(p.err)
	return exitUsage
}

func (p *program) benchUsage(to io.Writer) {
	fmt.Fprint(to, "grewire bench measures how boxes forward the GRE of PPTP.\n\nUsage: grewire bench COMMAND [flags]\n\nCommands:\n")
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, c := range benchCommands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.summary)
	}
	table.Flush()
	fmt.Fprint(to, "\n\"grewire bench COMMAND -h\" explains a command.\n")
}

// reports are where a run's results go beside the terminal.
type reports struct {
	json, csv, html string
	quiet           bool
}

// reportFlags adds the flags that say where results go.
func (f *flags) reportFlags() *reports {
	r := &reports{}
	f.StringVar(&r.json, "json", "", "write every value of every round to this `file`, as JSON; - for standard output, instead of the table")
	f.StringVar(&r.csv, "csv", "", "write them to this `file`, as CSV; - for standard output, instead of the table")
	f.StringVar(&r.html, "html", "", "write a page with tables and plots to this `file`")
	f.BoolVar(&r.quiet, "quiet", false, "do not tell on standard error how it goes on")
	return r
}

// progress returns what tells how a run goes on.
func (r *reports) progress(p *program) func(string) {
	if r.quiet {
		return func(string) {}
	}
	return func(line string) { fmt.Fprintln(p.err, line) }
}

// write writes all that was asked for.
func (r *reports) write(p *program, results *bench.Results, goals []bench.Outcome) error {
	var errs []error
	if r.json != "-" && r.csv != "-" {
		errs = append(errs, benchreport.Text(p.out, results))
	}
	for _, to := range []struct {
		path string
		as   func(io.Writer) error
	}{
		{r.json, func(w io.Writer) error { return benchreport.JSON(w, results) }},
		{r.csv, func(w io.Writer) error { return benchreport.CSV(w, results) }},
		{r.html, func(w io.Writer) error { return benchreport.HTML(w, results, goals) }},
	} {
		if to.path != "" {
			errs = append(errs, p.writeTo(to.path, to.as))
		}
	}
	return errors.Join(errs...)
}

func (p *program) writeTo(path string, as func(io.Writer) error) error {
	if path == "-" {
		return as(p.out)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(as(file), file.Close())
}

// runBench runs a plan and writes its results. Goals may be nil.
func (p *program) runBench(ctx context.Context, name string, plan *bench.Plan, r *reports, goals []bench.Goal) int {
	results, err := bench.Run(ctx, plan, bench.ThisMachine(buildVersion().String()), r.progress(p))
	if err != nil {
		return p.failed(name, err)
	}
	outcomes := bench.Judge(results, goals)
	if err := r.write(p, results, outcomes); err != nil {
		return p.failed(name, err)
	}
	if goals != nil && r.json != "-" && r.csv != "-" {
		if err := benchreport.Goals(p.out, outcomes); err != nil {
			return p.failed(name, err)
		}
	}
	if len(results.Faults) > 0 {
		return exitFailed
	}
	return exitOK
}
