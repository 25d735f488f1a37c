package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const replayAbout = `Plays captures (pcap or pcapng; Ethernet, Linux cooked, raw IP) through the
engine of the box and says of every frame what the box would have done with
it, and of every call what became of it. "-" reads standard input. Several
captures are played one behind the other as if they were one: the same calls,
and frames numbered on. Time is that of the capture.

` + capture.SideRule + `
`

// replayFlags are the flags of the command replay.
type replayFlags struct {
	config string
	lan    []string
	out    string
	json   bool
}

func (p *program) replay(ctx context.Context, args []string) int {
	var o replayFlags
	f := p.flags("replay", "[flags] CAPTURE...", replayAbout)
	f.StringVar(&o.config, "config", "", "take policy, limits and timeouts from `FILE` (it need not name NICs)")
	f.Func("lan", "frames from `PREFIX|MAC` come from the LAN (repeatable)", func(s string) error {
		o.lan = append(o.lan, s)
		_, err := capture.NewSurvey([]string{s})
		return err
	})
	f.StringVar(&o.out, "o", "", "write what the box would have sent to `OUT.pcapng`, on interfaces lan and wan")
	f.BoolVar(&o.json, "json", false, "print a JSON object for every frame, and one with the summary")
	captures, code, ok := f.parse(args, 1, maxCaptures)
	if !ok {
		return code
	}
	options, err := policyOf(o.config)
	if err != nil {
		return p.misconfigured("replay", err)
	}
	if err := p.play(ctx, &o, options, captures); err != nil {
		return p.failed("replay", err)
	}
	return exitOK
}

const maxCaptures = 1 << 16

// policyOf returns the options that a configuration has for the tracker; the
// defaults without a configuration.
func policyOf(path string) (track.Options, error) {
	c := config.Default()
	if path != "" {
		loaded, err := config.LoadWithoutNICs(path)
		if err != nil {
			return track.Options{}, err
		}
		c = *loaded
	}
	o := trackOptions(&c)
	o.Seed = randomSeed()
	return o, nil
}

// play replays the captures. What it finds wrong with one of them it reports
// once everything readable is played and printed.
func (p *program) play(ctx context.Context, o *replayFlags, options track.Options, captures []string) error {
	inputs, err := p.openInputs(captures)
	defer closeInputs(inputs)
	if err != nil {
		return err
	}
	sides, err := surveyInputs(inputs, o.lan)
	if err != nil {
		return err
	}
	stdout := bufio.NewWriterSize(p.out, 1<<16)
	var printer replayPrinter = &textPrinter{out: stdout}
	if o.json {
		printer = newJSONPrinter(stdout)
	}
	player := newPlayer(options, sides, printer)
	if o.out != "" {
		out, err := createOutput(o.out, inputs)
		if err != nil {
			return err
		}
		player.out = out
	}
	played := player.all(ctx, inputs)
	return errors.Join(played, player.finish(), stdout.Flush())
}

// input is a capture to be played, twice: once to find out who is on which
// side, and once for good.
type input struct {
	name      string // as the user wrote it
	path      string // where it can be read more than once
	info      os.FileInfo
	temporary bool
}

// openInputs makes sure of every capture before anything is played.
func (p *program) openInputs(names []string) ([]input, error) {
	var inputs []input
	for _, name := range names {
		in, err := p.openInput(name)
		if err != nil {
			return inputs, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

func (p *program) openInput(name string) (input, error) {
	if name == "-" {
		return spool("standard input", p.in)
	}
	info, err := os.Stat(name)
	if err != nil {
		return input{}, err
	}
	if info.Mode().IsRegular() || info.IsDir() {
		return input{name: name, path: name, info: info}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return input{}, err
	}
	defer file.Close()
	return spool(name, file)
}

// spool keeps a stream that cannot be read twice.
func spool(name string, from io.Reader) (input, error) {
	file, err := os.CreateTemp("", "grewire-replay-")
	if err != nil {
		return input{}, err
	}
	in := input{name: name, path: file.Name(), temporary: true}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(in.path)
		return input{}, fmt.Errorf("%s: %w", name, err)
	}
	in.info, err = os.Stat(in.path)
	return in, err
}

func closeInputs(inputs []input) {
	for _, in := range inputs {
		if in.temporary {
			os.Remove(in.path)
		}
	}
}

func surveyInputs(inputs []input, lan []string) (*capture.Sides, error) {
	survey, err := capture.NewSurvey(lan)
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		r, err := in.open()
		if err != nil {
			return nil, err
		}
		survey.Read(r)
		r.Close()
	}
	return survey.Sides(), nil
}

// open opens the capture; the error has the name that the user gave it.
func (in *input) open() (*capture.Reader, error) {
	file, err := os.Open(in.path)
	if err != nil {
		return nil, err
	}
	r, err := capture.NewReader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	return r, nil
}

// createOutput creates the file for what the box would have sent. None of the
// captures may be overwritten.
func createOutput(path string, inputs []input) (*output, error) {
	if info, err := os.Stat(path); err == nil {
		for _, in := range inputs {
			if os.SameFile(info, in.info) {
				return nil, fmt.Errorf("-o %s would overwrite the capture %s: choose another name", path, in.name)
			}
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &output{file: file}, nil
}
