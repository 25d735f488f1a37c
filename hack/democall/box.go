package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

const (
	startWait = 10 * time.Second
	pollEvery = 20 * time.Millisecond
	eventWait = 20 * time.Second // pptp itself waits a second in between
	retryWait = 10 * time.Second // for the box to know what just happened
)

// demo is the laboratory and what has happened in it so far.
type demo struct {
	grewire string
	lab     *bridgetest.Lab
	top     *bridgetest.Topology
	socket  string

	box     *bridgetest.Process
	events  *follower
	capture *bridgetest.Capture
	pcap    string
	client  *bridgetest.Client

	read      int             // events
	toldDrops map[string]bool // by reason

	call   call   // while it was up
	forged uint64 // frames
}

func newDemo(grewire string) (*demo, error) {
	lab, err := bridgetest.Open("demo")
	if err != nil {
		return nil, err
	}
	top, err := bridgetest.Inline(lab)
	if err != nil {
		_ = lab.Close() // the first error says more
		return nil, err
	}
	return &demo{
		grewire: grewire, lab: lab, top: top, toldDrops: make(map[string]bool),
		socket: filepath.Join(lab.Dir(), "grewire.sock"), pcap: filepath.Join(lab.Dir(), "server.pcap"),
	}, nil
}

const picture = `
A real PPTP call through the box

      client                        box                        server
    10.77.0.11/24  ---------  lan grewire wan  ---------    10.77.0.2/24
      real pptp           no address, no route there          real pptpd

Three network namespaces of this machine, joined by veth pairs with their
offloads on. The programs are Debian's own; only pppd has a stand-in.
`

// startBox starts the box and follows its events.
func (d *demo) startBox(ctx context.Context) error {
	fmt.Print(picture)
	heading("The box starts")
	config := filepath.Join(d.lab.Dir(), "grewire.toml")
	text := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n\n[status]\nsocket = %q\nstate = \"\"\n", bridgetest.LANNIC, bridgetest.WANNIC, d.socket)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Print(indent(text))
	command("run", "-config", config)
	var err error
	if d.box, err = d.top.Box.Start(d.grewire, "run", "-config", config); err != nil {
		return err
	}
	if err := d.waitSocket(ctx); err != nil {
		return err
	}
	if d.events, err = follow(d.top.Box, d.grewire, "events", "-json", "-socket", d.socket); err != nil {
		return err
	}
	d.capture, err = d.top.Server.Capture(bridgetest.HostNIC, d.pcap)
	return err
}

// waitSocket waits until the box answers on its control socket.
func (d *demo) waitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	err := poll(ctx, func() error {
		conn, err := net.Dial("unix", d.socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}, d.box.Done())
	if err != nil {
		return fmt.Errorf("grewire run does not come up: %w", err)
	}
	return nil
}

// poll tries until it works, ctx ends, or over is closed.
func poll(ctx context.Context, try func() error, over <-chan struct{}) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-over:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// ask runs a command of grewire against the box and returns what it prints.
func (d *demo) ask(ctx context.Context, args ...string) (string, error) {
	args = append(args, "-socket", d.socket)
	out, err := d.top.Box.Command(ctx, d.grewire, args...).Output()
	if err != nil {
		return "", fmt.Errorf("grewire %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// askJSON runs a command of grewire with -json into a value.
func (d *demo) askJSON(ctx context.Context, into any, name string) error {
	out, err := d.ask(ctx, name, "-json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("grewire %s -json: %w in %q", name, err, out)
	}
	return nil
}

// show prints what a command of grewire prints.
func (d *demo) show(ctx context.Context, name string) error {
	out, err := d.ask(ctx, name)
	if err == nil {
		command(name)
		fmt.Print(indent(out))
	}
	return err
}

// stopBox stops the box the way a service manager does.
func (d *demo) stopBox(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	if err := d.box.Stop(ctx); err != nil {
		return fmt.Errorf("grewire run did not stop clean: %w", err)
	}
	return nil
}

// explain adds what the box has logged to an error.
func (d *demo) explain(err error) error {
	if err == nil || d.box == nil {
		return err
	}
	return fmt.Errorf("%w\n\nThe box's log:\n%s", err, indent(d.box.Output()))
}
