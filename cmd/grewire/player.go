package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// outcome is what replay says of one frame.
type outcome struct {
	Frame     uint64
	Time      time.Time
	Side      track.Side
	Verdict   track.Verdict
	Rewritten bool
	Reason    track.Reason
	Call      uint64
	Zone      wire.Zone
	Text      string // what the frame is, for people, and what it leaves as
}

// summary is what replay says of all of them.
type summary struct {
	Frames    uint64            `json:"frames"`
	Forwarded uint64            `json:"forwarded"`
	Rewritten uint64            `json:"rewritten"`
	Dropped   uint64            `json:"dropped"`
	Reasons   map[string]uint64 `json:"reasons"`
	Calls     []track.Call      `json:"calls"` // ended ones too, by id
}

// replayPrinter prints outcomes in the order of the frames, then the summary.
type replayPrinter interface {
	// describe says what a frame is, as long as its bytes are there, if that will
	// be printed.
	describe(data []byte) string
	frame(*outcome) error
	summary(*summary) error
}

// player plays captures through an engine.
type player struct {
	engine  *bridge.Engine
	lanes   [2]*bridge.Lane
	sides   *capture.Sides
	printer replayPrinter
	out     *output // nil: the frames go nowhere
	sums    replaySums

	now    track.Time // the capture's, but never backwards
	ticked track.Time
	ticks  uint64 // how many there were
	// plodding has every tick happen, for a test.
	plodding bool
	frames   [1]track.Frame

	count   uint64 // frames played
	waiting []played
	ended   []track.Call
	sum     summary
	// control and untranslated are how many frames of a side were part of a
	// control connection, and for how many there was no translation.
	control, untranslated [2]uint64

	err error // the first that kept something from being printed or written
}

// played is a frame from its reading until its line is printed, which waits
// for the lines of the frames before.
type played struct {
	record  capture.Record
	outcome outcome
}

func newPlayer(options track.Options, sides *capture.Sides, printer replayPrinter) *player {
	p := &player{sides: sides, printer: printer}
	p.sum.Reasons = make(map[string]uint64)
	p.engine = bridge.NewEngine(options, p.event)
	for _, side := range []track.Side{track.LAN, track.WAN} {
		p.lanes[side] = p.engine.Lane(side)
	}
	return p
}

// event keeps the calls that end or are refused: the engine forgets them.
func (p *player) event(e track.Event) {
	if e.Kind == track.EventCallEnded || e.Kind == track.EventCallRefused {
		p.ended = append(p.ended, *e.Call)
	}
}

// all plays the captures one behind the other. A broken one is played as far
// as it can be read; the error tells of all of them.
func (p *player) all(ctx context.Context, inputs []input) error {
	var faults []error
	for i := range inputs {
		before := p.count
		err := p.file(ctx, &inputs[i])
		if inputs[i].fault != nil {
			faults = append(faults, inputs[i].fault)
			continue
		}
		if err == nil {
			continue
		}
		if broken, ok := errors.AsType[*capture.FrameError](err); ok && before > 0 {
			err = fmt.Errorf("%w (frame %d of the replay)", err, before+broken.Frame)
		}
		faults = append(faults, fmt.Errorf("%s: %w", inputs[i].name, err))
		if p.err != nil || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

func (p *player) file(ctx context.Context, in *input) error {
	r, err := in.open()
	if err != nil {
		return err
	}
	defer r.Close()
	p.sums.file = in.checksums
	for {
		rec, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted at frame %d", rec.Number)
		}
		if p.play(&rec); p.err != nil {
			return nil // finish reports it
		}
	}
}

// play puts one frame through the engine.
func (p *player) play(rec *capture.Record) {
	side := p.sides.Of(rec)
	p.advance(track.Time(rec.Time.UnixNano()))
	p.count++
	p.frames[0] = track.Frame{Data: rec.Data, Offload: p.sums.left(rec), Truncated: rec.Truncated, Number: p.count}
	kept := *rec
	kept.Data = nil // it is valid until the next frame is read
	p.waiting = append(p.waiting, played{kept, outcome{
		Frame: p.count, Time: rec.Time, Side: side, Text: p.printer.describe(rec.Data),
	}})
	p.settle(side, p.lanes[side].Process(p.frames[:], p.now))
}

const (
	// tick is how often the running box lets time pass.
	tick = track.Time(100 * time.Millisecond)
	// maxTicks bounds the work for a long silence in a capture: behind as many
	// ticks at which something may be due they become fewer.
	maxTicks = 100_000
)

// advance lets the capture's time pass, as often as the running box would. Ticks
// at which nothing is due are passed over.
func (p *player) advance(now track.Time) {
	if p.count == 0 {
		p.now, p.ticked = now, now
	}
	for step, ticks := tick, 0; ; ticks++ {
		if !p.plodding && ticks > 0 {
			p.ticked = max(p.ticked, p.engine.Pass(now, time.Duration(step)))
		}
		if ticks == maxTicks {
			step, ticks = 2*step, 0
		}
		if p.ticked+step > now {
			break
		}
		p.ticked += step
		p.let(p.ticked)
	}
	p.now = max(p.now, now)
}

// let lets time pass to a tick.
func (p *player) let(now track.Time) {
	p.ticks++
	p.now = max(p.now, now)
	p.engine.Tick(now)
	for side, lane := range p.lanes {
		p.settle(track.Side(side), lane.Process(nil, now))
	}
}

// settle takes in frames with their final verdict: those that may leave are
// written, then the lines that nothing keeps waiting are printed.
func (p *player) settle(in track.Side, decided []*track.Frame) {
	for _, f := range decided {
		w := p.waitingFor(f.Number)
		if w == nil || w.outcome.Verdict != 0 {
			p.fail(fmt.Errorf("internal error: frame %d was decided about more than once", f.Number))
			continue
		}
		o := &w.outcome
		o.Verdict, o.Reason, o.Rewritten, o.Call = f.Verdict, f.Reason, f.Rewritten, f.Call
		o.Zone = f.Packet.Zone
		if o.Rewritten {
			o.leavesAs(p.printer.describe(f.Data))
		}
		p.tally(o)
		if p.out != nil && f.Verdict.Passes() {
			p.fail(p.out.write(in.Other(), &w.record, f.Data))
		}
	}
	p.lanes[in].Count(decided)
	p.print()
}

func (p *player) waitingFor(number uint64) *played {
	first := p.count - uint64(len(p.waiting)) + 1
	if number < first || number > p.count {
		return nil
	}
	return &p.waiting[number-first]
}

// leavesAs adds what the box has made of the frame, if it looks different.
func (o *outcome) leavesAs(text string) {
	if text != o.Text {
		o.Text += "; leaves as " + text
	}
}

func (p *player) tally(o *outcome) {
	p.sum.Frames++
	p.sum.Reasons[o.Reason.String()]++
	switch o.Reason {
	case track.ReasonControl:
		p.control[o.Side]++
	case track.ReasonNoTranslation:
		p.untranslated[o.Side]++
	}
	switch {
	case !o.Verdict.Passes():
		p.sum.Dropped++
	case o.Rewritten:
		p.sum.Rewritten++
	default:
		p.sum.Forwarded++
	}
}

// print prints the lines up to the first frame that is still held.
func (p *player) print() {
	done := 0
	for ; done < len(p.waiting) && p.waiting[done].outcome.Verdict != 0; done++ {
		p.fail(p.printer.frame(&p.waiting[done].outcome))
	}
	p.waiting = slices.Delete(p.waiting, 0, done)
}

// fail keeps the first error.
func (p *player) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// finish gives up the frames still held, and prints the summary.
func (p *player) finish() error {
	for side, lane := range p.lanes {
		p.settle(track.Side(side), lane.Flush(p.now))
	}
	p.engine.Finish()
	if len(p.waiting) > 0 {
		p.fail(fmt.Errorf("internal error: frame %d got no verdict", p.waiting[0].outcome.Frame))
	}
	p.sum.Calls = append(append([]track.Call{}, p.ended...), p.engine.Calls()...)
	slices.SortFunc(p.sum.Calls, func(a, b track.Call) int { return cmp.Compare(a.ID, b.ID) })
	p.fail(p.printer.summary(&p.sum))
	if p.out != nil {
		p.fail(p.out.close())
	}
	return p.err
}

// output is the file of -o. Its interfaces have the link type of the first
// frame that is written.
type output struct {
	file   *os.File
	writer *capture.Writer
}

func (o *output) start(link capture.LinkType) (err error) {
	if o.writer == nil {
		o.writer, err = capture.NewWriter(o.file, link)
	}
	return err
}

func (o *output) write(side track.Side, rec *capture.Record, frame []byte) error {
	if err := o.start(rec.Link.Type); err != nil {
		return err
	}
	return o.writer.Write(side, rec, frame)
}

func (o *output) close() error {
	if err := o.start(capture.LinkEthernet); err != nil {
		return errors.Join(err, o.file.Close())
	}
	return errors.Join(o.writer.Flush(), o.file.Close())
}
