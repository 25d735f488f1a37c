package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/grewire/grewire/config"
)

// command is one of the program's commands.
type command struct {
	name, summary string
	run           func(p *program, ctx context.Context, args []string) int
}

// main runs the command that args name and returns the exit code.
func (p *program) main(ctx context.Context, args []string) int {
	if len(args) == 0 {
		p.usage(p.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		p.usage(p.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(p, ctx, args[1:])
		}
	}
	fmt.Fprintf(p.err, "grewire: there is no command %q\n\n", args[0])
	p.usage(p.err)
	return exitUsage
}

func (p *program) usage(to io.Writer) {
	fmt.Fprint(to, "grewire is a bump in the wire for PPTP.\n\nUsage: grewire COMMAND [flags]\n\nCommands:\n")
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.summary)
	}
	table.Flush()
	fmt.Fprint(to, "\n\"grewire COMMAND -h\" explains a command. The exit code is 0 for success, 1 for failure,\n2 for wrong usage or a wrong configuration.\n")
}

// flags are the flags of one command. They may stand before, between and
// behind the other arguments; "--" ends them.
type flags struct {
	*flag.FlagSet
	p               *program
	synopsis, about string
}

func (p *program) flags(name, synopsis, about string) *flags {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return &flags{set, p, synopsis, about}
}

// parse returns the other arguments, of which there must be as many as the
// limits say. If it is not ok, the command ends with code: help was asked for
// and given, or the usage is wrong and that was said.
func (f *flags) parse(args []string, least, most int) (rest []string, code int, ok bool) {
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			f.help()
			return nil, exitOK, false
		} else if err != nil {
			return nil, f.misused(err.Error()), false
		}
		if f.NArg() > 0 && f.NArg() < len(args) && args[len(args)-f.NArg()-1] == "--" {
			rest = append(rest, f.Args()...)
			break
		}
		if args = f.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	switch {
	case len(rest) > most:
		return nil, f.misused(fmt.Sprintf("unexpected argument %q", rest[most])), false
	case len(rest) < least:
		return nil, f.misused("an argument is missing"), false
	}
	return rest, exitOK, true
}

func (f *flags) help() {
	fmt.Fprintf(f.p.out, "Usage: grewire %s %s\n\n%s\n", f.Name(), f.synopsis, f.about)
	f.SetOutput(f.p.out)
	f.PrintDefaults()
}

// misused says what is wrong with the command line.
func (f *flags) misused(message string) int {
	fmt.Fprintf(f.p.err, "grewire %s: %s\nUsage: grewire %[1]s %[3]s\n\"grewire %[1]s -h\" explains it.\n", f.Name(), message, f.synopsis)
	return exitUsage
}

// failed says what went wrong, a line for each of several errors.
func (p *program) failed(command string, err error) int {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(p.err, "grewire %s: %s\n", command, strings.TrimSuffix(line, "\n"))
	}
	return exitFailed
}

// misconfigured says what is wrong with a configuration: a line for each
// fault.
func (p *program) misconfigured(command string, err error) int {
	if faults, ok := errors.AsType[config.Faults](err); ok {
		fmt.Fprintln(p.err, faults)
	} else {
		p.failed(command, fmt.Errorf("%w: name a right one with -config", err))
	}
	return exitUsage
}

// printable returns s with everything that a terminal might obey escaped.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// plural returns "1 frame", "2 frames".
func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
