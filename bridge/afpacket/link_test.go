package afpacket

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// expectDown waits until Receive says that the link is down.
func expectDown(t *testing.T, p *Port) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := p.Receive(time.Millisecond); errors.Is(err, bridge.ErrPortDown) {
			return
		} else {
			check(t, err)
		}
	}
	t.Fatalf("%s: no ErrPortDown within %v", p.Name(), patience)
}

func TestLinkDownAndUp(t *testing.T) { onBackends(t, testLinkDownAndUp) }

func testLinkDownAndUp(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	s0 := l.server.tap(t, "s0")
	for round := range 3 {
		check(t, l.box.nl.LinkSetDown(l.box.link(t, "wan")))
		if round == 0 {
			expectDown(t, l.wan) // the receiver gets the socket's error; later the sender may
		}
		frames := []*track.Frame{{Data: frame(60, unicast, testEtherType)}, {Data: frame(61, unicast, testEtherType)}}
		if err := l.wan.Send(frames); !errors.Is(err, bridge.ErrPortDown) {
			t.Fatalf("send: got %v, want %v", err, bridge.ErrPortDown)
		}
		for _, f := range frames {
			if f.Verdict != track.Drop || f.Reason != track.ReasonEgressDown {
				t.Errorf("got %v %v, want %v", f.Verdict, f.Reason, track.ReasonEgressDown)
			}
		}
		expectDown(t, l.wan)

		start := time.Now()
		if _, err := l.wan.Receive(50 * time.Millisecond); !errors.Is(err, bridge.ErrPortDown) || time.Since(start) < 50*time.Millisecond {
			t.Errorf("got %v after %v, want %v after the whole wait", err, time.Since(start), bridge.ErrPortDown)
		}

		check(t, l.box.nl.LinkSetUp(l.box.link(t, "wan")))
		l.box.ready(t, "wan")
		l.server.ready(t, "s0")
		want := frame(60, unicast, testEtherType, uint16(round))
		s0.send(want)
		if got := receive(t, l.wan)[0].Data; !bytes.Equal(got, want) {
			t.Fatalf("got % x, want % x", got, want)
		}
		check(t, l.wan.Send([]*track.Frame{{Data: want}}))
		if got := s0.recv(patience); !bytes.Equal(got, want) {
			t.Fatalf("got % x, want % x", got, want)
		}
	}
}

// The socket keeps the error of a link that went down; when the link is back
// before anyone looked, the next frame must not pay for it.
func TestSendAfterFlap(t *testing.T) { onBackends(t, testSendAfterFlap) }

func testSendAfterFlap(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	s0 := l.server.tap(t, "s0")
	check(t, l.box.nl.LinkSetDown(l.box.link(t, "wan")))
	check(t, l.box.nl.LinkSetUp(l.box.link(t, "wan")))
	l.box.ready(t, "wan")
	l.server.ready(t, "s0")
	f := &track.Frame{Data: frame(60, unicast, testEtherType)}
	check(t, l.wan.Send([]*track.Frame{f}))
	if f.Verdict == track.Drop {
		t.Fatalf("dropped: %v", f.Reason)
	}
	if got := s0.recv(patience); !bytes.Equal(got, f.Data) {
		t.Errorf("got % x, want % x", got, f.Data)
	}
	if frames, err := l.wan.Receive(0); err != nil || len(frames) != 0 {
		t.Errorf("receive: got %d frames, %v", len(frames), err)
	}
}

func TestOpenWhileDown(t *testing.T) { onBackends(t, testOpenWhileDown) }

func testOpenWhileDown(t *testing.T, on Backend) {
	t.Parallel()
	ns, peer := newNamespace(t), newNamespace(t)
	veth(t, ns, "nic", peer, "peer", 1500)
	check(t, ns.nl.LinkSetDown(ns.link(t, "nic")))
	p := ns.open(t, "nic", Options{Backend: on})
	expectDown(t, p)
	check(t, ns.nl.LinkSetUp(ns.link(t, "nic")))
	ns.ready(t, "nic")
	peer.ready(t, "peer")
	want := frame(60, unicast, testEtherType)
	peer.tap(t, "peer").send(want)
	if got := receive(t, p)[0].Data; !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestNICRemoved(t *testing.T) { onBackends(t, testNICRemoved) }

func testNICRemoved(t *testing.T, on Backend) {
	t.Parallel()
	l := newInline(t, 1500, Options{Backend: on})
	check(t, l.box.nl.LinkDel(l.box.link(t, "wan")))
	var err error
	for deadline := time.Now().Add(patience); err == nil || errors.Is(err, bridge.ErrPortDown); {
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want a final error", err)
		}
		_, err = l.wan.Receive(time.Millisecond)
	}
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, want %v", err, unix.ENODEV)
	}
	f := &track.Frame{Data: frame(60, unicast, testEtherType)}
	if err := l.wan.Send([]*track.Frame{f}); !errors.Is(err, bridge.ErrPortDown) || f.Reason != track.ReasonEgressDown {
		t.Errorf("send: got %v, %v", err, f.Reason)
	}
}
