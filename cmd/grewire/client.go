package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/config"
)

// ask is what the commands have in common that ask the running box: their
// flags, and how an answer is printed.
type ask struct {
	name, about string
	path        string // on the control socket
	// print prints the answer for people.
	print func(out io.Writer, answer []byte) error
}

func (p *program) calls(ctx context.Context, args []string) int {
	return p.ask(ctx, args, ask{
		"calls", "Lists the calls that the running box follows. PNS and PAC are given with the\nside they are on, their address, and the call ID they assigned.\n", "/calls",
		table(printCalls, "no calls"),
	})
}

func (p *program) expectations(ctx context.Context, args []string) int {
	return p.ask(ctx, args, ask{
		"expectations", "Lists the directions of calls whose GRE is allowed but was not seen yet.\n", "/expectations",
		table(printExpectations, "no expectations"),
	})
}

func (p *program) stats(ctx context.Context, args []string) int {
	return p.ask(ctx, args, ask{
		"stats", "Shows the counters of the running box. Forwarded, rewritten and dropped add up to\nthe frames, and so do the reasons.\n", "/stats",
		printStats,
	})
}

// table decodes a list and prints it, or says that there is none.
func table[T any](print func(io.Writer, []T) error, none string) func(io.Writer, []byte) error {
	return func(out io.Writer, answer []byte) error {
		var rows []T
		if err := json.Unmarshal(answer, &rows); err != nil {
			return err
		}
		if len(rows) == 0 {
			_, err := fmt.Fprintln(out, none)
			return err
		}
		return print(out, rows)
	}
}

// ask asks the running box and prints what it says.
func (p *program) ask(ctx context.Context, args []string, a ask) int {
	f, client, asJSON := p.clientFlags(a.name, a.about)
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if code, ok := client.locate(f); !ok {
		return code
	}
	var answer json.RawMessage
	if err := client.Get(ctx, a.path, &answer); ctx.Err() != nil {
		return p.failed(a.name, errors.New("interrupted before the box has answered"))
	} else if err != nil {
		return p.failed(a.name, err)
	}
	if *asJSON {
		_, err := p.out.Write(append(answer, '\n'))
		return p.printed(a.name, err)
	}
	var text bytes.Buffer
	if err := a.print(&text, answer); err != nil {
		return p.failed(a.name, fmt.Errorf("the box at %s is of another version: %w", client.Socket, err))
	}
	_, err := p.out.Write(text.Bytes())
	return p.printed(a.name, err)
}

// boxClient is a client of the box whose socket the flags name.
type boxClient struct {
	status.Client
	config string
}

func (p *program) clientFlags(name, about string) (f *flags, client *boxClient, asJSON *bool) {
	f = p.flags(name, "[-socket PATH | -config FILE] [-json]", about)
	client = new(boxClient)
	f.StringVar(&client.Socket, "socket", "", "the box's control socket, a `PATH` (default "+config.Default().Status.Socket+")")
	f.StringVar(&client.config, "config", "", "take the control socket from the box's configuration `FILE`")
	return f, client, f.Bool("json", false, "print JSON")
}

// locate finds the socket: that of the flag, of the configuration, or the
// default. If it is not ok, what is wrong was said, and the command ends with
// code.
func (c *boxClient) locate(f *flags) (code int, ok bool) {
	switch {
	case c.Socket != "" && c.config != "":
		return f.misused("-socket and -config both name the control socket: give one of them"), false
	case c.Socket != "":
	case c.config == "":
		c.Socket = config.Default().Status.Socket
	default:
		loaded, err := config.LoadWithoutNICs(c.config)
		if err != nil {
			return f.p.misconfigured(f.Name(), err), false
		}
		c.Socket = loaded.Status.Socket
	}
	return exitOK, true
}

func (p *program) events(ctx context.Context, args []string) int {
	f, client, asJSON := p.clientFlags("events",
		"Prints what happens in the running box, a line for each event, until it is\ninterrupted. A reader that falls far behind misses some.\n")
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if code, ok := client.locate(f); !ok {
		return code
	}
	err := client.Events(ctx, func(line []byte) error {
		if !*asJSON {
			line = []byte(eventLine(line))
		}
		_, err := fmt.Fprintf(p.out, "%s\n", line)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return exitOK
	case err == io.EOF:
		err = fmt.Errorf("control socket %s: the box has ended the stream", client.Socket)
	}
	return p.failed("events", err)
}
