package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// packetSocket is what the kernel has given to the packet sockets of a NIC: how
// many slots a ring, and octets.
type packetSocket struct{ slots, ring, receive, send int }

var (
	socketLine  = regexp.MustCompile(`(?m)^p_raw .* (\*|\[0\]):(\S+) .*$`)
	socketRing  = regexp.MustCompile(`ring_rx\(blk_size:(\d+),blk_nr:(\d+),frm_size:\d+,frm_nr:(\d+)`)
	socketQueue = regexp.MustCompile(`skmem:\(r\d+,rb(\d+),t\d+,tb(\d+),`)
)

// sockets asks the kernel for the packet sockets in the box's namespace, by NIC
// (ss(8), which has it from sock_diag(7)).
func (b *labBox) sockets() map[string]packetSocket {
	b.t.Helper()
	all := make(map[string]packetSocket)
	out := b.command(b.top.Box, patience, "ss", "-0", "-a", "-n", "-m", "-e", "-O")
	for _, line := range socketLine.FindAllStringSubmatch(out, -1) {
		s := all[line[2]]
		if ring := socketRing.FindStringSubmatch(line[0]); ring != nil {
			s.ring, s.slots = number(b.t, ring[1])*number(b.t, ring[2]), number(b.t, ring[3])
		}
		queue := socketQueue.FindStringSubmatch(line[0])
		if queue == nil {
			b.t.Fatalf("ss does not say what a socket takes: %s", line[0])
		}
		s.send += number(b.t, queue[2])
		if line[1] == "*" { // the other has no protocol and receives nothing
			s.receive = number(b.t, queue[1])
		}
		all[line[2]] = s
	}
	return all
}

func number(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLabBuffers: ring and socket buffers are as the configuration has them, and
// cost what check says.
func TestLabBuffers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keys string
		want packetSocket // its ring is what check says
	}{
		"default":      {"", packetSocket{slots: 8200, receive: 32 << 20, send: 32 << 20}}, // 205 blocks of 40
		"of their own": {"ring_slots = 1000\nreceive_buffer = 3000000\nsend_buffer = 2000000\n", packetSocket{slots: 1000, receive: 6_000_000, send: 8_000_000}},
		"no ring":      {"backend = \"mmsg\"\nreceive_buffer = 3000000\n", packetSocket{receive: 6_000_000, send: 32 << 20}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLabBox(t, bridgetest.InlineOption{}, test.keys)
			var r report
			out := b.command(b.top.Box, patience, b.binary, "check", "-json", "-config", b.config)
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			b.start()
			sockets := b.sockets()
			if len(sockets) != len(sideNames) {
				t.Errorf("the box has the packet sockets %+v, want one on each NIC", sockets)
			}
			for _, side := range sideNames {
				said := r.NICs[side].Memory
				want := packetSocket{test.want.slots, said.Ring, test.want.receive, test.want.send}
				if got := sockets[r.NICs[side].Name]; got != want || said.Receive != want.receive || said.Send != want.send || (said.Ring > 0) != (want.slots > 0) {
					t.Errorf("%s: the kernel has %+v, want %+v; check says %+v", side, got, want, said)
				}
			}
			b.stop()
		})
	}
}
