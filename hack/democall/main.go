// Command democall shows grewire at work: it makes a laboratory of network
// namespaces, runs a box in it, carries a real PPTP call across it, sends
// forged GRE, and checks that everything it promises happens. hack/demo runs
// it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// demoTime bounds the demonstration, the time after -keep excluded.
const demoTime = 100 * time.Second

func main() {
	grewire := flag.String("grewire", "", "the grewire program to show")
	keep := flag.Bool("keep", false, "leave the call up until Enter or Ctrl-C, and say what to try")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Even if nobody reads on ("hack/demo | head"), what was started is taken down.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := run(ctx, *grewire, *keep); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, grewire string, keep bool) error {
	if grewire == "" {
		return errors.New("which grewire? -grewire PROGRAM is missing")
	}
	d, err := newDemo(grewire)
	if err != nil {
		return err
	}
	err = d.explain(d.tell(ctx, keep))
	if err := errors.Join(err, d.lab.Close()); err != nil {
		return err
	}
	d.printResult()
	return nil
}

// tell tells the whole story.
func (d *demo) tell(ctx context.Context, keep bool) error {
	bounded, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	if err := d.callUp(bounded, keep); err != nil {
		return err
	}
	if keep {
		return d.keep(ctx)
	}
	return d.callDown(bounded)
}

// callUp is the story up to the forged GRE.
func (d *demo) callUp(ctx context.Context, keep bool) error {
	pings := 20
	if keep {
		pings = -1
	}
	for _, step := range []func() error{
		func() error { return d.startBox(ctx) },
		func() error { return d.pingAcross(ctx) },
		func() error { return d.dial(ctx, pings) },
		func() error { return d.showCall(ctx) },
		func() error { return d.forge(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// callDown is the rest of it.
func (d *demo) callDown(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.hangUp, d.showStats, d.stopBox} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
