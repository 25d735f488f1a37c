package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

const eventLines = `{"time":"2024-01-01T10:20:30.5Z","event":"control-open","zone":"","control":{"lan_addr":"10.77.0.11","lan_port":40000,"wan_addr":"10.77.0.2","wan_port":1723}}
{"time":"2024-01-01T10:20:30.6Z","event":"call-connected","call":{"id":1,"zone":"","state":"connected","kind":"outgoing","pns":{"addr":"10.77.0.11","side":"lan","call_id":7},"pac":{"addr":"10.77.0.2","side":"wan","call_id":0}}}
{"time":"2024-01-01T10:20:30.7Z","event":"frame-dropped","frame":{"side":"lan","zone":"","reason":"not-negotiated","src":"10.77.0.11","dst":"10.77.0.2","protocol":47,"call_id":9,"length":52}}
{"time":"2024-01-01T10:20:30.8Z","event":"control-close","cause":"fin"}
`

var eventTexts = []string{
	"10:20:30.500  control-open    10.77.0.11:40000 (lan) with 10.77.0.2:1723 (wan)",
	"10:20:30.600  call-connected  call 1: PNS 10.77.0.11, call ID 7; PAC 10.77.0.2, call ID 0",
	"10:20:30.700  frame-dropped   not-negotiated: from 10.77.0.11 on lan to 10.77.0.2, 52 octets, call ID 9",
	"10:20:30.800  control-close   cause fin",
}

func TestFollower(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f := &follower{more: make(chan struct{})}
	for chunk := range strings.SplitAfterSeq(eventLines, "e") { // lines in pieces
		if _, err := f.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range eventTexts {
		e, err := f.next(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.String(); got != want {
			t.Errorf("event %d:\n%s, want\n%s", i, got, want)
		}
	}
	if e, _ := f.next(ctx, 2); e.key() != dropped+"not-negotiated" {
		t.Errorf("key %q", e.key())
	}
	if _, err := f.Write([]byte("no event\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.next(ctx, len(eventTexts)); err == nil {
		t.Error("a line that is no event was taken")
	}
}

func TestAddUp(t *testing.T) {
	good := stats{Frames: 10, Forwarded: 6, Rewritten: 1, Dropped: 3, Reasons: map[string]uint64{"call": 7, "not-negotiated": 3}}
	if err := good.addUp(); err != nil {
		t.Error(err)
	}
	verdicts, reasons := good, good
	verdicts.Dropped = 2
	reasons.Reasons = map[string]uint64{"call": 10, "not-negotiated": 1}
	for _, bad := range []stats{{}, verdicts, reasons} {
		if bad.addUp() == nil {
			t.Errorf("%+v adds up", bad)
		}
	}
}

func TestForgeries(t *testing.T) {
	d := &demo{call: call{PAC: party{CallID: 0x5a5a}}}
	for _, f := range d.forgeries() {
		if version := f.packet[1] & 7; (f.reason == "gre-v0-denied") != (version == 0) {
			t.Errorf("%s has version %d", f.what, version)
		}
	}
}
