package bridgetest_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/grewire/grewire/bridge/bridgetest"
)

const testWait = 30 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	t.Cleanup(cancel)
	return ctx
}

// bridged is the standard topology with a plain Linux bridge as the box.
func bridged(t *testing.T, o bridgetest.InlineOption) *bridgetest.Topology {
	t.Helper()
	top, err := bridgetest.Inline(bridgetest.New(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.BridgeBox(); err != nil {
		t.Fatal(err)
	}
	return top
}

func startServer(t *testing.T, top *bridgetest.Topology, o bridgetest.ServerOptions) *bridgetest.Server {
	t.Helper()
	server, err := bridgetest.StartServer(top.Server, o)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestCallAcrossBridge(t *testing.T) {
	const pings, callID = 6, 0x1234
	top := bridged(t, bridgetest.InlineOption{Veth: bridgetest.VethOption{OffloadsOff: true}})
	server := startServer(t, top, bridgetest.ServerOptions{Pings: bridgetest.Pings{Count: pings, Interval: 10 * time.Millisecond}})
	path := filepath.Join(t.TempDir(), "call.pcap")
	capture, err := top.Box.Capture("br0", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	client, err := bridgetest.Dial(top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{
		Pings:  bridgetest.Pings{Count: pings, Sizes: []int{0, 56, 1372}, Interval: 10 * time.Millisecond},
		CallID: new(uint16(callID)), EchoInterval: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if up, err := client.Ready(ctx); err != nil || up.Local == up.Peer || up.Local == "0.0.0.0" {
		t.Fatalf("Ready = %+v, %v", up, err)
	}
	if pinged, err := client.Pinged(ctx); err != nil || pinged.Sent != pings || pinged.Answered != pings {
		t.Errorf("Pinged = %+v, %v; want %d sent and answered", pinged, err, pings)
	}
	for range 2 {
		if asked, err := client.Ask(ctx); err != nil || asked.Answered != pings {
			t.Errorf("Ask = %+v, %v; want %d answered", asked, err, pings)
		}
	}
	// The server's own pings cross too.
	if reports, err := server.WaitReports(ctx, "pinged", 1); err != nil || reports[0].Answered != pings {
		t.Errorf("the server's end reports %+v, %v; want %d answered", reports, err, pings)
	}
	end, err := client.Hangup(ctx)
	if err != nil || end.BadFrames != 0 || end.Answered != pings {
		t.Errorf("Hangup = %+v, %v", end, err)
	}
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	checkCapture(t, path, callID)
}

// checkCapture checks the call ID of the Outgoing-Call-Request and of the
// server's GRE, and that GRE went both ways.
func checkCapture(t *testing.T, path string, callID uint16) {
	t.Helper()
	requested, toClient, toServer := false, 0, 0
	for _, packet := range readCapture(t, path) {
		ip, _ := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if ip == nil {
			continue
		}
		switch payload := ip.LayerPayload(); {
		case ip.Protocol == layers.IPProtocolTCP:
			tcp := packet.Layer(layers.LayerTypeTCP).LayerPayload()
			// Outgoing-Call-Request: type 7 at octet 8, Call ID at octet 12 (RFC 2637, section 2.7).
			if len(tcp) == 168 && tcp[9] == 7 && binary.BigEndian.Uint16(tcp[12:]) == callID {
				requested = true
			}
		case ip.Protocol == layers.IPProtocolGRE && ip.DstIP.String() == bridgetest.ServerAddr:
			toServer++
		case ip.Protocol == layers.IPProtocolGRE:
			toClient++
			if got := binary.BigEndian.Uint16(payload[6:]); got != callID {
				t.Errorf("GRE to the client has call ID %#x, want %#x", got, callID)
			}
		}
	}
	if !requested || toServer == 0 || toClient == 0 {
		t.Errorf("captured Outgoing-Call-Request %v, GRE packets to the server %d, to the client %d", requested, toServer, toClient)
	}
}

func readCapture(t *testing.T, path string) []gopacket.Packet {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var packets []gopacket.Packet
	for packet := range gopacket.NewPacketSource(reader, reader.LinkType()).Packets() {
		packets = append(packets, packet)
	}
	return packets
}

func TestSeveralClients(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{Clients: 3})
	server := startServer(t, top, bridgetest.ServerOptions{})
	ctx := testContext(t)
	var clients []*bridgetest.Client
	for _, ns := range append(top.Clients, top.Client) { // two calls from the first
		client, err := bridgetest.Dial(ns, bridgetest.ServerAddr, bridgetest.DialOptions{Pings: bridgetest.Pings{Count: 2}})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	addresses := make(map[string]bool)
	for _, client := range clients {
		pinged, err := client.Pinged(ctx)
		if err != nil || pinged.Answered != 2 {
			t.Fatalf("Pinged = %+v, %v", pinged, err)
		}
		addresses[pinged.Local] = true
	}
	if len(addresses) != len(clients) {
		t.Errorf("clients share tunnel addresses: %v", addresses)
	}
	if err := server.HangUp(); err != nil {
		t.Fatal(err)
	}
	for _, client := range clients {
		if end, err := client.Wait(ctx); err != nil {
			t.Errorf("after the server's hangup: %+v, %v", end, err)
		}
	}
}

func TestDialNobody(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{})
	client, err := bridgetest.Dial(top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if up, err := client.Ready(testContext(t)); err == nil {
		t.Errorf("Ready without a server = %+v, want an error", up)
	} else {
		t.Log(err)
	}
}

// TestCallsOnOneConnection asks for three more calls on a client's control
// connection at once, so that two requests are in one segment. pptpd keeps the
// last call of a connection.
func TestCallsOnOneConnection(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{Veth: bridgetest.VethOption{OffloadsOff: true}})
	server := startServer(t, top, bridgetest.ServerOptions{})
	path := filepath.Join(t.TempDir(), "calls.pcap")
	capture, err := top.Box.Capture("br0", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	first, err := bridgetest.Dial(top.Client, bridgetest.ServerAddr, bridgetest.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	calls, err := bridgetest.DialAtOnce(ctx, first, server, bridgetest.ServerAddr, bridgetest.DialOptions{
		Pings: bridgetest.Pings{Count: 3}, Timeout: 2 * time.Second,
	}, 3)
	if err != nil {
		t.Fatal(err)
	}
	alive := 0
	for _, c := range calls {
		if pinged, err := c.Pinged(ctx); err == nil && pinged.Answered == 3 {
			alive++
		}
	}
	if alive != 1 {
		t.Errorf("%d calls carry pings, want the last one only", alive)
	}
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	const request = 168 // octets of an Outgoing-Call-Request (RFC 2637, section 2.7)
	longest := 0
	for _, packet := range readCapture(t, path) {
		if tcp := packet.Layer(layers.LayerTypeTCP); tcp != nil {
			longest = max(longest, len(tcp.LayerPayload()))
		}
	}
	if longest < 2*request {
		t.Errorf("the longest segment has %d octets, want two requests in one", longest)
	}
}

// TestSeveralServers makes sure that each of several servers is reached from
// each of several clients.
func TestSeveralServers(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{Clients: 2, Servers: 2})
	for _, client := range top.Clients {
		for i := range top.Servers {
			if _, err := client.Run(testContext(t), "ping", "-c", "1", bridgetest.ServerAddrAt(i)); err != nil {
				t.Error(err)
			}
		}
	}
}
