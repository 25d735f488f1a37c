package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track"
)

// wireLab is a running box with an injector and a capture on the host at
// either end.
type wireLab struct {
	*labBox
	hosts     [2]*bridgetest.Namespace
	injectors [2]*bridgetest.Injector
	captures  [2]*bridgetest.Capture
	paths     [2]string
	sent      [2][][]byte // by the host of that side
}

func startWire(t *testing.T, mtu int) *wireLab {
	t.Helper()
	l := newWire(t, mtu)
	l.start()
	l.watch()
	return l
}

// newWire prepares a box that does not run yet, and the injectors.
func newWire(t *testing.T, mtu int) *wireLab {
	t.Helper()
	l := &wireLab{labBox: newLabBox(t, bridgetest.InlineOption{Veth: bridgetest.VethOption{MTU: mtu}}, "")}
	l.hosts = [...]*bridgetest.Namespace{track.LAN: l.top.Client, track.WAN: l.top.Server}
	for side, ns := range l.hosts {
		var err error
		if l.injectors[side], err = ns.Injector(bridgetest.HostNIC); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.injectors[side].Close() })
	}
	return l
}

// watch starts the captures.
func (l *wireLab) watch() {
	l.t.Helper()
	for side, ns := range l.hosts {
		var err error
		l.paths[side] = filepath.Join(l.top.Lab.Dir(), ns.String()+".pcap")
		if l.captures[side], err = ns.Capture(bridgetest.HostNIC, l.paths[side]); err != nil {
			l.t.Fatal(err)
		}
	}
}

// send has the host of a side send a frame.
func (l *wireLab) send(side track.Side, frame []byte) error {
	l.sent[side] = append(l.sent[side], frame)
	return l.injectors[side].Send(frame)
}

// finish waits for every frame, stops captures and box, in this order, since the host may speak by itself when the box is gone, and
// compares: either host has sent what it sent and received what the other one sent, in that order, once, and nothing else.
func (l *wireLab) finish() {
	l.t.Helper()
	l.drain()
	l.checkNothingLost()
	var stats boxStats
	l.ask(&stats, "stats")
	for side, name := range sideNames {
		if got, want := stats.Ports[name].Sent, len(l.sent[track.Side(side).Other()]); got != uint64(want) {
			l.t.Errorf("the box has sent %d frames to the %s, want %d", got, name, want)
		}
		if err := l.captures[side].Stop(); err != nil {
			l.t.Fatal(err)
		}
		l.compare(track.Side(side))
	}
	l.stop()
}

// compare reads what the host of a side sent and received.
func (l *wireLab) compare(side track.Side) {
	l.t.Helper()
	rest := [...][][]byte{l.sent[side], l.sent[side.Other()]}
	names := [...]string{"its own", "the other's"}
	for number, got := range l.captured(l.paths[side]) {
		matched := false
		for i := range rest {
			if len(rest[i]) > 0 && bytes.Equal(rest[i][0], got) {
				rest[i], matched = rest[i][1:], true
				break
			}
		}
		if !matched {
			l.t.Fatalf("frame %d at the %s's host is neither the next of its own nor of the other's: % x", number+1, side, got[:min(len(got), 64)])
		}
	}
	for i, left := range rest {
		if len(left) > 0 {
			l.t.Errorf("at the %s's host %d frames of %s are missing, the first: % x", side, len(left), names[i], left[0][:min(len(left[0]), 64)])
		}
	}
}

func (l *wireLab) captured(path string) (frames [][]byte) {
	l.t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil || rec.Truncated {
			l.t.Fatalf("%s: %v, truncated: %v", path, err, rec.Truncated)
		}
		frames = append(frames, bytes.Clone(rec.Data))
	}
}

// shape is what a frame is like but for its number.
type shape struct {
	name     string
	to, from net.HardwareAddr
	headers  []uint16 // what stands between the addresses and the payload
	size     int      // of the whole frame; what is less than the headers has no payload
}

// frame returns the frame with a number, which its payload begins with and is
// made of. No octet of it is the protocol number of GRE.
func (s *shape) frame(number int) []byte {
	b := append(append([]byte{}, s.to...), s.from...)
	for _, h := range s.headers {
		b = binary.BigEndian.AppendUint16(b, h)
	}
	if payload := s.size - len(b); payload > 0 {
		b = append(b, bytes.Repeat([]byte{byte(number) | 0x80}, payload)...)
		copy(b[len(b)-payload:], binary.BigEndian.AppendUint32(nil, uint32(number)))
	}
	return b
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// linkLocal is an address that a bridge by IEEE 802.1Q keeps to itself
// (table 8-1), and a cable does not.
func linkLocal(last byte) net.HardwareAddr { return net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, last} }

// shapes are frames of all kinds that the host of a side sends.
func (l *wireLab) shapes(side track.Side, mtu int) (all []shape) {
	own := l.hosts[side].HardwareAddr(bridgetest.HostNIC)
	peer := l.hosts[side.Other()].HardwareAddr(bridgetest.HostNIC)
	lan, wan := l.top.Box.HardwareAddr(bridgetest.LANNIC), l.top.Box.HardwareAddr(bridgetest.WANNIC)
	add := func(name string, to, from net.HardwareAddr, size int, headers ...uint16) {
		all = append(all, shape{name, to, from, headers, size})
	}
	full := mtu + 14
	for _, size := range []int{14, 15, 33, 59, 60, 61, 64, 1000, full} {
		add("experimental", peer, own, size, 0x88b5)
	}
	for name, headers := range map[string][]uint16{
		"802.1Q": {0x8100, 100}, "802.1Q, PCP 7, DEI": {0x8100, 0xf064}, "priority tag": {0x8100, 0xe000}, "VID 0, priority 0": {0x8100, 0},
		"802.1ad": {0x88a8, 100}, "QinQ": {0x88a8, 100, 0x8100, 200}, "QinQ of 0x8100": {0x8100, 100, 0x8100, 200}, "0x9100": {0x9100, 100},
	} {
		headers = append(headers, 0x88b5)
		add(name, peer, own, 64, headers...)
		add(name+", full", peer, own, full, headers...)
	}
	add("802.1Q over the full size", peer, own, full+4, 0x8100, 100, 0x88b5)
	add("PPPoE discovery", broadcast, own, 60, 0x8863, 0x1109, 0, 4)
	add("PPPoE session", peer, own, 100, 0x8864, 0x1100, 7, 80, 0x0021)
	add("802.3 with LLC", linkLocal(0), own, 60, 38, 0x4242)
	for name, last := range map[string]byte{"STP": 0, "LACP": 2, "EAPOL": 3, "provider bridge": 8, "LLDP": 0x0e} {
		add(name, linkLocal(last), own, 60, 0x88b5)
	}
	for name, ether := range map[string]uint16{"LACP": 0x8809, "EAPOL": 0x888e, "LLDP": 0x88cc, "ARP": 0x0806, "IPv6": 0x86dd, "IPv4": 0x0800, "MPLS": 0x8847, "loopback": 0x9000} {
		add("type of "+name, broadcast, own, 90, ether)
	}
	add("multicast", net.HardwareAddr{0x01, 0x00, 0x5e, 0, 0, 5}, own, 90, 0x88b5)
	add("broadcast", broadcast, own, 90, 0x88b5)
	add("to the box's LAN NIC", lan, own, 90, 0x88b5)
	add("to the box's WAN NIC", wan, own, 90, 0x0800)
	add("from the box's LAN NIC", peer, lan, 90, 0x88b5)
	add("from the box's WAN NIC", peer, wan, 90, 0x88b5)
	add("to the sender", own, own, 90, 0x88b5)
	return all
}

// TestLabWireShapes: every kind of frame, of made-up content and of real, is
// bit-identical at the far side, either way, at the usual MTU and at a jumbo one.
func TestLabWireShapes(t *testing.T) {
	for name, mtu := range map[string]int{"1500": 1500, "9000": 9000} {
		t.Run(name, func(t *testing.T) {
			l := startWire(t, mtu)
			l.sendAll(mtu)
			l.finish()
		})
	}
}

// TestLabWirePastTheBox: what goes past the box, in the kernel, is as it was, too,
// in its order and once.
func TestLabWirePastTheBox(t *testing.T) {
	l := newWire(t, 1500)
	l.start()
	l.command(l.top.Box, patience, l.binary, "bypass", "on", "-config", l.config)
	l.watch()
	l.sendAll(1500)
	l.drain()
	for side := range l.hosts {
		if err := l.captures[side].Stop(); err != nil {
			t.Fatal(err)
		}
		l.compare(track.Side(side))
	}
	var stats boxStats
	l.ask(&stats, "stats")
	for side, name := range sideNames {
		if got := stats.Bypass.Sides[name].Redirected.Frames; got != uint64(len(l.sent[side])) {
			t.Errorf("%d frames from %s went past the box, want %d", got, name, len(l.sent[side]))
		}
	}
	l.command(l.top.Box, patience, l.binary, "bypass", "off", "-config", l.config)
	l.stop()
}

// sendAll has both hosts send frames of all kinds.
func (l *wireLab) sendAll(mtu int) {
	l.t.Helper()
	for side := range l.hosts {
		for i, s := range l.shapes(track.Side(side), mtu) {
			if err := l.send(track.Side(side), s.frame(i)); err != nil {
				l.t.Fatalf("%s: %v", s.name, err)
			}
		}
		for _, p := range l.packets(track.Side(side)) {
			if err := l.send(track.Side(side), p.frame(l.t)); err != nil {
				l.t.Fatalf("%s: %v", p.name, err)
			}
		}
	}
}

// TestLabWireOrder: frames of both directions at once, of all kinds and sizes,
// come in their order, once.
func TestLabWireOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l := startWire(t, 1500)
	const frames, window = 4000, 200
	for done := 0; done < frames; done += window { // no more than what the captures have room for
		var group errgroup.Group
		for side := range l.hosts {
			group.Go(func() error { return l.burst(track.Side(side), done, window, seed) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		l.drain()
	}
	l.finish()
}

// drain waits until both captures have all that was sent.
func (l *wireLab) drain() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range l.captures {
		if err := c.Wait(ctx, len(l.sent[track.LAN])+len(l.sent[track.WAN])); err != nil {
			l.t.Fatalf("%v\n%s", err, l.process.Output())
		}
	}
}

// burst has the host of a side send frames of random shapes.
func (l *wireLab) burst(side track.Side, first, n int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, uint64(first)<<1|uint64(side)))
	shapes := l.shapes(side, 1500)
	for i := range n {
		if err := l.send(side, shapes[random.IntN(len(shapes))].frame(first+i)); err != nil {
			return err
		}
	}
	return nil
}
