package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// TestLabNATChecksums captures at both ends of translated calls. With offloads,
// the hosts leave checksums to be finished: the box then passes them on
// unfinished, and with its own NICs' offload off they are on the wire behind it as
// they should be. Without, they are in every frame.
func TestLabNATChecksums(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while, for what the race detector cannot see")
	}
	var both sync.WaitGroup
	for name, off := range map[string]bool{"offloads on": false, "offloads off": true} {
		both.Go(func() { t.Run(name, func(t *testing.T) { checkNATSums(t, off) }) })
	}
	both.Wait()
}

func checkNATSums(t *testing.T, off bool) {
	b := newLabBox(t, bridgetest.InlineOption{Clients: 2, Veth: bridgetest.VethOption{OffloadsOff: off}}, "")
	for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		if err := b.top.Box.OffloadsOff(nic); err != nil {
			t.Fatal(err)
		}
	}
	b.configure(masquerade)
	b.start()
	stop := b.captureEnds()
	b.sendTranslated()
	for path, from := range stop() {
		if off {
			from = ""
		}
		b.judgeSums(path, from)
	}
	b.stop()
}

// captureEnds captures at every host until stop, which returns the files with the
// address from which frames come in there.
func (b *labBox) captureEnds() (stop func() map[string]string) {
	b.t.Helper()
	files := map[string]string{}
	var running []*bridgetest.Capture
	for _, ns := range append([]*bridgetest.Namespace{b.top.Server}, b.top.Clients...) {
		path := filepath.Join(b.top.Lab.Dir(), ns.String()+".pcap")
		c, err := ns.Capture(bridgetest.HostNIC, path)
		if err != nil {
			b.t.Fatal(err)
		}
		running = append(running, c)
		if files[path] = bridgetest.ServerAddr; ns == b.top.Server {
			files[path] = natAddr
		}
	}
	return func() map[string]string {
		for _, c := range running {
			if err := c.Stop(); err != nil {
				b.t.Fatal(err)
			}
		}
		return files
	}
}

// sendTranslated makes frames of all kinds be translated: control connections
// with IDs and ports that are taken, GRE of all sizes, ICMP errors.
func (b *labBox) sendTranslated() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for _, host := range b.top.Clients {
		lan, wan := b.peers(host, b.top.Server, bridgetest.ServerAddr)
		k := outCall(lan, wan, 7, 9)
		k.carry(0)
		k = inCall(lan, wan, 8, 10)
		k.carry(0)
		errors := b.listenErrors(host)
		wan.gre.Close()
		lan.sendGRE(k.pnsKnows, 1, "odd")
		if from, _, _ := errors.quoted(peerPatience); from != bridgetest.ServerAddr {
			b.t.Errorf("an error from %q", from)
		}
		wan.conn.Close()
		lan.conn.Close()
	}
	server, err := bridgetest.StartServer(b.top.Server, bridgetest.ServerOptions{Pings: natPings})
	if err != nil {
		b.t.Fatal(err)
	}
	callID := uint16(0x1234)
	clients := b.dialAll(b.top.Clients, bridgetest.ServerAddr, bridgetest.DialOptions{
		CallID: &callID, Pings: bridgetest.Pings{Count: natPings.Count, Sizes: []int{0, 1, 56, 1372}, Interval: natPings.Interval},
	})
	if n := b.carry(ctx, clients); n != len(clients) {
		b.t.Errorf("%d of %d calls carry pings both ways\nthe box said: %s", n, len(clients), b.said())
	}
	b.hangUpAll(ctx, server, clients)
}

// judgeSums lets tshark judge the checksums of IP, TCP and ICMP in a capture, of
// all frames or of those that came from a host. What GRE carries is judged, too.
func (b *labBox) judgeSums(path, from string) {
	b.t.Helper()
	args := []string{"tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-T", "fields",
		"-e", "frame.number", "-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "icmp.checksum.status"}
	if from != "" {
		args = append(args, "-Y", "ip.src == "+from)
	}
	const isBad, isGood = "0", "1"
	var bad []string
	tcp := 0
	for line := range strings.Lines(b.command(b.top.Box, 2*time.Minute, args...)) {
		number, sums, found := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch columns := strings.Split(sums, "\t"); {
		case !found: // what tshark says besides
		case strings.Contains(sums, isBad):
			bad = append(bad, number)
		case len(columns) == 3 && columns[1] == isGood:
			tcp++
		}
	}
	b.t.Logf("%s: %d TCP segments with good checksums, %d frames with bad ones", filepath.Base(path), tcp, len(bad))
	if len(bad) > 0 || tcp == 0 {
		b.t.Errorf("%s: frames %v of those from %q have bad checksums; %d TCP segments have good ones", filepath.Base(path), bad, from, tcp)
	}
}
