package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"
)

var testStart = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// pair is two sessions joined by two buffers.
type pair struct {
	client, server     *session
	toServer, toClient bytes.Buffer
	fromC, fromS       deframer
}

func newPair() *pair {
	p := &pair{}
	p.client, p.server = newSession(&p.toServer, 1), newSession(&p.toClient, 2)
	p.server.local, p.server.assign = netip.MustParseAddr("192.168.99.1"), netip.MustParseAddr("192.168.99.10")
	return p
}

// exchange carries octets until both sides are silent.
func (p *pair) exchange() {
	for p.toServer.Len()+p.toClient.Len() > 0 {
		p.fromC.feed(p.toServer.Next(p.toServer.Len()), p.server.receive)
		p.fromS.feed(p.toClient.Next(p.toClient.Len()), p.client.receive)
	}
}

// bringUp lets time pass until both sides are up.
func (p *pair) bringUp(t *testing.T) {
	t.Helper()
	for now := testStart; !p.client.up() || !p.server.up(); now = now.Add(restartTimer) {
		if now.Sub(testStart) > 10*restartTimer {
			t.Fatalf("not up: client %+v, server %+v", p.client, p.server)
		}
		p.client.tick(now)
		p.server.tick(now)
		p.exchange()
	}
}

func TestSessionComesUp(t *testing.T) {
	p := newPair()
	p.bringUp(t)
	if p.client.local != p.server.assign || p.client.remote != p.server.local || p.server.remote != p.client.local {
		t.Errorf("addresses: client %v to %v, server %v to %v", p.client.local, p.client.remote, p.server.local, p.server.remote)
	}
}

func TestSessionRepeatsRequests(t *testing.T) {
	p := newPair()
	p.client.tick(testStart)
	first := p.toServer.Len()
	p.client.tick(testStart.Add(restartTimer / 2))
	if p.toServer.Len() != first {
		t.Error("asked again too early")
	}
	p.toServer.Reset() // lost
	p.client.tick(testStart.Add(restartTimer))
	if p.toServer.Len() == 0 {
		t.Error("did not ask again")
	}
	p.bringUp(t)
}

func TestPings(t *testing.T) {
	p := newPair()
	p.bringUp(t)
	for seq := range uint16(3) {
		p.client.ping(seq, int(seq)*100)
	}
	p.server.ping(0, maxPing)
	p.exchange()
	if p.client.replyCount != 3 || p.server.requests != 3 || p.server.replyCount != 1 || p.client.requests != 1 {
		t.Errorf("client: %d replies, %d requests; server: %d replies, %d requests",
			p.client.replyCount, p.client.requests, p.server.replyCount, p.server.requests)
	}
	p.client.echo()
	p.exchange()
	if p.client.lcpEchoes != 1 {
		t.Errorf("%d LCP echoes, want 1", p.client.lcpEchoes)
	}
}

// answer returns the first frame by which a session answers one.
func answer(t *testing.T, s *session, frame []byte) (answer []byte) {
	t.Helper()
	var out bytes.Buffer
	s.w = &out
	s.receive(frame)
	for _, frame := range deframe(new(deframer), out.Bytes()) {
		return frame
	}
	return nil
}

func TestAnswers(t *testing.T) {
	lcp := func(octets ...byte) []byte { return append([]byte{0xff, 0x03, 0xc0, 0x21}, octets...) }
	ipcp := func(octets ...byte) []byte { return append([]byte{0xff, 0x03, 0x80, 0x21}, octets...) }
	magic := []byte{0, 0, 0, 9}
	for _, row := range []struct {
		name     string
		in, want []byte
	}{
		{"request", lcp(confRequest, 5, 0, 8, 1, 4, 5, 0x78), lcp(confAck, 5, 0, 8, 1, 4, 5, 0x78)},
		{"compressed address", []byte{0xc0, 0x21, confRequest, 5, 0, 4}, lcp(confAck, 5, 0, 4)},
		{"unknown option", lcp(confRequest, 5, 0, 9, 3, 5, 0xc2, 0x23, 5), lcp(confReject, 5, 0, 9, 3, 5, 0xc2, 0x23, 5)},
		{"compression", ipcp(confRequest, 5, 0, 10, 2, 6, 0, 0x2d, 15, 0), ipcp(confReject, 5, 0, 10, 2, 6, 0, 0x2d, 15, 0)},
		{"address", ipcp(confRequest, 5, 0, 10, 3, 6, 10, 0, 0, 1), ipcp(confAck, 5, 0, 10, 3, 6, 10, 0, 0, 1)},
		{"echo", lcp(append([]byte{echoRequest, 6, 0, 8}, magic...)...), lcp(append([]byte{echoReply, 6, 0, 8}, magic...)...)},
		{"terminate", lcp(terminateRequest, 7, 0, 4), lcp(terminateAck, 7, 0, 4)},
		{"unknown code", lcp(77, 8, 0, 4), lcp(codeReject, 1, 0, 8, 77, 8, 0, 4)},
		{"unknown protocol", []byte{0x80, 0xfd, 1, 1, 0, 4}, lcp(protocolReject, 1, 0, 10, 0x80, 0xfd, 1, 1, 0, 4)},
		{"length beyond the frame", lcp(confRequest, 5, 0, 9, 1, 4, 5, 0x78), nil},
		{"option beyond the list", lcp(confRequest, 5, 0, 8, 1, 5, 5, 0x78), nil},
		{"empty option", lcp(confRequest, 5, 0, 6, 1, 0), nil},
		{"short nak", ipcp(confNak, 0, 0, 4), nil},
		{"nothing", nil, nil},
		{"half a protocol", []byte{0xff, 0x03, 0x80}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := answer(t, newSession(io.Discard, 9), row.in); !bytes.Equal(got, row.want) {
				t.Errorf("answer to % x is\n% x, want\n% x", row.in, got, row.want)
			}
		})
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteError(t *testing.T) {
	s := newSession(failingWriter{}, 1)
	s.tick(testStart)
	if !errors.Is(s.err, io.ErrClosedPipe) {
		t.Errorf("err = %v", s.err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint32(nil, 0xff03c021))
	f.Add([]byte{0x80, 0x21, confNak, 0, 0, 10, 3, 6, 10, 0, 0, 1})
	f.Add(append([]byte{0xff, 0x03, 0x00, 0x21}, testRequest.packet()...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p := newPair()
		p.bringUp(t)
		p.client.receive(frame) // whatever it says, no panic
	})
}
