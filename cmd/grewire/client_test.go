package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/status"
	"github.com/grewire/grewire/track"
)

// boxOf is a box that says what a test wants it to.
type boxOf struct {
	calls        []track.Call
	expectations []track.Expectation
	stats        any
	events       []track.Event
}

func (b *boxOf) Calls() []track.Call               { return b.calls }
func (b *boxOf) Expectations() []track.Expectation { return b.expectations }
func (b *boxOf) Stats() any                        { return b.stats }
func (b *boxOf) Subscribe() (status.Next, func()) {
	left := b.events
	next := func(context.Context) (e track.Event, err error) {
		if len(left) == 0 {
			return e, io.EOF
		}
		e, left = left[0], left[1:]
		return e, nil
	}
	return next, func() {}
}

// answering makes a box answer until the test ends, and returns its socket.
func answering(t *testing.T, source status.Source) string {
	t.Helper()
	return serving(t, status.Options{Source: source, Version: buildVersion()})
}

// serving makes a control socket answer until the test ends, and returns its
// path.
func serving(t *testing.T, o status.Options) string {
	t.Helper()
	o.Socket, o.Log = filepath.Join(t.TempDir(), "s.sock"), slog.New(slog.DiscardHandler)
	server, err := status.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return o.Socket
}

var (
	moment = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	lanIP  = netip.MustParseAddr("10.0.0.11")
	wanIP  = netip.MustParseAddr("2001:db8::2")

	oneCall = track.Call{
		ID: 7, State: track.CallActive, Kind: track.Incoming,
		PNS: track.Party{Addr: lanIP, Side: track.LAN, CallID: 4660}, PAC: track.Party{Addr: wanIP, Side: track.WAN, CallID: 0},
		Started: moment, LastSeen: moment.Add(90 * time.Minute), LANToWAN: track.Traffic{Packets: 12, Bytes: 9999}, WANToLAN: track.Traffic{Packets: 1, Bytes: 12_345_678_901},
		Lost: 3, Reordered: 2, Control: track.Control{LANAddr: lanIP, LANPort: 4000, WANAddr: wanIP, WANPort: 1723},
	}
	taggedCall = track.Call{ID: 8, Zone: 100 << 48, State: track.CallClearing, Kind: track.Outgoing, PNS: oneCall.PAC, PAC: oneCall.PNS, Started: moment, LastSeen: moment.Add(1500 * time.Millisecond), Control: oneCall.Control}

	busyBox = &boxOf{
		calls: []track.Call{oneCall, taggedCall},
		expectations: []track.Expectation{
			{Call: 8, Zone: 100 << 48, Side: track.WAN, Src: wanIP, Dst: lanIP, CallID: 65535, Expires: moment},
		},
		stats: boxStats{
			Stats: bridge.Stats{
				Totals: bridge.Totals{Frames: 5, Forwarded: 3, Rewritten: 1, Dropped: 1, Octets: 500, Reasons: map[string]uint64{"call": 4, "pause": 1}},
				Sides: map[string]bridge.Totals{
					"lan": {Frames: 3, Forwarded: 3, Octets: 300, Reasons: map[string]uint64{"call": 3}},
					"wan": {Frames: 2, Rewritten: 1, Dropped: 1, Octets: 200, Reasons: map[string]uint64{"call": 1, "pause": 1}},
				},
				Anomalies: map[string]uint64{"gre-header": 2},
				Limits:    map[string]track.Use{"calls": {Used: 2, Limit: 65536}, "connections": {Used: 1, Limit: 16384}},
			},
			EventsMissed: 6,
			Ports:        map[string]portStats{"lan": {NIC: "eth0", MTU: 1500, Backend: "ring", Received: 3, Copied: 1, Sent: 1}, "wan": {NIC: "eth1", MTU: 1500, Backend: "mmsg", Received: 2, Sent: 3, KernelDrops: 9}},
		},
		events: allEvents(),
	}
)

func allEvents() []track.Event {
	now, id := track.Time(moment.UnixNano()), uint16(77)
	ended := oneCall
	ended.State = track.CallEnded
	control := func(kind track.EventKind, cause string) track.Event {
		return track.Event{Time: now, Kind: kind, Cause: cause, Control: oneCall.Control, Zone: 100 << 48}
	}
	return []track.Event{
		control(track.EventControlOpen, ""),
		{Time: now, Kind: track.EventCallRequested, Call: &taggedCall},
		{Time: now, Kind: track.EventCallRefused, Call: &taggedCall, Result: 4, CauseCode: 17},
		{Time: now.Add(time.Hour), Kind: track.EventCallEnded, Cause: "stop", Call: &ended},
		control(track.EventControlDesync, ""),
		control(track.EventControlSilent, ""),
		control(track.EventControlClose, "fin"),
		{Time: now, Kind: track.EventFrameDropped, Frame: &track.DroppedFrame{Side: track.WAN, Reason: track.ReasonGREVersion, Src: wanIP, Dst: lanIP, Protocol: 47, CallID: &id, Length: 60, Suppressed: 4}},
		{Time: now, Kind: track.EventFrameDropped, Frame: &track.DroppedFrame{Side: track.LAN, Zone: 100 << 48, Reason: track.ReasonPause, Length: 60}},
		{Time: now, Kind: track.EventLimitReached, Cause: "calls"},
		{Time: now, Kind: track.EventLinkDown, Cause: "eth0"},
		{Time: now, Kind: track.EventReloaded, Detail: []string{`policy.pptp: "allow", now "deny"`, "limits.calls: 5, now 6"}},
	}
}

func TestClientGolden(t *testing.T) {
	busy, idle := answering(t, busyBox), answering(t, &boxOf{stats: boxStats{}})
	tests := []struct {
		golden, socket, args string
		code                 int
	}{
		{"calls.text.golden", busy, "calls", 0},
		{"calls.json.golden", busy, "calls -json", 0},
		{"calls.none.golden", idle, "calls", 0},
		{"expectations.text.golden", busy, "expectations", 0},
		{"expectations.none.golden", idle, "expectations --json", 0},
		{"stats.text.golden", busy, "stats", 0},
		{"stats.json.golden", busy, "stats -json", 0},
		{"events.text.golden", busy, "events", 1}, // the stream ends
		{"events.json.golden", busy, "events -json", 1},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			got := grewire(t, append(strings.Fields(test.args), "-socket", test.socket)...)
			if got.code != test.code || (got.errors == "") != (test.code == 0) {
				t.Errorf("exit code %d, want %d: %s", got.code, test.code, got.errors)
			}
			golden(t, test.golden, got.out)
		})
	}
}

// TestClientJSON: -json is what the box says, in the form of its own types.
func TestClientJSON(t *testing.T) {
	got := grewire(t, "calls", "-json", "-socket", answering(t, busyBox))
	want, err := json.Marshal(busyBox.calls)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want)+"\n", got.out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClientConfig(t *testing.T) {
	socket := answering(t, busyBox)
	conf := write(t, "grewire.toml", fmt.Sprintf("[status]\nsocket = %q\n", socket))
	if got := grewire(t, "calls", "-config", conf); got.code != exitOK || !strings.Contains(got.out, "#4660") {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	bad := write(t, "bad.toml", "[status]\nsocket = 1\n")
	if got := grewire(t, "calls", "-config", bad); got.code != exitUsage || !strings.Contains(got.errors, bad+":2: status.socket: ") {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
}

// TestEventsInterrupted: an interrupt ends the command in good order.
func TestEventsInterrupted(t *testing.T) {
	hub := new(bridge.Hub)
	socket := answering(t, &hubBox{Hub: hub})
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	p := &program{in: strings.NewReader(""), out: writer, err: io.Discard}
	code := make(chan int, 1)
	go func() { code <- p.main(ctx, []string{"events", "-socket", socket}) }()
	published := make(chan struct{})
	go func() { // until one arrives: the subscription takes its time
		defer close(published)
		for ctx.Err() == nil {
			hub.Publish(track.Event{Kind: track.EventLinkUp, Cause: "eth0"})
		}
	}()
	if _, err := reader.Read(make([]byte, 100)); err != nil {
		t.Error(err)
	}
	cancel()
	reader.Close()
	<-published
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

type hubBox struct {
	boxOf
	*bridge.Hub
}

func (h *hubBox) Subscribe() (status.Next, func()) { return h.Hub.Subscribe() }

// TestHostileBox: what a box says reaches no terminal as a control sequence.
func TestHostileBox(t *testing.T) {
	const escape = "\x1b[2J\u009b31m"
	calls := fmt.Sprintf(`[{"id":1,"kind":%q,"zone":"100"}]`, escape)
	calls = strings.ReplaceAll(calls, `\x1b`, `\u001b`)
	var out strings.Builder
	if err := table(printCalls, "")(&out, []byte(calls)); err != nil {
		t.Fatal(err)
	}
	out.WriteString(eventLine([]byte(`{"event":"\u001b[2J","cause":"\u009b31m","frame":{"reason":"\u001b","zone":"\u001b"}}`)))
	out.WriteString(eventLine([]byte(escape)))
	if err := printStats(&out, []byte(`{"reasons":{"\u001b[2J":1},"ports":{"\u001b":{"nic":"\u001b"}},"limits":{"\u001b":{}},"anomalies":{"\u001b":1}}`)); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b") {
		t.Errorf("%q", out.String())
	}
}
