package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

const replayAbout = `Plays captures (pcap or pcapng; Ethernet, Linux cooked, raw IP) through the
engine of the box and says of every frame what the box would have done with
it, and of every call what became of it. "-" reads standard input. Several
captures are played one behind the other as if they were one: the same calls,
and frames numbered on. Time is that of the capture, and what comes out is the
same every time.

A capture taken on a sending host has TCP checksums that its NIC has yet to
finish. With -checksums auto, such a host's segments are followed, and a warning
says so: most of its segments hold the pseudo-header's sum or zero for a
checksum, or it is the only host whose checksums are mostly wrong. verify takes
no segment with a wrong checksum, as the running box; ignore takes every one.

` + capture.SideRule + `
`

// replayFlags are the flags of the command replay.
type replayFlags struct {
	config string
	lan    []string
	out    string
	json   bool
	seed   uint64
	sums   sumsMode
}

func (p *program) replay(ctx context.Context, args []string) int {
	o := replayFlags{sums: sumsAuto}
	f := p.flags("replay", "[flags] CAPTURE...", replayAbout)
	f.StringVar(&o.config, "config", "", "take policy, limits and timeouts from `FILE` (it need not name NICs)")
	f.Func("lan", "frames from `PREFIX|MAC` come from the LAN (repeatable)", func(s string) error {
		o.lan = append(o.lan, s)
		_, err := capture.NewSurvey([]string{s})
		return err
	})
	f.StringVar(&o.out, "o", "", "write what the box would have sent to `OUT.pcapng`, on interfaces lan and wan")
	f.Uint64Var(&o.seed, "seed", defaultSeed, "what is chosen at random, such as call IDs under [nat], follows from `N`")
	f.Func("checksums", "wrong TCP checksums of control connections: `auto|verify|ignore`, see above (default auto)", o.sums.set)
	f.BoolVar(&o.json, "json", false, "print a JSON object for every frame, and one with the summary")
	captures, code, ok := f.parse(args, 1, maxCaptures)
	if !ok {
		return code
	}
	options, err := policyOf(o.config, o.seed)
	if err != nil {
		return p.misconfigured("replay", err)
	}
	if err := p.play(ctx, &o, options, captures); err != nil {
		return p.failed("replay", err)
	}
	return exitOK
}

const (
	maxCaptures = 1 << 16
	// defaultSeed has two replays of a capture come out alike. The running box has
	// one that nobody can guess.
	defaultSeed = 1
)

// policyOf returns the options that a configuration has for the tracker; the
// defaults without a configuration.
func policyOf(path string, seed uint64) (track.Options, error) {
	c := config.Default()
	if path != "" {
		loaded, err := config.LoadWithoutNICs(path)
		if err != nil {
			return track.Options{}, err
		}
		c = *loaded
	}
	o := trackOptions(&c)
	o.Seed = seed
	translate(&o, &c, seed, nil)
	return o, nil
}

// play replays the captures. What it finds wrong with one of them it reports
// once everything readable is played and printed.
func (p *program) play(ctx context.Context, o *replayFlags, options track.Options, captures []string) error {
	opened, faults := p.openInputs(ctx, captures)
	defer closeInputs(opened)
	inputs, sides, unreadable, err := surveyInputs(opened, o.lan)
	if faults = errors.Join(faults, unreadable); err != nil || len(inputs) == 0 {
		return errors.Join(err, faults)
	}
	stdout := bufio.NewWriterSize(p.out, 1<<16)
	var printer replayPrinter = &textPrinter{out: stdout}
	if o.json {
		printer = newJSONPrinter(stdout)
	}
	player := newPlayer(options, sides, printer)
	player.sums.mode = o.sums
	if o.out != "" {
		out, err := createOutput(o.out, inputs)
		if err != nil {
			return errors.Join(err, faults)
		}
		player.out = out
	}
	if slices.ContainsFunc(inputs, func(in input) bool { return in.interrupted }) {
		ctx = context.WithoutCancel(ctx) // what came until the interrupt is still to be played
	}
	played := player.all(ctx, inputs)
	err = errors.Join(faults, played, player.finish(), stdout.Flush())
	p.warn(player)
	return err
}

// warn says what makes the replay differ from what the box would have done.
func (p *program) warn(played *player) {
	if cut := played.sum.Reasons[track.ReasonTruncated.String()]; cut > 0 {
		p.warning("%d of %s were cut by the capture's snap length and are dropped as truncated; capture with -s 0", cut, plural(played.count, "frame"))
	}
	if sums := &played.sums; sums.believed > 0 {
		p.warning("%s with an unfinished TCP checksum, first from %s: captured on the sending host, whose NIC finishes them; they are followed all the same (-checksums verify takes them for damaged)", plural(sums.believed, "frame"), sums.from)
	}
	for _, side := range []track.Side{track.LAN, track.WAN} {
		if n := played.untranslated[side]; n > played.control[side] {
			p.warning("%s from the %s dropped for want of a translation: a capture made without the box does not have its names; play it without [nat]", plural(n, "frame"), side)
		}
	}
	switch matched, judged := played.sides.GivenLAN(); {
	case judged == 0:
	case matched == 0:
		p.warning("-lan matches the source of none of %s: all count as from the WAN", plural(judged, "frame"))
	case matched == judged:
		p.warning("-lan matches the source of every one of %s: none counts as from the WAN", plural(judged, "frame"))
	}
}

func (p *program) warning(format string, args ...any) {
	fmt.Fprintf(p.err, "grewire replay: warning: "+format+"\n", args...)
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
