package control

import (
	"net"
	"net/netip"
	"testing"
)

// server listens on an address of its own on loopback.
func server(t *testing.T, addr string) (*Server, netip.Addr) {
	t.Helper()
	at := netip.MustParseAddr(addr)
	s, err := Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, at
}

func TestCalls(t *testing.T) {
	s, at := server(t, "127.77.0.1")
	seen := map[uint16]bool{}
	for conn, n := range []int{1, 3*together + 5} {
		c, err := Dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+conn))}, at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var ids []uint16
		for i := range n {
			ids = append(ids, uint16(i+1))
		}
		calls, err := c.Call(ids)
		if err != nil || len(calls) != n {
			t.Fatalf("%d of %d calls: %v", len(calls), n, err)
		}
		for i, call := range calls {
			if call.PNSID != ids[i] || call.PAC != at || call.PNS != netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + conn)}) || seen[call.PACID] {
				t.Errorf("call %d is %+v", i, call)
			}
			seen[call.PACID] = true
			if p := s.Peer(call.PACID); p != (Peer{call.PNS, call.PNSID}) {
				t.Errorf("the server takes the PNS of call %d for %+v", i, p)
			}
		}
	}
}

func TestDialNobody(t *testing.T) {
	if _, err := Dial(&net.TCPAddr{}, netip.MustParseAddr("127.77.0.2")); err == nil {
		t.Error("nobody answered a call")
	}
}

func TestClosedServer(t *testing.T) {
	s, at := server(t, "127.77.0.3")
	c, err := Dial(&net.TCPAddr{}, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call([]uint16{1}); err == nil {
		t.Error("a closed server agreed to a call")
	}
	if s.Err() == nil {
		t.Error("a closed server says that it accepts connections")
	}
}

// TestAcceptedAmidClose has a connection that was accepted while the server closed be
// ended: nobody else would, and Close waits for all.
func TestAcceptedAmidClose(t *testing.T) {
	s, _ := server(t, "127.77.0.4")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer there.Close()
	if s.keep(here) {
		t.Error("a closed server keeps a connection")
	}
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
}
