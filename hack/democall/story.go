package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// heading starts a part of the story.
func heading(text string) { fmt.Printf("\n--- %s\n\n", text) }

// command shows a command as one would type it.
func command(args ...string) { fmt.Printf("  $ grewire %s\n", strings.Join(args, " ")) }

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		if line != "\n" {
			out.WriteString("  ")
		}
		out.WriteString(line)
	}
	return out.String()
}

func (d *demo) pingAcross(ctx context.Context) error {
	heading("To everything but PPTP the box is a cable: the client pings the server")
	const deadline = "10" // seconds; the first replies may be lost while the box comes up
	out, err := d.top.Client.Run(ctx, "ping", "-n", "-c", "1", "-w", deadline, bridgetest.ServerAddr)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "bytes from") {
			fmt.Print("  " + line)
		}
	}
	return nil
}

// dial makes the call and tells what the box says about it.
func (d *demo) dial(ctx context.Context, pings int) error {
	heading("The client dials; the box reads the control connection and tells what is agreed")
	_, err := bridgetest.StartServer(d.top.Server)
	if err != nil {
		return err
	}
	d.client, err = bridgetest.Dial(d.top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{Pings: bridgetest.Pings{Count: pings}})
	if err != nil {
		return err
	}
	if _, err := d.expect(ctx, "control-open", "call-requested", "call-connected", "call-active"); err != nil {
		return err
	}
	up, err := d.client.Ready(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n  PPP is up inside GRE: the client is %s, the server %s.\n", up.Local, up.Peer)
	if pings < 0 {
		return nil
	}
	pinged, err := d.client.Pinged(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("  %d pings through the tunnel, %d answered.\n", pinged.Sent, pinged.Answered)
	if pinged.Answered != pinged.Sent {
		return errors.New("pings through the tunnel were lost")
	}
	return nil
}

// expect prints events as they come until all of the wanted ones were there,
// and returns the first of each. A frame-dropped is wanted by its reason, see
// key, and printed once for each.
func (d *demo) expect(ctx context.Context, wanted ...string) (map[string]event, error) {
	ctx, cancel := context.WithTimeout(ctx, eventWait)
	defer cancel()
	found := make(map[string]event)
	for len(wanted) > 0 {
		e, err := d.events.next(ctx, d.read)
		if err != nil {
			return nil, fmt.Errorf("the box does not tell %s: %w", strings.Join(wanted, ", "), err)
		}
		d.read++
		if e.Frame == nil || !d.toldDrops[e.Frame.Reason] {
			fmt.Println("  " + e.String())
		}
		if e.Frame != nil {
			d.toldDrops[e.Frame.Reason] = true
		}
		if i := slices.Index(wanted, e.key()); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			found[e.key()] = e
		}
	}
	return found, nil
}

// showCall shows the list of calls once GRE has passed both ways.
func (d *demo) showCall(ctx context.Context) error {
	heading("The call as the box lists it")
	waiting, cancel := context.WithTimeout(ctx, retryWait)
	defer cancel()
	if err := poll(waiting, func() error { return d.findCall(waiting) }, d.box.Done()); err != nil {
		return err
	}
	return d.show(ctx, "calls")
}

func (d *demo) findCall(ctx context.Context) error {
	var calls []call
	if err := d.askJSON(ctx, &calls, "calls"); err != nil {
		return err
	}
	if len(calls) != 1 {
		return fmt.Errorf("the box lists %d calls, want 1", len(calls))
	}
	d.call = calls[0]
	c := d.call
	if c.State != "active" || c.LANToWAN.Packets == 0 || c.WANToLAN.Packets == 0 {
		return fmt.Errorf("the call is %s with %d packets from lan to wan and %d back; want it active, with packets both ways",
			c.State, c.LANToWAN.Packets, c.WANToLAN.Packets)
	}
	if c.PNS.Addr != bridgetest.ClientAddr(0) || c.PAC.Addr != bridgetest.ServerAddr {
		return fmt.Errorf("the call is between PNS %s and PAC %s, want %s and %s", c.PNS.Addr, c.PAC.Addr, bridgetest.ClientAddr(0), bridgetest.ServerAddr)
	}
	return nil
}

func (d *demo) hangUp(ctx context.Context) error {
	heading("The client hangs up")
	if _, err := d.client.Hangup(ctx); err != nil {
		return err
	}
	found, err := d.expect(ctx, "call-ended", "control-close")
	if err != nil {
		return err
	}
	if ended := found["call-ended"].Call; ended == nil || ended.ID != d.call.ID {
		return fmt.Errorf("call-ended does not name call %d", d.call.ID)
	}
	return nil
}

// forgeCommand is how a user sends GRE that nobody negotiated: a header of
// version 0 and nothing more.
func forgeCommand(from string) string {
	return fmt.Sprintf(`ip netns exec %s perl -MSocket -e 'socket(S, AF_INET, SOCK_RAW, 47); send(S, "\0\0\x08\0", 0, sockaddr_in(0, inet_aton("%s")))'`, from, bridgetest.ServerAddr)
}

// keep leaves everything running until the user has seen enough.
func (d *demo) keep(ctx context.Context) error {
	heading("The call stays up. In another terminal, as root, try")
	client, server := d.top.Client.Name(), d.top.Server.Name()
	for _, line := range []string{
		fmt.Sprintf("%s calls -socket %s", d.grewire, d.socket),
		fmt.Sprintf("%s events -socket %s", d.grewire, d.socket),
		fmt.Sprintf("%s stats -socket %s", d.grewire, d.socket),
		fmt.Sprintf("ip netns exec %s ping %s", client, bridgetest.ServerAddr),
		forgeCommand(client) + "   # one forged GRE: an event",
		fmt.Sprintf("ip netns exec %s tcpdump -n -i %s proto gre or port 1723", server, bridgetest.HostNIC),
		fmt.Sprintf("ip netns exec %s ip address", d.top.Box.Name()),
	} {
		fmt.Println("  " + line)
	}
	fmt.Println("\nEnter or Ctrl-C takes everything down.")
	enter := make(chan struct{})
	go func() {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil { // a closed stdin is no Enter
			close(enter)
		}
	}()
	select {
	case <-enter:
	case <-ctx.Done():
	case <-d.box.Done():
		return errors.New("the box has ended")
	}
	return nil
}
