package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/grewire/grewire/bridge/capture"
)

// lastWords is how long a stream is still read after an interrupt: tcpdump,
// interrupted by the same Ctrl-C, hands over what it has buffered and ends.
const lastWords = time.Second

var errInterrupted = errors.New("interrupted: the capture ends here")

// input is a capture to be played, twice: once to find out who is on which
// side and who left its checksums to its NIC, and once for good.
type input struct {
	name string // as the user wrote it
	info os.FileInfo
	// spooled holds a stream, which cannot be read twice; it has no name. Nil
	// for a file that is read where it is.
	spooled *os.File
	// interrupted is set when the user wanted the stream to end; fault says
	// what ended it before its own end, if anything did.
	interrupted bool
	fault       error
	// checksums is what the survey found out about them.
	checksums *capture.Checksums
}

// openInputs makes sure of every capture before anything is played. The error
// names those that cannot be had.
func (p *program) openInputs(ctx context.Context, names []string) (inputs []input, faults error) {
	for _, name := range names {
		in, err := p.openInput(ctx, name)
		if err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		inputs = append(inputs, in)
	}
	return inputs, faults
}

func (p *program) openInput(ctx context.Context, name string) (input, error) {
	if name == "-" {
		return spool(ctx, "standard input", func() (io.Reader, error) { return p.in, nil })
	}
	info, err := os.Stat(name)
	if err != nil {
		return input{}, err
	}
	if info.Mode().IsRegular() || info.IsDir() {
		return input{name: name, info: info}, nil
	}
	return spool(ctx, name, func() (io.Reader, error) { return os.Open(name) })
}

// spool keeps a stream until it ends, breaks, or the user has had enough of
// it: what came until then is there to be played.
func spool(ctx context.Context, name string, open func() (io.Reader, error)) (input, error) {
	file, err := os.CreateTemp("", "grewire-replay-")
	if err != nil {
		return input{}, err
	}
	in := input{name: name, spooled: file}
	// However the program ends, nothing is left behind.
	if err = os.Remove(file.Name()); err == nil {
		err = copyUntil(ctx, file, open)
	}
	in.interrupted = ctx.Err() != nil
	if in.info, _ = file.Stat(); err != nil {
		in.fault = fmt.Errorf("%s: %w", name, err)
	}
	return in, nil
}

// copyUntil copies a stream to its end, but not for longer than lastWords
// after ctx is done. A reader that waits cannot be called back: it is left
// behind, as the program will end soon.
func copyUntil(ctx context.Context, to io.Writer, open func() (io.Reader, error)) error {
	out, in := io.Pipe()
	go func() {
		from, err := open()
		if err == nil {
			_, err = io.Copy(in, from)
		}
		in.CloseWithError(err) // nil: the end
		if file, ok := from.(*os.File); ok && file != nil {
			file.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, func() { out.Close() }) })
	defer stop()
	defer out.Close()
	_, err := io.Copy(to, out)
	if errors.Is(err, io.ErrClosedPipe) {
		return errInterrupted
	}
	return err
}

func closeInputs(inputs []input) {
	for _, in := range inputs {
		if in.spooled != nil {
			in.spooled.Close()
		}
	}
}

// surveyInputs finds out who is on which side. It returns the captures that
// can be played; unreadable names the others.
func surveyInputs(inputs []input, lan []string) (readable []input, sides *capture.Sides, unreadable, err error) {
	survey, err := capture.NewSurvey(lan)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, in := range inputs {
		r, err := in.open()
		if err != nil {
			unreadable = errors.Join(unreadable, err)
			continue
		}
		in.checksums = survey.Read(r)
		r.Close()
		readable = append(readable, in)
	}
	return readable, survey.Sides(), unreadable, nil
}

// open opens the capture; the error has the name that the user gave it.
func (in *input) open() (*capture.Reader, error) {
	if in.spooled == nil {
		return capture.Open(in.name)
	}
	r, err := capture.NewReader(io.NewSectionReader(in.spooled, 0, in.info.Size()))
	switch {
	case err == nil:
		return r, nil
	case in.fault != nil: // which is why
		return nil, in.fault
	}
	return nil, fmt.Errorf("%s: %w", in.name, err)
}
