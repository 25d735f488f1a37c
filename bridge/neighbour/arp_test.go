package neighbour

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/mdlayher/arp"
	"golang.org/x/net/bpf"

	"github.com/grewire/grewire/track/wire"
)

var (
	wanMAC  = MAC{2, 0, 0, 0, 0, 1}
	lanMAC  = MAC{2, 0, 0, 0, 0, 2}
	hostMAC = MAC{2, 0, 0, 0, 1, 1}

	addr = netip.MustParseAddr
)

func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is a question of hostMAC, 203.0.113.9, for 203.0.113.7, as RFC 826
// has it.
const (
	macs    = "ffffffffffff 020000000101"
	request = "0806 0001 0800 06 04 0001 020000000101 cb007109 000000000000 cb007107"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, frame string
		zone        string
		ok          bool
	}{
		{"plain", macs + request, "", true},
		{"padded", macs + request + strings.Repeat("00", 18), "", true},
		{"tag", macs + "8100 0064" + request, "100", true},
		{"tag with priority", macs + "8100 e064" + request, "100", true},
		{"priority tag", macs + "8100 e000" + request, "", true},
		{"two tags", macs + "88a8 0064 8100 00c8" + request, "100.200", true},
		{"two old tags", macs + "9100 0064 8100 00c8" + request, "100.200", true},
		{"three tags", macs + "88a8 0064 8100 00c8 8100 012c" + request, "", false},
		{"three tags, one of them none", macs + "88a8 0064 8100 0000 8100 012c" + request, "", false},
		{"SNAP", macs + "0024 aaaa03 000000" + request, "", false},
		{"cut", macs + request[:len(request)-2], "", false},
		{"no header", macs + "0806", "", false},
		{"no frame", "02", "", false},
		{"tag and no more", macs + "8100 0064", "", false},
		{"IPv4", macs + "0800 4500", "", false},
		{"another hardware", macs + strings.Replace(request, "0001 0800", "0006 0800", 1), "", false},
		{"another protocol", macs + strings.Replace(request, "0800 06", "86dd 06", 1), "", false},
		{"lengths that overflow an octet", macs + strings.Replace(request, "06 04", "fc 04", 1), "", false},
		{"IPv6 lengths", macs + strings.Replace(request, "06 04", "06 10", 1) + strings.Repeat("00", 40), "", false},
		{"from a group", macs + strings.Replace(request, "0001 0200", "0001 0300", 1), "", false},
		{"from nobody's MAC", macs + strings.Replace(request, "0001 020000000101", "0001 000000000000", 1), "", false},
	}
	for _, test := range tests {
		frame := octets(t, test.frame)
		m, ok := parse(frame)
		if ok != test.ok {
			t.Errorf("%s: ok %v", test.name, ok)
			continue
		}
		if !ok {
			continue
		}
		want := message{
			to: broadcast, zone: m.zone, tags: m.tags, operation: arp.OperationRequest,
			senderMAC: hostMAC, sender: addr("203.0.113.9"), target: addr("203.0.113.7"),
		}
		if m != want || m.zone.String() != test.zone {
			t.Errorf("%s: %+v", test.name, m)
		}
		if got := m.frame(); !bytes.HasPrefix(frame, got) || len(got) != 42+len(m.tags) {
			t.Errorf("%s: written as %x, was %x", test.name, got, frame)
		}
	}
}

// TestFrames compares what is sent with what the RFCs say, octet by octet.
func TestFrames(t *testing.T) {
	m, ok := parse(octets(t, macs+"8100 e064"+request))
	if !ok {
		t.Fatal("not read")
	}
	for _, test := range []struct {
		name, want string
		got        []byte
	}{
		{"reply", "020000000101 020000000001 8100 e064 0806 0001 0800 06 04 0002 020000000001 cb007107 020000000101 cb007109", m.reply(wanMAC)},
		{"probe", "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 00000000 000000000000 cb007107",
			probe(wanMAC, broadcast, "", addr("203.0.113.7"))},
		{"announcement", "ffffffffffff 020000000001 8100 0005 0806 0001 0800 06 04 0001 020000000001 cb007107 000000000000 cb007107",
			announcement(wanMAC, "\x81\x00\x00\x05", addr("203.0.113.7"))},
	} {
		if !bytes.Equal(test.got, octets(t, test.want)) {
			t.Errorf("%s: %x, want %s", test.name, test.got, test.want)
		}
	}
}

func TestTagsOf(t *testing.T) {
	for text, want := range map[string]string{"": "", "100": "81000064", "100.200": "88a80064810000c8", "ppp7": "-", "100.ppp7": "-"} {
		var zone wire.Zone
		if err := zone.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		tags, ok := tagsOf(zone)
		if got := hex.EncodeToString([]byte(tags)); ok != (want != "-") || ok && got != want {
			t.Errorf("zone %q: %s, %v", text, got, ok)
		}
	}
}

// TestFilter: what the kernel hands on is what can be read, whether it has
// taken a tag out or not, and whatever else there may be is left to the workers.
func TestFilter(t *testing.T) {
	instructions, all := bpf.Disassemble(Filter())
	if !all {
		t.Fatal("not all of it is known")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		macs + request: true, macs + "8100 0064" + request: true, macs + "88a8 0064 8100 00c8" + request: true,
		macs + "9100 0064 9100 00c8" + request: true, macs + "88a8 0064 88a8 00c8 8100 012c" + request: false,
		macs + "0800 4500" + request: false, macs + "8100 0064 0800" + request: false, macs + "8100 0064 8100 00c8 0800" + request: false,
		macs + "88a8 0064 86dd" + request: false, macs + "8100": false, macs: false,
	} {
		n, err := vm.Run(octets(t, text))
		if err != nil || (n > 0) != want {
			t.Errorf("%s: %d octets, %v", text, n, err)
		}
	}
}

// FuzzTable: no frame is too odd, and what is answered was asked.
func FuzzTable(f *testing.F) {
	f.Add(true, octets(f, macs+request))
	f.Add(false, octets(f, macs+"88a8 0064 8100 00c8"+request))
	f.Add(true, octets(f, macs+strings.Replace(request, "06 04", "fc fc", 1)+strings.Repeat("00", 600)))
	f.Add(true, octets(f, macs+strings.Repeat("81000000", 20)+request))
	f.Fuzz(func(t *testing.T, wan bool, frame []byte) {
		l := newTable(t)
		l.settle()
		side := sideOf(wan)
		l.Receive(side, frame, l.now)
		outputs, events := l.Take()
		if len(outputs) > 1 || len(events) > 1 || len(outputs) > 0 && outputs[0].Side == 0 {
			t.Errorf("%d frames, %d events for %x", len(outputs), len(events), frame)
		}
		for _, o := range outputs {
			if m, ok := parse(o.Frame); !ok || m.senderMAC != wanMAC || l.owns[m.sender] == nil {
				t.Errorf("%x is sent for %x", o.Frame, frame)
			}
		}
	})
}
