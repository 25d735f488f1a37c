package main

import (
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestParseAddresses(t *testing.T) {
	// What pptpd 1.4.0 gives to its pppd.
	args := []string{"local", "file", "/etc/ppp/pptpd-options", "115200", "192.168.99.1:192.168.99.10", "ipparam", "10.77.0.11"}
	local, remote, err := parseAddresses(args)
	if err != nil || local != netip.MustParseAddr("192.168.99.1") || remote != netip.MustParseAddr("192.168.99.10") {
		t.Errorf("parseAddresses = %v, %v, %v", local, remote, err)
	}
	if _, _, err := parseAddresses([]string{"local", "a:b", "1.2.3.4:"}); err == nil {
		t.Error("no addresses and no error")
	}
}

func TestParseSizes(t *testing.T) {
	if sizes, err := parseSizes("0,56,1372"); err != nil || !slices.Equal(sizes, []int{0, 56, 1372}) {
		t.Errorf("parseSizes = %v, %v", sizes, err)
	}
	for _, list := range []string{"", "1,", "-1", "1373", "x"} {
		if sizes, err := parseSizes(list); err == nil {
			t.Errorf("parseSizes(%q) = %v, want an error", list, sizes)
		}
	}
}

// TestLine runs PPP over a real pseudo-terminal.
func TestLine(t *testing.T) {
	master, slave, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	const pings = 3
	server := &line{session: newSession(slave, 2), report: func(report) {}}
	server.session.local, server.session.assign = netip.MustParseAddr("192.168.99.1"), netip.MustParseAddr("192.168.99.10")
	ended := make(chan struct{})
	go func() {
		server.run(readChunks(slave), nil)
		close(ended)
	}()
	stop, asked := make(chan struct{}), make(chan os.Signal, 1)
	var reports []report
	client := &line{session: newSession(deadlineWriter{master}, 1), plan: pingPlan{count: pings, sizes: []int{0, maxPing}, interval: time.Millisecond}, asked: asked}
	client.report = func(r report) {
		reports = append(reports, r)
		switch r.Event {
		case "pinged":
			asked <- syscall.SIGUSR1
		case "asked":
			close(stop)
		}
	}
	client.run(readChunks(master), stop)
	_ = master.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the line did not end with its terminal")
	}
	if len(reports) != 3 || reports[0].Event != "up" || reports[1].Answered != pings || reports[1].Peer != "192.168.99.1" || reports[2].Answered != pings {
		t.Errorf("reports %+v", reports)
	}
}

func TestRawNeedsTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := setRaw(int(r.Fd())); err == nil {
		t.Error("a pipe was made a raw terminal")
	}
}

// TestPingsAgain: a peer that asks again has missed the answer to its request, and
// with it the pings that came behind.
func TestPingsAgain(t *testing.T) {
	p := newPair()
	p.bringUp(t)
	p.client.ipcp.agreed = false
	const pings = 3
	server := &line{session: p.server, plan: pingPlan{count: pings, sizes: []int{0}}, report: func(report) {}}
	advance := func(now time.Time) {
		for range pings + 1 {
			server.advance(now)
		}
		p.exchange()
	}
	advance(testStart)
	if p.client.requests != 0 {
		t.Fatalf("%d pings are answered by a client that is not up", p.client.requests)
	}
	later := testStart.Add(time.Hour)
	p.client.tick(later)
	p.exchange()
	advance(later)
	if p.client.requests != pings || p.server.replyCount != pings {
		t.Errorf("%d pings arrive and %d are answered, want %d", p.client.requests, p.server.replyCount, pings)
	}
}
