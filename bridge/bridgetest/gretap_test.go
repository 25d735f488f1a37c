package bridgetest_test

import (
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

func TestTapGRE(t *testing.T) {
	top := bridged(t, bridgetest.InlineOption{})
	var taps []*bridgetest.GRETap
	for _, ns := range []*bridgetest.Namespace{top.Client, top.Server} {
		tap, err := ns.TapGRE(bridgetest.HostNIC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
		})
		taps = append(taps, tap)
	}
	if _, err := top.Client.Run(testContext(t), "ping", "-q", "-c", "1", bridgetest.ServerAddr); err != nil { // no GRE
		t.Fatal(err)
	}
	call, plain := []byte{0x30, 1, 0x88, 0x0b, 0, 0, 0x12, 0x34, 0, 0, 0, 1}, []byte{0, 0, 8, 0, 1, 2, 3, 4}
	large := append(call, make([]byte, 4000)...) // in fragments
	sendGRE(t, top.Client, call, plain, call, plain, call, large)
	flow := bridgetest.GREFlow{Src: netip.MustParseAddr(bridgetest.ClientAddr(0)), Dst: netip.MustParseAddr(bridgetest.ServerAddr)}
	for i, tap := range taps {
		flow.Sent = i == 0
		v1 := flow
		v1.Version, v1.CallID = 1, 0x1234
		waitFlows(t, tap, map[bridgetest.GREFlow]uint64{flow: 2, v1: 4})
	}
	if dropped, err := top.Lab.Dropped(); err != nil || dropped != 0 {
		t.Errorf("the kernel dropped %d frames, %v", dropped, err)
	}
}

// sendGRE sends GRE packets, from the GRE header on, to the server.
func sendGRE(t *testing.T, from *bridgetest.Namespace, packets ...[]byte) {
	t.Helper()
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = net.Dial("ip4:gre", bridgetest.ServerAddr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, packet := range packets {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
}

// waitFlows waits until a tap has seen this, and nothing else.
func waitFlows(t *testing.T, tap *bridgetest.GRETap, want map[bridgetest.GREFlow]uint64) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for ctx := testContext(t); ; {
		flows, err := tap.Flows()
		if err != nil {
			t.Fatal(err)
		}
		if maps.Equal(flows, want) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("the tap has seen %v, want %v", flows, want)
		}
	}
}
