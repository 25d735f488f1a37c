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
	f.StringVar(&r.html, "html", "", "write a page with tables and plots to this `file`; - for standard output, instead of the table")
	f.BoolVar(&r.quiet, "quiet", false, "do not tell on standard error how it goes on")
	return r
}

// stdout is what standard output is called in the flags.
const stdout = "-"

// check says before a run what would keep its results from being written.
func (r *reports) check() error {
	toStdout := 0
	for _, path := range []string{r.json, r.csv, r.html} {
		switch path {
		case "":
		case stdout:
			toStdout++
		default:
			if err := creatable(path); err != nil {
				return err
			}
		}
	}
	if toStdout > 1 {
		return errors.New("only one of -json, -csv and -html can go to standard output")
	}
	return nil
}

// creatable makes the file if it is not there, and leaves it alone if it is.
func creatable(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	return file.Close()
}

// table reports whether standard output is for the table.
func (r *reports) table() bool { return r.json != stdout && r.csv != stdout && r.html != stdout }

// progress returns what tells how a run goes on.
func (r *reports) progress(p *program) func(string) {
	if r.quiet {
		return func(string) {}
	}
	return func(line string) { fmt.Fprintln(p.err, line) }
}

// write writes all that was asked for. Outcomes may be nil.
func (r *reports) write(p *program, results *bench.Results, outcomes []bench.Outcome) error {
	var errs []error
	if r.table() {
		errs = append(errs, benchreport.Text(p.out, results))
	}
	if r.table() && outcomes != nil {
		errs = append(errs, benchreport.Goals(p.out, outcomes))
	}
	for _, to := range []struct {
		path string
		as   func(io.Writer) error
	}{
		{r.json, func(w io.Writer) error { return benchreport.JSON(w, results) }},
		{r.csv, func(w io.Writer) error { return benchreport.CSV(w, results) }},
		{r.html, func(w io.Writer) error { return benchreport.HTML(w, results, outcomes) }},
	} {
		if to.path != "" {
			errs = append(errs, p.writeTo(to.path, to.as))
		}
	}
	return errors.Join(errs...)
}

func (p *program) writeTo(path string, as func(io.Writer) error) error {
	if path == stdout {
		return as(p.out)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(as(file), file.Close())
}

// runBench runs a plan and writes its results. Goals may be nil.
func (p *program) runBench(ctx context.Context, f *flags, plan *bench.Plan, r *reports, goals []bench.Goal) int {
	if err := errors.Join(plan.Check(), r.check()); err != nil {
		return f.misused(err.Error())
	}
	results, err := bench.Run(ctx, plan, bench.ThisMachine(buildVersion().String()), r.progress(p))
	if err != nil {
		return p.failed(f.Name(), err)
	}
	if err := r.write(p, results, bench.Judge(results, goals)); err != nil {
		return p.failed(f.Name(), err)
	}
	if len(results.Faults) > 0 {
		return exitFailed
	}
	return exitOK
}
